"""Finds the task that a user means: by id, by the beginning of one, or as `job/instance`.

`web/0` is instance 0 of the job web: its live attempt, else its last one.
"""

from collections.abc import Iterable

import click

from scheduler.cli.client import Client, Fields, RequestFailed
from scheduler.cli.output import age

CANDIDATES_SHOWN = 5


def find_task(client: Client, text: str) -> Fields:
    """The one task that is meant. Raises RequestFailed when there is none, or more than one."""
    exact = _by_id(client, text)
    if exact is not None:
        return exact
    job, _, index = text.rpartition("/")
    if job and index.isascii() and index.isdigit():
        return _by_address(client, job, int(index))
    if "/" in text:
        raise RequestFailed(f"{text} is no task: give an id, or JOB/INSTANCE such as {text}/0")
    return _by_prefix(client, text)


def find_task_to_end(client: Client, text: str) -> str:
    """The id of the one task that is meant, also of one that is in no record of ours: such a one is
    named in full."""
    unknown = client.get("unknown_tasks")["items"]
    if any(task["id"] == text for task in unknown):
        return text
    return str(find_task(client, text)["id"])


def _by_id(client: Client, text: str) -> Fields | None:
    try:
        return client.get("tasks", text)
    except RequestFailed as error:
        if error.status == 404:
            return None
        raise


def _by_address(client: Client, job: str, index: int) -> Fields:
    attempts = [
        task
        for task in client.pages("jobs", job, "tasks", instance=index, ended=True)
        if task["id"]
    ]
    if not attempts:
        raise RequestFailed(
            f"instance {index} of {job} has no task; see `offerd tasks --job {job}`"
        )
    return _latest(attempts)


def _latest(attempts: Iterable[Fields]) -> Fields:
    """The last attempt: a job that was declared anew begins with attempt 1 again, but later."""
    return max(attempts, key=lambda task: (task["launched_at"] or task["since"], task["attempt"]))


def _by_prefix(client: Client, prefix: str) -> Fields:
    found = [task for task in client.pages("tasks", ended=True) if task["id"].startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise RequestFailed(f"there is no task {prefix}; see `offerd tasks`")
    lines = [f"  {task['id']}  {task['state']}  {age(task['since'])}" for task in found]
    more = len(lines) - CANDIDATES_SHOWN
    if more > 0:
        lines = [*lines[:CANDIDATES_SHOWN], f"  and {more} more"]
    raise click.UsageError("\n".join([f"{prefix} may mean more than one task:", *lines]))
