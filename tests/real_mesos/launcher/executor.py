"""`mesos-executor` and `mesos-default-executor`: command tasks and pods as child processes.

Emulates Mesos' built-in executors over the v1 executor API: states and their order, kill policies,
health checks and checks, completion times, a pod that ends with its first failed task, and coming
back to a restarted agent. It is not an oracle for the wording of messages, the exact time of checks
or escalation, the kill of a process tree (it signals the process group), a second kill with a
shorter grace, or anything of nested containers: the tasks of a pod share one sandbox.
"""

import http.client
import os
import random
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, NoReturn

from tests.real_mesos.launcher.agent_link import AgentLink
from tests.real_mesos.launcher.settings import Settings
from tests.real_mesos.launcher.task import NANOSECONDS, Task

# Of the shutdown grace, what is left to the tasks: TASK_KILLED must get out before its end.
SHUTDOWN_SHARE = 0.6
IDLE_POLL_S = 0.1
LAST_UPDATE_S = 0.3
RESUBSCRIBE_S_MAX = 1.0

Event = dict[str, Any]


class Executor:
    """The tasks of one executor, and what the agent's events mean to them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._link = AgentLink(settings)
        self._tasks: dict[str, Task] = {}
        self._pods: list[list[Task]] = []
        self._shutting_down = False
        self._tells_killing = False

    def run(self) -> NoReturn:
        """Serves the agent until there is nothing left to run, or the agent stays away."""
        self._link.start()
        threading.Thread(target=self._leave_when_idle, daemon=True).start()
        signal.signal(signal.SIGTERM, self._on_sigterm)
        lost_at: float | None = None
        while True:
            try:
                for event in self._link.events():
                    lost_at = None
                    self._handle(event)
            except (OSError, http.client.HTTPException, ValueError) as error:
                print(f"lost the agent: {error}", file=sys.stderr, flush=True)
            lost_at = time.monotonic() if lost_at is None else lost_at
            self._give_up_if_alone_for(time.monotonic() - lost_at)
            time.sleep(random.uniform(0, RESUBSCRIBE_S_MAX))

    def _give_up_if_alone_for(self, alone_s: float) -> None:
        """Without checkpoints an executor ends with its agent; with them it waits for a while."""
        if self._settings.checkpoint and alone_s <= self._settings.recovery_timeout_s:
            return
        self._shut_down()
        time.sleep(self._settings.shutdown_grace_s)
        os._exit(1)

    def _handle(self, event: Event) -> None:
        match event["type"]:
            case "SUBSCRIBED":
                capabilities = event["subscribed"]["framework_info"].get("capabilities", [])
                names = {capability.get("type") for capability in capabilities}
                self._tells_killing = "TASK_KILLING_STATE" in names
            case "LAUNCH":
                self._launch([event["launch"]["task"]], is_pod=False)
            case "LAUNCH_GROUP":
                self._launch(event["launch_group"]["task_group"]["tasks"], is_pod=True)
            case "ACKNOWLEDGED":
                self._link.acknowledged(event["acknowledged"])
            case "KILL":
                self._kill(event["kill"])
            case "SHUTDOWN":
                self._shut_down()
                threading.Timer(self._settings.shutdown_grace_s, os._exit, (0,)).start()
            case "ERROR":
                print(f"error from the agent: {event['error']}", file=sys.stderr, flush=True)
                self._shut_down()
            case _:  # messages and heartbeats ask for nothing
                return

    def _launch(self, infos: list[Event], *, is_pod: bool) -> None:
        made = [Task(info, self._link, self._tells_killing, self._on_end) for info in infos]
        for info, task in zip(infos, made, strict=True):
            self._link.add_task(info)
            self._tasks[task.id] = task
        if is_pod:
            self._pods.append(made)
        for task in made:
            task.start()

    def _kill(self, kill: Event) -> None:
        task = self._tasks.get(kill["task_id"]["value"])
        if task is None:
            return
        nanoseconds = kill.get("kill_policy", {}).get("grace_period", {}).get("nanoseconds")
        task.kill(None if nanoseconds is None else nanoseconds / NANOSECONDS)

    def _on_end(self, ended: Task, went_well: bool) -> None:
        """A task of a pod that failed or was killed takes the others with it."""
        if went_well:
            return
        for pod in self._pods:
            if ended in pod:
                for other in pod:
                    other.kill()

    def _shut_down(self) -> None:
        self._shutting_down = True
        for task in list(self._tasks.values()):
            task.kill(self._settings.shutdown_grace_s * SHUTDOWN_SHARE)

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        # Not in the handler itself: it may have interrupted a thread that holds a lock.
        threading.Thread(target=self._shut_down, daemon=True).start()

    def _leave_when_idle(self) -> None:
        """Ends the process once every task is over and its last update acknowledged."""
        while True:
            time.sleep(IDLE_POLL_S)
            tasks = list(self._tasks.values())
            over = all(task.reported.is_set() for task in tasks)
            if over and self._link.all_acknowledged() and (tasks or self._shutting_down):
                time.sleep(LAST_UPDATE_S)
                os._exit(0)


if __name__ == "__main__":
    Executor(Settings.from_environment()).run()
