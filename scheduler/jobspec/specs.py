"""From a validated body to the core's job, and from a job back to its document.

`spec_of` fills in every default; `to_document` leaves them out again, so that a job is shown as
short as one would write it. Mappings without a meaning in their order (env, labels) are sorted:
writing them in another order must not replace tasks. Neighbours: `schema`, `documents`.
"""

from dataclasses import dataclass
from typing import cast

from scheduler.core.model.ids import JobId, Role
from scheduler.core.model.job import (
    Argv,
    Artifact,
    CommandProbe,
    Container,
    ContainerType,
    HealthCheck,
    HttpProbe,
    JobSpec,
    Kind,
    Limits,
    OnReturn,
    Port,
    Preferences,
    Restart,
    RestartPolicy,
    Shell,
    Spread,
    Strategy,
    Target,
    TcpProbe,
    Template,
    Unreachable,
    Update,
)
from scheduler.core.model.resources import MILLI, Amounts
from scheduler.jobspec.constraints import WEIGHT_DEFAULT, affinity_value, condition_value
from scheduler.jobspec.fields import NEVER
from scheduler.jobspec.quantities import decimal_number, duration_text, size_text
from scheduler.jobspec.schema import (
    KILL_GRACE_S_DEFAULT,
    RETRIES_DEFAULT,
    HealthBody,
    JobBody,
    ResourcesBody,
    SpreadBody,
)


@dataclass(frozen=True, slots=True)
class JobDefaults:
    """What the settings say where a job says nothing."""

    role: Role


def spec_of(body: JobBody, defaults: JobDefaults) -> JobSpec:
    return JobSpec(
        job=JobId(body.job),
        kind=Kind(body.kind),
        instances=body.instances,
        template=_template(body, defaults),
        priority=body.priority,
        labels=tuple(sorted(body.labels.items())),
        restart=_restart(body),
        unreachable=Unreachable(
            body.unreachable.replace_after, OnReturn(body.unreachable.on_return)
        ),
        update=Update(body.update.min_healthy_time),
        prefer=Preferences(
            affinities=tuple(body.affinities),
            spread=tuple(_spread(one) for one in body.spread),
            strategy=Strategy(body.placement),
        ),
    )


def _spread(body: SpreadBody) -> Spread:
    targets = tuple(Target(value, percent) for value, percent in sorted(body.targets.items()))
    return Spread(body.attribute, targets, body.weight)


def _template(body: JobBody, defaults: JobDefaults) -> Template:
    return Template(
        role=defaults.role if body.role is None else Role(body.role),
        command=_command(body.command),
        amounts=_amounts(body.resources),
        container=None
        if body.container is None
        else Container(body.container.image, ContainerType(body.container.type)),
        user=body.user,
        ports=tuple(Port(port.name, port.host) for port in body.ports),
        env=tuple(sorted(body.env.items())),
        artifacts=tuple(Artifact(**artifact.model_dump()) for artifact in body.artifacts),
        constraints=tuple(body.constraints),
        health=None if body.checks.health is None else _health(body.checks.health),
        kill_grace_s=body.kill.grace,
        max_runtime_s=body.max_runtime,
        limits=Limits(body.limits.cpus, body.limits.mem),
    )


def _amounts(body: ResourcesBody) -> Amounts:
    cpus = "revocable_cpus" if body.revocable else "cpus"
    return Amounts(mem=body.mem, disk=body.disk, gpus=body.gpus * MILLI, **{cpus: body.cpus})


def _command(command: str | list[str] | None) -> Shell | Argv | None:
    match command:
        case None:
            return None
        case str():
            return Shell(command)
        case [*argv]:
            return Argv(tuple(argv))


def _health(body: HealthBody) -> HealthCheck:
    probe: HttpProbe | TcpProbe | CommandProbe
    if body.http is not None:
        probe = HttpProbe(body.http.port, body.http.path, body.http.scheme)
    elif body.tcp is not None:
        probe = TcpProbe(body.tcp.port)
    else:
        probe = CommandProbe(cast(str, body.command))
    return HealthCheck(probe, body.delay, body.interval, body.timeout, body.grace, body.failures)


def _restart(body: JobBody) -> Restart:
    """A batch's retries are failures after the first, the core's attempts count that one too."""
    batch = body.kind == Kind.BATCH
    backoff = body.restart.backoff
    return Restart(
        policy=RestartPolicy.ON_FAILURE if batch else RestartPolicy(body.restart.policy),
        backoff_initial_s=backoff.initial,
        backoff_factor=backoff.factor / MILLI,
        backoff_s_max=backoff.max,
        attempts=body.retries + 1 if batch else body.restart.attempts,
    )


# --- and back ------------------------------------------------------------------------------------


def to_document(spec: JobSpec) -> dict[str, object]:
    """The document that is read as this job again. Plain values only, fit for YAML and JSON."""
    template = spec.template
    document: dict[str, object] = {
        "job": str(spec.job),
        "kind": spec.kind.value,
        "role": str(template.role),
        "priority": spec.priority if spec.priority != 50 else None,
        "labels": dict(spec.labels),
        "instances": spec.instances,
        "command": _command_value(template.command),
        "container": _container_value(template.container),
        "user": template.user,
        "resources": _resources_value(template.amounts),
        "limits": _limits_value(template.limits),
        "ports": [_given(name=port.name, host=port.host) for port in template.ports],
        "env": dict(template.env),
        "artifacts": [_artifact_value(artifact) for artifact in template.artifacts],
        "constraints": [condition_value(condition) for condition in template.constraints],
        **_preference_values(spec.prefer),
        "checks": {} if template.health is None else {"health": _health_value(template.health)},
        "kill": _changed("grace", template.kill_grace_s, KILL_GRACE_S_DEFAULT),
        "restart": _restart_value(spec),
        "unreachable": _unreachable_value(spec.unreachable),
        "update": _changed("min_healthy_time", spec.update.min_healthy_s, Update().min_healthy_s),
        **_batch_values(spec),
    }
    return {key: value for key, value in document.items() if value not in (None, {}, [])}


def _given(**values: object) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


def _changed(key: str, seconds: float, default_s: float) -> dict[str, object]:
    return {} if seconds == default_s else {key: duration_text(seconds)}


def _command_value(command: Shell | Argv | None) -> object:
    match command:
        case None:
            return None
        case Shell(line):
            return line
        case Argv(argv):
            return list(argv)


def _container_value(container: Container | None) -> object:
    if container is None:
        return None
    docker = container.type is not ContainerType.MESOS
    return _given(image=container.image, type=container.type.value if docker else None)


def _resources_value(amounts: Amounts) -> dict[str, object]:
    return _given(
        cpus=decimal_number(amounts.revocable_cpus or amounts.cpus),
        mem=size_text(amounts.mem),
        disk=size_text(amounts.disk) if amounts.disk else None,
        gpus=amounts.gpus // MILLI or None,
        revocable=amounts.revocable_cpus > 0 or None,
    )


def _limits_value(limits: Limits) -> object:
    return _given(
        cpus=decimal_number(limits.cpus) if limits.cpus is not None else None,
        mem=size_text(limits.mem) if limits.mem is not None else None,
    )


def _artifact_value(artifact: Artifact) -> object:
    plain = Artifact(artifact.uri)
    if artifact == plain:
        return artifact.uri
    names = ("extract", "executable", "cache", "output_file")
    changed = {
        name: getattr(artifact, name)
        for name in names
        if getattr(artifact, name) != getattr(plain, name)
    }
    return {"uri": artifact.uri, **changed}


def _health_value(health: HealthCheck) -> dict[str, object]:
    usual = HealthCheck(health.probe)
    return {
        **_probe_value(health.probe),
        **_changed("delay", health.delay_s, usual.delay_s),
        **_changed("interval", health.interval_s, usual.interval_s),
        **_changed("timeout", health.timeout_s, usual.timeout_s),
        **_changed("grace", health.grace_s, usual.grace_s),
        **({} if health.failures == usual.failures else {"failures": health.failures}),
    }


def _probe_value(probe: HttpProbe | TcpProbe | CommandProbe) -> dict[str, object]:
    match probe:
        case HttpProbe(port, path, scheme):
            usual = HttpProbe(port)
            return {
                "http": _given(
                    port=port,
                    path=None if path == usual.path else path,
                    scheme=None if scheme == usual.scheme else scheme,
                )
            }
        case TcpProbe(port):
            return {"tcp": {"port": port}}
        case CommandProbe(line):
            return {"command": line}


def _preference_values(prefer: Preferences) -> dict[str, object]:
    packs = prefer.strategy is Strategy.BIN_PACK
    return {
        "affinities": [affinity_value(affinity) for affinity in prefer.affinities],
        "spread": [_spread_value(spread) for spread in prefer.spread],
        "placement": None if packs else prefer.strategy.value,
    }


def _spread_value(spread: Spread) -> dict[str, object]:
    targets = {target.value: target.percent for target in spread.targets}
    return _given(
        attribute=spread.attribute,
        targets=targets or None,
        weight=None if spread.weight == WEIGHT_DEFAULT else spread.weight,
    )


def _restart_value(spec: JobSpec) -> dict[str, object]:
    restart, usual = spec.restart, Restart()
    backoff: dict[str, object] = {
        **_changed("initial", restart.backoff_initial_s, usual.backoff_initial_s),
        **_changed("max", restart.backoff_s_max, usual.backoff_s_max),
    }
    if restart.backoff_factor != usual.backoff_factor:
        backoff["factor"] = decimal_number(round(restart.backoff_factor * MILLI))
    value: dict[str, object] = {"backoff": backoff} if backoff else {}
    if spec.kind is Kind.SERVICE and restart.policy is not usual.policy:
        value["policy"] = restart.policy.value
    if spec.kind is Kind.SERVICE and restart.attempts != usual.attempts:
        value["attempts"] = restart.attempts
    return value


def _unreachable_value(unreachable: Unreachable) -> dict[str, object]:
    usual = Unreachable()
    value: dict[str, object] = {}
    if unreachable.replace_after_s is None:
        value["replace_after"] = NEVER
    elif unreachable.replace_after_s != usual.replace_after_s:
        value["replace_after"] = duration_text(unreachable.replace_after_s)
    if unreachable.on_return is not usual.on_return:
        value["on_return"] = unreachable.on_return.value
    return value


def _batch_values(spec: JobSpec) -> dict[str, object]:
    if spec.kind is not Kind.BATCH:
        return {}
    retries = spec.restart.attempts - 1
    runtime_s = spec.template.max_runtime_s
    return _given(
        retries=None if retries == RETRIES_DEFAULT else retries,
        max_runtime=None if runtime_s is None else duration_text(runtime_s),
    )
