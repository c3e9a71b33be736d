"""/metrics/snapshot: the numbers that tests and dashboards of a master are made of."""

from collections import Counter
from urllib.parse import quote

from scheduler.emulator.model.bundle import REVOCABLE, total
from scheduler.emulator.model.records import TERMINAL, Framework, Tables
from scheduler.mesos.proto.mesos_v1_pb2 import TaskState

_SCALARS = ("cpus", "gpus", "mem", "disk")
_COUNTERS = (
    "slave_registrations",
    "slave_reregistrations",
    "slave_removals",
    "slave_unreachable_completed",
    "valid_status_updates",
    "invalid_status_updates",
    "messages_launch_tasks",
    "messages_kill_task",
    "messages_status_update",
    "messages_status_update_acknowledgement",
    "messages_reconcile_tasks",
)


def snapshot(tables: Tables) -> dict[str, float]:
    entries = tables.agents.values()
    connected = sum(entry.connected for entry in entries)
    frameworks = tables.frameworks.values()
    streams = sum(framework.connected for framework in frameworks)
    numbers: dict[str, float] = {
        "master/elected": 1.0,
        "master/uptime_secs": tables.timeline.wall() - tables.started_wall_s,
        "master/slaves_active": connected,
        "master/slaves_inactive": len(entries) - connected,
        "master/slaves_connected": connected,
        "master/slaves_disconnected": len(entries) - connected,
        "master/slaves_unreachable": len(tables.registry.unreachable),
        "master/frameworks_active": streams,
        "master/frameworks_inactive": len(frameworks) - streams,
        "master/frameworks_connected": streams,
        "master/frameworks_disconnected": len(frameworks) - streams,
        "master/outstanding_offers": len(tables.offers),
        "allocator/mesos/allocation_runs": tables.counts["allocation_runs"],
    }
    for name in _COUNTERS:
        numbers[f"master/{name}"] = tables.counts[name]
    numbers.update(_resources(tables))
    numbers.update(_tasks(tables))
    for framework in frameworks:
        numbers.update(_framework(framework))
    return {name: float(value) for name, value in numbers.items()}


def _resources(tables: Tables) -> dict[str, float]:
    entries = tables.agents.values()
    whole = total(entry.total for entry in entries)
    used = total(t.bundle for entry in entries for t in entry.tasks.values() if not t.released)
    numbers: dict[str, float] = {}
    for name in (*_SCALARS, *(name + REVOCABLE for name in _SCALARS)):
        have, busy = whole.scalar(name) / 1000, used.scalar(name) / 1000
        numbers[f"master/{name}_total"] = have
        numbers[f"master/{name}_used"] = busy
        numbers[f"master/{name}_percent"] = busy / have if have else 0.0
    return numbers


def _tasks(tables: Tables) -> dict[str, float]:
    """Of live states how many there are, of terminal ones how many there have been."""
    live: Counter[str] = Counter()
    for framework in tables.frameworks.values():
        live.update(TaskState.Name(task.state) for task in framework.tasks.values())
        live["TASK_UNREACHABLE"] += len(framework.unreachable)
    numbers: dict[str, float] = {}
    for name, number in TaskState.items():
        if name == "TASK_UNKNOWN":
            continue
        counted = tables.counts[f"tasks/{name}"] if number in TERMINAL else live[name]
        numbers[f"master/tasks_{name.removeprefix('TASK_').lower()}"] = counted
    return numbers


def _framework(framework: Framework) -> dict[str, float]:
    prefix = f"master/frameworks/{quote(framework.info.name, safe='')}/{framework.framework_id}/"
    numbers: dict[str, float] = {f"{prefix}subscribed": float(framework.connected)}
    for name in ("calls", "events", "offers/sent", "offers/accepted", "offers/declined"):
        numbers[prefix + name] = framework.counts[name]
    for name, count in framework.counts.items():
        numbers[prefix + name] = count
    for role in framework.roles:
        numbers[f"{prefix}roles/{role}/suppressed"] = float(role in framework.suppressed)
    active = Counter(TaskState.Name(task.state) for task in framework.tasks.values())
    for name, count in active.items():
        numbers[f"{prefix}tasks/active/{name.lower()}"] = count
    return numbers
