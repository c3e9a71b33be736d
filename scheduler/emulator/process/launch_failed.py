"""Why a task could not be started; it never leaves this package but as a TASK_FAILED."""

from scheduler.errors import OfferdError


class LaunchFailed(OfferdError):
    """The message is for the framework: TASK_FAILED with REASON_CONTAINER_LAUNCH_FAILED."""
