"""Whether everything has become what its users wished, by the master and by the API."""

from collections import defaultdict
from typing import Final
from urllib.parse import quote

from tests.faults.load import Load, is_batch
from tests.faults.masters import WitnessedMaster
from tests.support.cluster_state import job_of
from tests.support.rest import RestClient

STATES: Final = {"run": "running", "stop": "stopped", "delete": None}
"""What a service's job shows once it has become what is wished."""


def as_wished(load: Load, master: WitnessedMaster, api: RestClient) -> bool:
    """True; raises AssertionError that names what is not as it should be (yet)."""
    live = defaultdict(list)
    for task in master.framework(api.status()["framework_id"]).live():
        live[job_of(task)].append((task["id"], task["state"]))
    states = _states(api)
    for job, wish in load.wished.items():
        tasks, wanted = live[job], 0 if is_batch(job) else wish.instances
        running = [task_id for task_id, state in tasks if state == "TASK_RUNNING"]
        assert len(running) == len(tasks) == wanted, f"{job}: {wish}, {tasks}"
        state = "ended" if is_batch(job) else STATES[wish.desired]
        assert states.get(job) == state, f"{job}: {wish}, {states.get(job)}"
    return True


def _states(api: RestClient) -> dict[str, str]:
    """The state of each job."""
    states: dict[str, str] = {}
    after: str | None = ""
    while after is not None:
        page = api.get(f"/v1/jobs?limit=1000&after={quote(after)}")
        states |= {job["job"]: job["state"] for job in page["items"]}
        after = page["next"]
    return states
