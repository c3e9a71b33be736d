"""`offerd logs`: what a task wrote, byte for byte, and what it goes on writing."""

import sys
import time
from typing import Final

import click

from scheduler.cli.addresses import find_task
from scheduler.cli.client import Client, RequestFailed
from scheduler.cli.options import server_options
from scheduler.cli.waiting import Absence

POLL_S: Final = 0.5
ENDED: Final = frozenset({"finished", "failed", "killed", "error", "dropped", "lost", "gone"})


@click.command()
@click.argument("task")
@click.option("-f", "--follow", is_flag=True, help="Go on until the task has ended, or Ctrl-C.")
@click.option("--stderr", is_flag=True, help="What it wrote to stderr, not stdout.")
@server_options
def logs(task: str, follow: bool, stderr: bool, client: Client) -> None:
    """Print what a task wrote. TASK is an id, the beginning of one, or JOB/INSTANCE."""
    found = find_task(client, task)
    output = Output(client, found["id"], "stderr" if stderr else "stdout")
    try:
        if follow:
            _follow(client, output)
        else:
            output.print_rest()
    except KeyboardInterrupt:
        return


class Output:
    """One stream of one task, read from where the last read ended."""

    def __init__(self, client: Client, task_id: str, stream: str) -> None:
        self._client = client
        self.task_id = task_id
        self._stream = stream
        self._offset = 0

    def print_rest(self) -> None:
        """Prints all that is there now."""
        while self._print_piece():
            pass

    def _print_piece(self) -> bool:
        reply = self._client.request(
            "GET",
            ("tasks", self.task_id, "logs"),
            query={"stream": self._stream, "offset": self._offset},
        )
        self._offset += len(reply.body)
        sys.stdout.buffer.write(reply.body)
        sys.stdout.buffer.flush()
        return bool(reply.body)


def _follow(client: Client, output: Output) -> None:
    """Through absences of the daemon and of the agent, as long as they are short."""
    absence = Absence()
    while True:
        try:
            # Asked before reading: what was written before the end is read after it.
            ended = client.get("tasks", output.task_id)["state"] in ENDED
            _print_if_there(output, ended)
            absence.present()
        except RequestFailed as error:
            absence.forgive(error)
            ended = False
        if ended:
            return
        time.sleep(POLL_S)


def _print_if_there(output: Output, ended: bool) -> None:
    try:
        output.print_rest()
    except RequestFailed as error:
        # A task that is about to start has no file yet.
        if error.status != 404 or ended:
            raise
