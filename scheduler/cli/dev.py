"""`offerd dev`: a daemon and an emulated cluster with real processes, in one process.

For trying things out: state and sandboxes live in one folder, and all tasks end with it.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import uvloop

from scheduler.cli.daemon import report, serve
from scheduler.cli.options import SERVER_DEFAULT
from scheduler.emulator.cluster import EmulatedCluster
from scheduler.emulator.main import running_cluster
from scheduler.emulator.options import EmulatorOptions
from scheduler.errors import OfferdError
from scheduler.runtime import logs
from scheduler.settings import Settings, load_settings

AGENT_CPUS = 4.0
AGENT_MEM_MB = 2048.0
AGENT_DISK_MB = 10_240.0
TYPE_S_MAX = 60.0
NEXT = ("jobs", "tasks", "status", "logs numbers/7", "scale web 5", "stop web")


class DevOptions(msgspec.Struct, frozen=True):
    """`jobs` are applied when the API answers; `directory` None is a new temporary folder."""

    agents: int
    listen: str
    directory: Path | None = None
    jobs: tuple[Path, ...] = ()


def run_dev(options: DevOptions) -> int:
    """Runs until SIGTERM or SIGINT; gives the exit code."""
    exit_code = 0
    with _folder(options.directory) as folder:
        logs.configure_file(folder / "offerd.log")
        try:
            uvloop.run(_serve(options, folder))
        except* OfferdError as group:
            exit_code = report(group)
    return exit_code


@contextlib.contextmanager
def _folder(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="offerd-dev-", ignore_cleanup_errors=True) as made:
        yield Path(made)


async def _serve(options: DevOptions, folder: Path) -> None:
    async with (
        running_cluster(_emulated(options, folder)) as cluster,
        asyncio.TaskGroup() as group,
    ):
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        guide = group.create_task(_guide(options, folder, cluster, listening))
        await serve(_settings(options, folder, cluster.url), listening.set_result)
        guide.cancel()


def _emulated(options: DevOptions, folder: Path) -> EmulatorOptions:
    return EmulatorOptions(
        agents=options.agents,
        cpus=AGENT_CPUS,
        mem_mb=AGENT_MEM_MB,
        disk_mb=AGENT_DISK_MB,
        racks=options.agents,
        zones=2,
        allocation_interval_s=0.5,
        work_dir=str(folder / "agents"),
    )


def _settings(options: DevOptions, folder: Path, master: str) -> Settings:
    """As for a real daemon, through the same door, so that the same checks hold."""
    return load_settings(
        None,
        {
            "OFFERD_MASTER": master,
            "OFFERD_STORE": f"sqlite:{folder / 'offerd.db'}",
            "OFFERD_LISTEN": options.listen,
            "OFFERD_FRAMEWORK__NAME": "offerd-dev",
        },
    )


async def _guide(
    options: DevOptions, folder: Path, cluster: EmulatedCluster, listening: asyncio.Future[str]
) -> None:
    """Tells where things are, applies the jobs, and says what to type next."""
    url = await listening
    click.echo(f"API        {url}/v1/status")
    click.echo(f"master     {cluster.url}/state ({options.agents} emulated agents)")
    click.echo(f"logs       {folder / 'offerd.log'}")
    server = [] if url == SERVER_DEFAULT else ["--server", url]
    if options.jobs:
        await _type([*server, "apply", *map(str, options.jobs)])
    click.echo("\nNow, in a second terminal:")
    for line in NEXT:
        click.echo(f"  {Path(sys.argv[0])} {' '.join([*server, line])}")
    click.echo("Ctrl-C ends it, with all its tasks.")


async def _type(arguments: list[str]) -> None:
    """Run our own command as a user would."""
    click.echo(f"\n$ offerd {' '.join(arguments)}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scheduler.cli.main", *arguments), stdin=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(TYPE_S_MAX):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
