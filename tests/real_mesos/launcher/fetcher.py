"""`mesos-fetcher`: brings a task's URIs into its sandbox before the task starts.

Knows plain paths, file:// and http(s)://, unpacks archives unless told not to, and sets the
executable bit. It has no cache and no Hadoop client, and it is not an oracle for messages.
"""

import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

DOWNLOAD_DEADLINE_S = 60.0
ARCHIVES = (
    ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip",
)  # fmt: skip


def main() -> None:
    """Fetches every item that the agent lists in MESOS_FETCHER_INFO; exits 1 at the first error."""
    info = json.loads(os.environ["MESOS_FETCHER_INFO"])
    sandbox = Path(info["sandbox_directory"])
    for item in info.get("items", []):
        address = item["uri"]["value"]
        try:
            target = _fetch(item["uri"], sandbox)
        except (OSError, shutil.ReadError, urllib.error.URLError) as error:
            sys.exit(f"Failed to fetch '{address}': {error}")
        print(f"Fetched '{address}' to '{target}'", file=sys.stderr)


def _fetch(uri: dict[str, Any], sandbox: Path) -> Path:
    address: str = uri["value"]
    name = uri.get("output_file") or Path(address.split("?")[0]).name
    target = sandbox / name
    target.parent.mkdir(parents=True, exist_ok=True)
    _copy(address, target)
    if uri.get("executable"):
        target.chmod(0o755)
    elif uri.get("extract", True) and name.endswith(ARCHIVES):
        shutil.unpack_archive(target, sandbox)
    return target


def _copy(address: str, target: Path) -> None:
    if not address.startswith(("http://", "https://")):
        shutil.copyfile(address.removeprefix("file://"), target)
        return
    with (
        urllib.request.urlopen(address, timeout=DOWNLOAD_DEADLINE_S) as source,
        target.open("wb") as file,
    ):
        shutil.copyfileobj(source, file)


if __name__ == "__main__":
    main()
