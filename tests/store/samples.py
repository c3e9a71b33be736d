"""Records for tests: a few typical ones, and hypothesis strategies for all there can be."""

from hypothesis import strategies as st

from scheduler.core.model.ids import (
    AgentId,
    AgentKey,
    FrameworkId,
    InstanceKey,
    JobId,
    Role,
    TaskId,
    Uid,
)
from scheduler.core.model.instance import (
    Attempt,
    AttemptState,
    EndReason,
    Instance,
    Outcome,
    WantedEnd,
)
from scheduler.core.model.job import (
    Argv,
    Artifact,
    Combined,
    CommandProbe,
    Condition,
    Constraint,
    Container,
    ContainerType,
    HealthCheck,
    HttpProbe,
    JobSpec,
    Junction,
    Kind,
    OnReturn,
    Operator,
    Port,
    Restart,
    RestartPolicy,
    Shell,
    TcpProbe,
    Template,
    Unreachable,
    Update,
)
from scheduler.core.model.resources import Amounts
from scheduler.core.records import (
    AgentRecord,
    Desired,
    FrameworkRecord,
    JobRecord,
    Record,
    RecordKey,
)

WEB = JobId("team/web")


def framework(name: str = "6d2a-0001") -> FrameworkRecord:
    return FrameworkRecord(framework_id=FrameworkId(name), armed=True, subscribed_at=1000.5)


def job(name: JobId = WEB, version: int = 1) -> JobRecord:
    template = Template(role=Role("prod"), command=Shell("sleep 1"), amounts=Amounts(500, 32_000))
    spec = JobSpec(job=name, kind=Kind.SERVICE, instances=3, template=template)
    return JobRecord(
        spec=spec,
        uid=Uid("k3j4h5g6"),
        version=version,
        template_version=1,
        desired=Desired.RUN,
        created_at=1000.0,
        changed_at=1001.0,
    )


def instance(index: int, attempts: int = 1, name: JobId = WEB) -> Instance:
    """About 270 bytes at rest."""
    attempt = Attempt(
        task_id=TaskId(f"team.web.{index}.{attempts}.k3j4h5g6"),
        number=attempts,
        version=1,
        state=AttemptState.RUNNING,
        agent_id=AgentId("0b5f9c3e-93a1-4b1f-8f0e-2f7b1a3c4d5e-S12"),
        hostname="node-12.example",
        since=1002.25,
        launched_at=1001.25,
        agent_url="http://node-12.example:5051",
        ports=(31000, 31001),
    )
    return Instance(job=name, index=index, attempts=attempts, live=(attempt,))


texts = st.text(max_size=20)
times = st.floats(allow_nan=False)
counts = st.integers(min_value=0, max_value=2**31)
names = st.from_regex(r"[a-z0-9-]{1,12}(/[a-z0-9-]{1,12}){0,2}", fullmatch=True).map(JobId)
pairs = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)

agent_ids = st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True).map(AgentId)

keys: st.SearchStrategy[RecordKey] = (
    names | st.builds(InstanceKey, names, counts) | st.builds(AgentKey, agent_ids)
)

frameworks = st.builds(
    FrameworkRecord, framework_id=texts.map(FrameworkId), armed=st.booleans(), subscribed_at=times
)

probes = (
    st.builds(HttpProbe, port=texts, path=texts, scheme=texts)
    | st.builds(TcpProbe, port=texts)
    | st.builds(CommandProbe, line=texts)
)
commands = (
    st.builds(Shell, line=texts)
    | st.builds(Argv, argv=st.lists(texts, max_size=4).map(tuple))
    | st.none()
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    st.builds(
        Constraint,
        attribute=texts,
        operator=st.sampled_from(list(Operator)),
        value=texts,
        values=st.lists(texts, max_size=2).map(tuple),
        count=counts,
    ),
    lambda inner: st.builds(
        Combined, st.sampled_from(list(Junction)), st.lists(inner, max_size=2).map(tuple)
    ),
    max_leaves=3,
)
templates = st.builds(
    Template,
    role=texts.map(Role),
    command=commands,
    amounts=st.builds(Amounts, counts, counts, counts, counts),
    container=st.none()
    | st.builds(Container, image=texts, type=st.sampled_from(list(ContainerType))),
    user=st.none() | texts,
    ports=st.lists(st.builds(Port, name=texts, host=st.none() | counts), max_size=3).map(tuple),
    env=pairs,
    artifacts=st.lists(
        st.builds(Artifact, uri=texts, extract=st.booleans(), output_file=st.none() | texts),
        max_size=2,
    ).map(tuple),
    constraints=st.lists(conditions, max_size=2).map(tuple),
    health=st.none() | st.builds(HealthCheck, probe=probes, delay_s=times, failures=counts),
    kill_grace_s=times,
    max_runtime_s=st.none() | times,
)
specs = st.builds(
    JobSpec,
    job=names,
    kind=st.sampled_from(list(Kind)),
    instances=counts,
    template=templates,
    priority=counts,
    labels=pairs,
    restart=st.builds(Restart, policy=st.sampled_from(list(RestartPolicy)), attempts=counts),
    unreachable=st.builds(
        Unreachable,
        replace_after_s=st.none() | times,
        on_return=st.sampled_from(list(OnReturn)),
    ),
    update=st.builds(Update, min_healthy_s=times),
)
jobs = st.builds(
    JobRecord,
    spec=specs,
    uid=texts.map(Uid),
    version=counts,
    template_version=counts,
    desired=st.sampled_from(list(Desired)),
    created_at=times,
    changed_at=times,
    ended_at=st.none() | times,
)

attempts = st.builds(
    Attempt,
    task_id=texts.map(TaskId),
    number=counts,
    version=counts,
    state=st.sampled_from(list(AttemptState)),
    agent_id=texts.map(AgentId),
    hostname=texts,
    since=times,
    launched_at=times,
    agent_url=texts,
    ports=st.lists(counts, max_size=3).map(tuple),
    started_at=st.none() | times,
    healthy=st.none() | st.booleans(),
    reason=texts,
    message=texts,
    away_since=st.none() | times,
    end=st.none()
    | st.builds(WantedEnd, reason=st.sampled_from(list(EndReason)), grace_s=times, at=times),
    attributes=pairs,
)
instances = st.builds(
    Instance,
    job=names,
    index=counts,
    attempts=counts,
    live=st.lists(attempts, max_size=2).map(tuple),
    ended=st.lists(attempts, max_size=3).map(tuple),
    failures=counts,
    not_before=st.none() | times,
    outcome=st.none() | st.sampled_from(list(Outcome)),
)

agents = st.builds(
    AgentRecord,
    agent_id=agent_ids,
    hostname=texts,
    avoided=st.booleans(),
    since=times,
    until=times,
    times=counts,
    fault=texts,
)

records: st.SearchStrategy[Record] = frameworks | jobs | instances | agents
