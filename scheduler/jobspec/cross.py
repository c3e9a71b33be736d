"""What shows only between the keys of a job: judged on the document as it is, so that it is told
together with all that is wrong in single keys. Values of a wrong type are passed over here; the
bodies of `schema` refuse them.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from scheduler.core.model.resources import MILLI
from scheduler.jobspec.problems import At, Finding, KeyPath, Wrong, quoted, unknown
from scheduler.jobspec.quantities import CPUS_MAX, parse_decimal, parse_duration, parse_size

_OF_SERVICE: tuple[KeyPath, ...] = (("update",), ("restart", "policy"), ("restart", "attempts"))
_OF_BATCH: tuple[KeyPath, ...] = (("retries",), ("max_runtime",))
_PROBES = ("http", "tcp", "command")


def cross_findings(job: Mapping[str, object]) -> list[Finding]:
    return [
        *_keys_of_other_kinds(job),
        *_nothing_to_run(job),
        *_limits_too_low(job),
        *_ports_twice(job),
        *_variables_of_ours(job),
        *_probe(job),
        *_backoff(job),
        *_targets(job),
    ]


def _keys_of_other_kinds(job: Mapping[str, object]) -> Iterator[Finding]:
    match job.get("kind"):
        case "service":
            for path in _OF_BATCH:
                if _has(job, path):
                    yield Finding(path, "is for a batch, not for a service", At.KEY)
        case "batch":
            for path in _OF_SERVICE:
                if _has(job, path):
                    instead = " (use retries)" if path[0] == "restart" else ""
                    yield Finding(path, f"is for a service, not for a batch{instead}", At.KEY)
        case _:
            return


def _nothing_to_run(job: Mapping[str, object]) -> Iterator[Finding]:
    if "command" not in job and "container" not in job and "pod" not in job:
        yield Finding(("command",), "is missing (text or a list; or a container with its own)")


def _limits_too_low(job: Mapping[str, object]) -> Iterator[Finding]:
    """Mesos refuses a limit below what the task asks for."""
    limits, resources = _mapping(job, "limits"), _mapping(job, "resources")
    for name, parse in (("cpus", _parse_cpus), ("mem", parse_size)):
        if name not in limits or name not in resources:
            continue
        try:
            too_low = parse(limits[name]) < parse(resources[name])
        except Wrong:
            continue  # each is told by itself
        if too_low:
            yield Finding(("limits", name), f"is less than resources.{name}")


_parse_cpus = partial(parse_decimal, least_milli=1, most_milli=CPUS_MAX * MILLI)


def _ports_twice(job: Mapping[str, object]) -> Iterator[Finding]:
    for key, what in (("name", "the name"), ("host", "the host port")):
        seen: dict[object, int] = {}
        for index, port in enumerate(_list(job, "ports")):
            value = port.get(key) if isinstance(port, dict) else None
            if not isinstance(value, str | int):
                continue
            if value in seen:
                text = f"{what} {quoted(value)} is given twice, first in ports[{seen[value]}]"
                yield Finding(("ports", index, key), text)
            seen.setdefault(value, index)


def _variables_of_ours(job: Mapping[str, object]) -> Iterator[Finding]:
    """A task is told its own place in variables; a job's of the same name would not reach it."""
    ports = _list(job, "ports")
    ours = {"INSTANCE", "PORTS", "OFFERD_JOB", "OFFERD_TASK_ID"}
    ours |= {f"PORT{index}" for index in range(len(ports))}
    ours |= {f"PORT_{_name_of(port).upper().replace('-', '_')}" for port in ports}
    for name in _mapping(job, "env"):
        if name in ours:
            yield Finding(("env", name), "is set for each task by offerd (another name)", At.KEY)


def _probe(job: Mapping[str, object]) -> Iterator[Finding]:
    health = _mapping(_mapping(job, "checks"), "health")
    if "health" not in _mapping(job, "checks"):
        return
    probes = [probe for probe in _PROBES if probe in health]
    path: KeyPath = ("checks", "health")
    if not probes and isinstance(_mapping(job, "checks").get("health"), dict):
        yield Finding(path, "has no probe (http, tcp or command)")
    if len(probes) > 1:
        yield Finding(path, f"has {' and '.join(probes)} (one of http, tcp, command)")
    names = [name for port in _list(job, "ports") if (name := _name_of(port))]
    for probe in probes:
        port = _mapping(health, probe).get("port")
        if isinstance(port, str) and port not in names:
            allowed = unknown(port, names) if names else "(the job has no ports)"
            yield Finding((*path, probe, "port"), f"{quoted(port)} is no port {allowed}")


def _backoff(job: Mapping[str, object]) -> Iterator[Finding]:
    backoff = _mapping(_mapping(job, "restart"), "backoff")
    try:
        initial = parse_duration(backoff.get("initial", "1s"))
        most = parse_duration(backoff.get("max", "5m"))
    except Wrong:
        return
    if initial > most:
        key = "initial" if "initial" in backoff else "max"
        yield Finding(("restart", "backoff", key), "initial is longer than max")


def _targets(job: Mapping[str, object]) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, spread in enumerate(_list(job, "spread")):
        if not isinstance(spread, dict):
            continue
        attribute = spread.get("attribute")
        if isinstance(attribute, str) and attribute in seen:
            text = f"{quoted(attribute)} is spread twice (once)"
            yield Finding(("spread", index, "attribute"), text)
        elif isinstance(attribute, str):
            seen.add(attribute)
        percents = [one for one in _mapping(spread, "targets").values() if isinstance(one, int)]
        if sum(percents) > 100:
            yield Finding(("spread", index, "targets"), f"sum up to {sum(percents)} (at most 100)")


def _has(job: Mapping[str, object], path: KeyPath) -> bool:
    *around, last = path
    inner = job
    for step in around:
        inner = _mapping(inner, str(step))
    return last in inner


def _mapping(outer: Mapping[str, object], key: str) -> Mapping[str, object]:
    inner = outer.get(key)
    return inner if isinstance(inner, dict) else {}


def _list(outer: Mapping[str, object], key: str) -> Sequence[object]:
    inner = outer.get(key)
    return inner if isinstance(inner, list) else []


def _name_of(port: object) -> str:
    name = port.get("name") if isinstance(port, dict) else None
    return name if isinstance(name, str) else ""
