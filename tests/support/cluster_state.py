"""What a master's /state says of one framework: the judge of what really runs."""

from collections import Counter
from typing import Any, Final

TERMINAL: Final = frozenset(
    {
        "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST",
        "TASK_DROPPED", "TASK_GONE", "TASK_GONE_BY_OPERATOR",
    }
)  # fmt: skip

Document = dict[str, Any]


class FrameworkState:
    """One framework in one answer of /state; empty if it is not registered."""

    def __init__(self, state: Document, framework_id: str) -> None:
        listed = [one for one in state["frameworks"] if one["id"] == framework_id]
        assert len(listed) <= 1, f"{framework_id} is listed {len(listed)} times"
        self.listed = bool(listed)
        self.framework: Document = listed[0] if listed else {}

    def tasks(self, job: str | None = None) -> list[Document]:
        """All that the master still knows: running, unreachable and completed."""
        kinds = ("tasks", "unreachable_tasks", "completed_tasks")
        known = [task for kind in kinds for task in self.framework.get(kind, [])]
        return [task for task in known if job is None or job_of(task) == job]

    def live(self, job: str | None = None) -> list[Document]:
        """Those that have not come to an end, sorted by id."""
        living = [task for task in self.tasks(job) if task["state"] not in TERMINAL]
        return sorted(living, key=lambda task: str(task["id"]))

    def running(self, job: str | None = None) -> list[str]:
        """The ids of tasks in TASK_RUNNING, sorted."""
        return [task["id"] for task in self.live(job) if task["state"] == "TASK_RUNNING"]

    def finished(self, job: str) -> list[str]:
        """The ids of tasks in TASK_FINISHED."""
        return [task["id"] for task in self.tasks(job) if task["state"] == "TASK_FINISHED"]

    def assert_none_twice(self) -> None:
        """No task id was used twice, and no instance has two live tasks."""
        ids = Counter(task["id"] for task in self.tasks())
        assert not [task_id for task_id, count in ids.items() if count > 1], "a task id twice"
        instances = Counter(instance_of(task) for task in self.live())
        doubled = {instance: n for instance, n in instances.items() if n > 1}
        assert not doubled, f"instances with more than one live task: {doubled}"


def job_of(task: Document) -> str:
    """The job of a task, from its id: `<job, "/" as ".">.<instance>.<attempt>.<uid>`."""
    name: str = task["id"].rsplit(".", 3)[0]
    return name


def instance_of(task: Document) -> tuple[str, int]:
    """The job and the index of the instance that a task stands for."""
    job, index, _, _ = task["id"].rsplit(".", 3)
    return job, int(index)
