"""Values for tests, with defaults that do not matter to the test that names the others."""

from collections.abc import Mapping

from scheduler.core.events import StatusUpdated, TaskState
from scheduler.core.model.ids import AgentId, JobId, OfferId, Role, TaskId
from scheduler.core.model.job import (
    Condition,
    HealthCheck,
    JobSpec,
    Kind,
    Port,
    Preferences,
    Restart,
    RestartPolicy,
    Shell,
    Template,
    Unreachable,
    Update,
)
from scheduler.core.model.offer import AgentInfo, Offer
from scheduler.core.model.resources import Amounts, OfferedResource, PortRange

ROLE = Role("prod")


def a_template(
    *,
    role: Role = ROLE,
    line: str = "exec sleep 1000",
    cpus: int = 1000,
    mem: int = 128_000,
    disk: int = 0,
    gpus: int = 0,
    revocable_cpus: int = 0,
    ports: tuple[Port, ...] = (),
    constraints: tuple[Condition, ...] = (),
    health: HealthCheck | None = None,
) -> Template:
    return Template(
        role=role,
        command=Shell(line),
        amounts=Amounts(cpus, mem, disk, gpus, revocable_cpus),
        ports=ports,
        constraints=constraints,
        health=health,
    )


def a_service(
    job: str = "web",
    *,
    instances: int = 1,
    template: Template | None = None,
    priority: int = 50,
    restart: Restart | None = None,
    unreachable: Unreachable | None = None,
    min_healthy_s: float = 10.0,
    labels: Mapping[str, str] | None = None,
    prefer: Preferences | None = None,
) -> JobSpec:
    return JobSpec(
        job=JobId(job),
        kind=Kind.SERVICE,
        instances=instances,
        template=template or a_template(),
        priority=priority,
        labels=tuple((labels or {}).items()),
        restart=restart or Restart(),
        unreachable=unreachable or Unreachable(),
        update=Update(min_healthy_s),
        prefer=prefer or Preferences(),
    )


def a_batch(
    job: str = "numbers",
    *,
    instances: int = 1,
    retries: int = 3,
    template: Template | None = None,
    unreachable: Unreachable | None = None,
) -> JobSpec:
    return JobSpec(
        job=JobId(job),
        kind=Kind.BATCH,
        instances=instances,
        template=template or a_template(line="true"),
        restart=Restart(policy=RestartPolicy.ON_FAILURE, attempts=retries + 1),
        unreachable=unreachable or Unreachable(),
    )


def an_agent(name: str = "a1", **attributes: str) -> AgentInfo:
    return AgentInfo(
        agent_id=AgentId(f"S-{name}"),
        hostname=name,
        url=f"http://{name}:5051",
        attributes=tuple(attributes.items()),
    )


def an_offer(
    offer: str = "o1",
    agent: AgentInfo | None = None,
    *,
    role: Role = ROLE,
    cpus: int = 4000,
    mem: int = 4_096_000,
    disk: int = 10_000_000,
    gpus: int = 0,
    revocable_cpus: int = 0,
    ports: tuple[tuple[int, int], ...] = ((31000, 31999),),
) -> Offer:
    scalars = {
        "cpus": cpus,
        "mem": mem,
        "disk": disk,
        "gpus": gpus,
        "revocable_cpus": revocable_cpus,
    }
    resources = [
        OfferedResource(name, name.encode(), scalar=amount)
        for name, amount in scalars.items()
        if amount
    ]
    if ports:
        ranges = tuple(PortRange(*ends) for ends in ports)
        resources.append(OfferedResource("ports", b"ports", ranges=ranges))
    return Offer(OfferId(offer), role, agent or an_agent(), tuple(resources))


def a_status(
    task: TaskId,
    state: TaskState,
    *,
    agent: str = "S-a1",
    uuid: bytes = b"",
    reason: str = "",
    healthy: bool | None = None,
    message: str = "",
) -> StatusUpdated:
    return StatusUpdated(
        task_id=task,
        state=state,
        agent_id=AgentId(agent),
        timestamp=0.0,
        uuid=uuid,
        source="executor" if uuid else "master",
        reason=reason,
        message=message,
        healthy=healthy,
    )
