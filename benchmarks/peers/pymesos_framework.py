"""The least that a framework on pymesos does, as its own examples do it: a callback that launches
as many tasks on each offer as fit; the driver acknowledges each update itself. It stores nothing.

It runs in an interpreter of its own, old enough for pymesos, and imports nothing of ours.
"""

import sys
import time

from pymesos import MesosSchedulerDriver, Scheduler

CPUS_A_TASK = 0.1
MEM_A_TASK = 32.0
ROLE = "*"


class Framework(Scheduler):
    def __init__(self, tasks):
        self.tasks = tasks
        self.launched = 0

    def registered(self, driver, framework_id, master_info):
        driver.reviveOffers()

    def resourceOffers(self, driver, offers):  # noqa: N802 - pymesos calls it so
        for offer in offers:
            amounts = [one for one in offer["resources"] if one["type"] == "SCALAR"]
            room = {one["name"]: one["scalar"]["value"] for one in amounts}
            fits = int(min(room["cpus"] / CPUS_A_TASK, room["mem"] / MEM_A_TASK) + 1e-6)
            tasks = []
            for _ in range(min(fits, self.tasks - self.launched)):
                self.launched += 1
                tasks.append(task(self.launched, offer["agent_id"]))
            driver.launchTasks(offer["id"], tasks, {"refuse_seconds": 3600.0})


def task(number, agent_id):
    return {
        "name": "load",
        "task_id": {"value": f"load.{number}"},
        "agent_id": agent_id,
        "command": {"shell": True, "value": "sleep 1000"},
        "resources": [scalar("cpus", CPUS_A_TASK), scalar("mem", MEM_A_TASK)],
    }


def scalar(name, value):
    return {
        "name": name,
        "type": "SCALAR",
        "scalar": {"value": value},
        "allocation_info": {"role": ROLE},
    }


def main(master, tasks):
    info = {
        "user": "nobody",
        "name": "pymesos",
        "roles": [ROLE],
        "capabilities": [{"type": "MULTI_ROLE"}],
    }
    MesosSchedulerDriver(Framework(tasks), info, master).start()
    while True:
        time.sleep(60.0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
