"""Documents of jobs for tests: one minimal of each kind, and strategies for any that is valid."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from scheduler.core.model.ids import Role
from scheduler.jobspec import JobDefaults

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For rules tested on a machine that may be busy with something else."""
DEFAULTS = JobDefaults(role=Role("prod"))
SERVICE = "job: web\nkind: service\ncommand: run\nresources: {cpus: 1, mem: 64MiB}\n"
BATCH = "job: numbers\nkind: batch\ncommand: run\nresources: {cpus: 1, mem: 64MiB}\n"

_TEXT = st.text(
    st.characters(
        exclude_categories=("Cs", "Cc"), include_characters="\n\t", exclude_characters="\x00"
    ),
    min_size=1,
    max_size=30,
).filter(str.strip)
_TRAP = st.sampled_from(
    [
        "no",
        "on",
        "yes",
        "true",
        "null",
        "~",
        "1e3",
        "0o17",
        "0x1F",
        "12:30:00",
        "1.10",
        "007",
        "=",
        "<<",
    ]
)
TEXT = _TEXT | _TRAP
DURATION = st.sampled_from(["0s", "250ms", "1s", "10s", "1m30s", "1h", "2d", "1d1h1m1s1ms"])
INTERVAL = DURATION.filter(lambda text: text != "0s")
SIZE = st.sampled_from(["1MiB", "512MB", "1.5GiB", "2TiB", "100000KiB", "7.125MiB"])
DECIMAL = st.integers(1000, 99_999).map(lambda milli: milli / 1000)
JOB_NAME = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(/[a-z0-9]{1,5}){0,2}\Z")
PORT_NAME = st.from_regex(r"\A[a-z][a-z0-9-]{0,8}[a-z0-9]\Z")
ENV_NAME = st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,8}\Z", alphabet=st.characters(codec="ascii")).filter(
    lambda name: not name.startswith(("PORT", "INSTANCE"))
)


def _some(**optional: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries({}, optional=optional)


CONSTRAINT = st.sampled_from(
    [
        *("hostname unique", "rack like r[12]", "@region is eu", "zone is a b", "@zone cluster"),
        *("hostname like web-.*", "zone group_by", "zone group_by 3", "rack max_per 2"),
        *("disk in [ssd, nvme 2]", "os unlike win.*", "kernel >= 5.10", "cores < 8", "gen <= v2.1"),
        *("x > -2.5", "@agent is S-1", "@job unlike team/.*", "@job in [db]"),
    ]
)
_PLAIN = CONSTRAINT.filter(
    lambda text: not any(word in text for word in ("unique", "cluster", "group_by", "max_per"))
)
_COMBINED: st.SearchStrategy[object] = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": st.one_of(inner, st.lists(inner, min_size=2, max_size=3))}),
    ),
    max_leaves=4,
).filter(lambda value: isinstance(value, dict))
WEIGHT = st.integers(-100, 100)
AFFINITY = st.one_of(
    st.builds("{} weight {}".format, _PLAIN, WEIGHT),
    st.builds(lambda value, weight: {**value, "weight": weight}, _COMBINED, WEIGHT),
)
SPREAD = st.fixed_dictionaries(
    {"attribute": st.sampled_from(["zone", "hostname", "@region"])},
    optional={
        "targets": st.dictionaries(TEXT, st.integers(0, 33), min_size=1, max_size=3),
        "weight": st.integers(1, 100),
    },
)
ARTIFACT = st.sampled_from(["https://example.com/a.tgz", "/opt/a.tgz"]) | st.fixed_dictionaries(
    {"uri": st.just("https://example.com/b")},
    optional={
        "extract": st.booleans(),
        "executable": st.booleans(),
        "cache": st.booleans(),
        "output_file": st.sampled_from(["b", "d/b"]),
    },
)


@st.composite
def _ports(draw: st.DrawFn) -> list[dict[str, object]]:
    names = draw(st.lists(PORT_NAME, max_size=4, unique=True))
    hosts = draw(
        st.lists(st.integers(1, 65_535), min_size=len(names), max_size=len(names), unique=True)
    )
    return [
        {"name": name, "host": host} if draw(st.booleans()) else {"name": name}
        for name, host in zip(names, hosts, strict=True)
    ]


def _health(names: list[str]) -> st.SearchStrategy[dict[str, object]]:
    probes: list[st.SearchStrategy[dict[str, object]]] = [st.fixed_dictionaries({"command": TEXT})]
    if names:
        port = st.sampled_from(names)
        more = {"path": st.just("/healthz"), "scheme": st.sampled_from(["http", "https"])}
        probes.append(
            st.fixed_dictionaries({"http": st.fixed_dictionaries({"port": port}, optional=more)})
        )
        probes.append(st.fixed_dictionaries({"tcp": st.fixed_dictionaries({"port": port})}))
    timing = _some(
        delay=DURATION,
        interval=INTERVAL,
        timeout=INTERVAL,
        grace=DURATION,
        failures=st.integers(1, 9),
    )
    return st.tuples(st.one_of(probes), timing).map(lambda both: {**both[0], **both[1]})


_BACKOFF = _some(
    initial=st.sampled_from(["0s", "500ms", "1s"]),
    factor=DECIMAL,
    max=st.sampled_from(["1s", "1m", "5m"]),
)
_SERVICE = _some(
    restart=_some(
        policy=st.sampled_from(["always", "on_failure", "never"]),
        attempts=st.integers(0, 9),
        backoff=_BACKOFF,
    ),
    update=_some(
        min_healthy_time=DURATION,
        order=st.just("stop_first"),
        max_surge=st.just(0),
        max_unavailable=st.just(1),
    ),
)
_BATCH = _some(restart=_some(backoff=_BACKOFF), retries=st.integers(0, 9), max_runtime=INTERVAL)
_COMMON = {
    "role": st.sampled_from(["*", "prod", "team/web", "no"]),
    "priority": st.integers(0, 100),
    "labels": st.dictionaries(TEXT, TEXT | st.just(""), max_size=3),
    "instances": st.integers(0, 100_000),
    "user": st.sampled_from(["nobody", "no", "007"]),
    "env": st.dictionaries(ENV_NAME, TEXT | st.just(""), max_size=3),
    "artifacts": st.lists(ARTIFACT, max_size=2),
    "constraints": st.lists(CONSTRAINT | _COMBINED, max_size=2),
    "affinities": st.lists(AFFINITY, max_size=2),
    "spread": st.lists(SPREAD, max_size=2, unique_by=lambda spread: str(spread["attribute"])),
    "placement": st.sampled_from(["bin_pack", "spread", "random"]),
    "limits": _some(cpus=st.just(10_000), mem=st.just("1024TiB")),
    "kill": _some(grace=DURATION),
    "unreachable": _some(
        replace_after=DURATION | st.just("never"),
        on_return=st.sampled_from(["keep_new", "keep_old"]),
    ),
}
_RESOURCES = st.fixed_dictionaries(
    {"cpus": DECIMAL, "mem": SIZE},
    optional={
        "disk": SIZE | st.just(0),
        "gpus": st.integers(0, 8),
        "revocable": st.booleans(),
    },
)
_CONTAINER = st.fixed_dictionaries(
    {"image": st.just("python:3.12-slim")}, optional={"type": st.sampled_from(["mesos", "docker"])}
)
_RUNS: st.SearchStrategy[dict[str, object]] = st.one_of(
    st.fixed_dictionaries({"command": TEXT}, optional={"container": _CONTAINER}),
    st.fixed_dictionaries({"command": st.lists(TEXT, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"container": _CONTAINER}),
)


@st.composite
def valid_documents(draw: st.DrawFn) -> dict[str, object]:
    """Any document that the vocabulary allows, with the keys of its kind."""
    service = draw(st.booleans())
    ports = draw(_ports())
    document: dict[str, object] = {
        "job": draw(JOB_NAME),
        "kind": "service" if service else "batch",
        "resources": draw(_RESOURCES),
        **draw(_RUNS),
        **draw(st.fixed_dictionaries({}, optional=_COMMON)),
        **draw(_SERVICE if service else _BATCH),
    }
    if ports:
        document["ports"] = ports
    if draw(st.booleans()):
        document["checks"] = {"health": draw(_health([str(port["name"]) for port in ports]))}
    return document
