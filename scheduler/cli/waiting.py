"""Waits for what was asked to come true: services running, batches finished, jobs gone.

It asks again and again, through short absences of the daemon, until a deadline. Neighbours:
`job_files` (apply --wait), `jobs` (delete --wait).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.cli.client import Client, Fields, RequestFailed
from scheduler.cli.output import clean

POLL_S: Final = 0.25
ABSENCE_S: Final = 30.0
"""How long a daemon may be away (restart, change of leader) before waiting ends."""
REASONS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Progress:
    """Of one job: `done`, or `failed` with a reason, or neither: then `text` says how far it is."""

    text: str
    done: bool = False
    failed: bool = False


def progress_of(job: Fields) -> Progress:
    """How far a job is from what its document asks for."""
    counts: dict[str, int] = job["tasks"]
    instances: int = job["instances"]
    running, finished = counts.get("running", 0), counts.get("finished", 0)
    failed = counts.get("failed", 0) + counts.get("error", 0)
    if job["state"] in ("stopped", "deleting"):
        return Progress(f"it is {job['state']}", failed=True)
    update = clean(job["update"])
    if job["halted"]:
        return Progress(f"its update does not go on: {update}", failed=True)
    batch = job["kind"] == "batch"
    text = f"{finished} of {instances} finished" if batch else f"{running} of {instances} running"
    text += f"; update: {update}" if update else ""
    ended = finished + failed
    if batch:
        all_finished = finished >= instances
        return Progress(text, all_finished, not all_finished and ended >= instances)
    if ended:
        # Ended for good: its restart policy lets nothing follow.
        return Progress(text, failed=running + ended >= instances)
    return Progress(text, running >= instances and not update)


class Absence:
    """Forgives failures that may pass, as long as they do not last."""

    def __init__(self, patience_s: float = ABSENCE_S) -> None:
        self._patience_s = patience_s
        self._since: float | None = None

    def present(self) -> None:
        self._since = None

    def forgive(self, error: RequestFailed) -> None:
        """Returns when it is worth asking again; raises the error otherwise."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not error.may_pass or now - self._since > self._patience_s:
            raise error


def wait_until_there(client: Client, jobs: Sequence[str], timeout_s: float) -> None:
    """Returns when all jobs are as declared. Raises RequestFailed with the reasons otherwise."""
    client = client.of_the_leader()
    deadline = time.monotonic() + timeout_s
    absence = Absence()
    waiting = {job: Progress("not asked yet") for job in jobs}
    failed: dict[str, Progress] = {}
    while waiting:
        for job in list(waiting):
            try:
                progress = progress_of(client.get("jobs", job))
                absence.present()
            except RequestFailed as error:
                absence.forgive(error)
                continue
            waiting[job] = progress
            if progress.failed:
                failed[job] = progress
            if progress.done or progress.failed:
                del waiting[job]
        if waiting and time.monotonic() >= deadline:
            break
        if waiting:
            time.sleep(POLL_S)
    if waiting or failed:
        raise _not_there(client, failed, waiting, timeout_s)


def _not_there(
    client: Client, failed: dict[str, Progress], waiting: dict[str, Progress], timeout_s: float
) -> RequestFailed:
    lines = [f"{job}: failed: {progress.text}" for job, progress in failed.items()]
    lines += [
        f"{job}: not there after {timeout_s:g} s: {progress.text}"
        for job, progress in waiting.items()
    ]
    for job in [*failed, *waiting]:
        lines += reasons(client, job)
    return RequestFailed("\n".join(lines))


def reasons(client: Client, job: str) -> list[str]:
    """What tasks of a job say of themselves, where it goes wrong or waits; a few lines."""
    try:
        tasks = client.get("jobs", job, "tasks", ended=True, limit=1000)["items"]
    except RequestFailed:
        return []
    said: dict[str, None] = {}
    for task in tasks:
        why = task["waits_for"] or task["message"] or task["reason"]
        if task["state"] not in ("running", "finished", "killed") and why:
            said[f"  {job}/{task['instance']} {task['state']}: {clean(why)}"] = None
    return list(said)[:REASONS_SHOWN]


def wait_until_deleted(client: Client, job: str, timeout_s: float) -> None:
    """Returns when the job is gone. Raises RequestFailed at the deadline."""
    client = client.of_the_leader()
    deadline = time.monotonic() + timeout_s
    absence = Absence()
    while True:
        try:
            client.get("jobs", job)
            absence.present()
        except RequestFailed as error:
            if error.status == 404:
                return
            absence.forgive(error)
        if time.monotonic() >= deadline:
            raise RequestFailed(
                f"{job} is still being deleted after {timeout_s:g} s; "
                f"see `offerd tasks --job {job}`"
            )
        time.sleep(POLL_S)
