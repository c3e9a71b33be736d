"""The daemon's settings: one YAML file, overridden by `OFFERD_…` variables, read once and frozen.

Every problem of file and variables is told at once, in the words and with the machinery of job
files. Secrets come from files alone and are never printed. Neighbours: `settings_values` (what each
kind of value may be), `config/offerd.yaml` (every setting with its default and why),
`scheduler.core.policy` (where numbers the engine uses come from); whoever wires the daemon reads
`Settings`.
"""

import os
import pwd
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import BeforeValidator, Field

from scheduler.core.agent_health import FAULTS_MAX
from scheduler.core.model.ids import Role
from scheduler.core.policy import AvoidPolicy, EndedPolicy, OfferPolicy, Policy, ReconcilePolicy
from scheduler.errors import SettingsError
from scheduler.jobspec.bodies import Body, once_a_path, read_body, traps
from scheduler.jobspec.fields import Duration, Flag, Interval, Text, UserName, choice, whole
from scheduler.jobspec.problems import Finding
from scheduler.settings_sources import read_sources
from scheduler.settings_values import (
    Address,
    File,
    Listen,
    Master,
    Principal,
    Roles,
    Secret,
    StoreUrl,
    Ttl,
    Url,
    keep_or_mapping,
)
from scheduler.store.etcd_address import SCHEME

_POLICY: Final = Policy(roles=())
_OFFERS: Final = OfferPolicy()
_AVOID: Final = AvoidPolicy()
_ENDED: Final = EndedPolicy()
_RECONCILE: Final = ReconcilePolicy()


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


class ApiTls(Body):
    cert_file: File = Field(description="the server's certificate and its chain, PEM")
    key_file: File = Field(description="its private key, PEM")


class Api(Body):
    token_file: Secret | None = Field(
        default=None, description="holds the token that requests must bring"
    )
    tls: ApiTls | None = Field(default=None, description="serve https")


class ClientTls(Body):
    ca_file: File | None = Field(default=None, description="whom to trust, PEM; else the system")
    cert_file: File | None = Field(default=None, description="our client certificate, PEM")
    key_file: File | None = Field(default=None, description="its private key, PEM")


class EtcdTls(Body):
    ca_file: File = Field(description="whom to trust, PEM")
    cert_file: File | None = Field(default=None, description="our client certificate, PEM")
    key_file: File | None = Field(default=None, description="its private key, PEM")


class Etcd(Body):
    prefix: Text = Field(default="offerd", description="what all keys begin with")
    user: Principal | None = Field(default=None, description="who we are to etcd")
    password_file: Secret | None = Field(default=None, description="holds the user's password")
    tls: EtcdTls | None = Field(default=None, description="speak TLS with the members")


class Election(Body):
    ttl_s: Ttl = Field(
        default=3.0, alias="ttl", description="how long after its last sign a leader is replaced"
    )


class Framework(Body):
    name: Text = Field(default="offerd", description="how the master lists us")
    user: UserName = Field(
        default_factory=_user, description="who runs tasks that name no user; the daemon's own"
    )
    roles: Roles = Field(
        default=(Role("*"),), description="Mesos roles; the first is that of jobs that name none"
    )
    principal: Principal | None = Field(default=None, description="who we are to the master")
    secret_file: Secret | None = Field(default=None, description="holds the principal's secret")
    failover_timeout_s: Interval = Field(
        default=_POLICY.failover_timeout_s,
        alias="failover_timeout",
        description="how long the master keeps our tasks without us",
    )
    checkpoint: Flag = Field(default=True, description="tasks outlive a restart of their agent")
    webui_url: Url | None = Field(
        default=None, description="the link in the master's pages; `advertise` without"
    )
    hostname: Text = Field(
        default_factory=socket.gethostname, description="our host in the master's pages"
    )
    new_id_when_removed: Flag = Field(
        default=False, description="register anew when the master has removed us"
    )


class Operator(Body):
    principal: Principal | None = Field(
        default=None, description="who asks for the agents' list and reads sandboxes"
    )
    secret_file: Secret | None = Field(default=None, description="holds the principal's secret")
    agents_interval_s: Interval = Field(
        default=30.0, alias="agents_interval", description="how often the agents are listed"
    )


class Offers(Body):
    gather_s: Duration = Field(
        default=_OFFERS.gather_s,
        alias="gather",
        description="with much waiting, offers that are not enough for all wait so long for others",
    )
    gather_when_waiting: Annotated[int, whole(1, 1_000_000)] = Field(
        default=_OFFERS.gather_when_waiting,
        description="how many instances of a role are much",
    )
    hold_s_max: Interval = Field(
        default=_OFFERS.hold_s_max,
        alias="hold_max",
        description="no offer is kept for longer, whatever the reason",
    )
    refuse_nothing_waits_s: Duration = Field(
        default=_OFFERS.refuse_s_nothing_waits,
        alias="refuse_nothing_waits",
        description="how long to refuse an offer when nothing waits",
    )
    refuse_no_fit_s: Duration = Field(
        default=_OFFERS.refuse_s_no_fit,
        alias="refuse_no_fit",
        description="how long to refuse one that fits nothing that waits",
    )
    refuse_jitter_percent: Annotated[int, whole(0, 90)] = Field(
        default=round(_OFFERS.refuse_jitter * 100),
        description="so much more or less, by chance: offers do not come back all at once",
    )
    refuse_held_s: Duration = Field(
        default=_OFFERS.refuse_s_held,
        alias="refuse_held",
        description="how long to refuse one that was kept for too long",
    )
    refuse_rest_s: Duration = Field(
        default=_OFFERS.refuse_s_rest,
        alias="refuse_rest",
        description="how long to refuse the rest of one that more could be placed on",
    )
    revive_interval_s_min: Duration = Field(
        default=_OFFERS.revive_interval_s,
        alias="revive_interval_min",
        description="refused offers are asked back at most this often",
    )
    revive_burst: Annotated[int, whole(1, 100)] = Field(
        default=_OFFERS.revive_burst,
        description="but so many times before that holds",
    )
    revive_gather_s: Duration = Field(
        default=_OFFERS.revive_gather_s,
        alias="revive_gather",
        description="work that comes within this time shares one request",
    )
    revive_repeat_s: Interval = Field(
        default=_OFFERS.revive_repeat_s,
        alias="revive_repeat",
        description="a request that brought no offer is repeated once, after this time",
    )
    suppress_after_backoff_s: Duration = Field(
        default=_OFFERS.suppress_after_backoff_s,
        alias="suppress_after_backoff",
        description="work that is due later than this asks for no offers yet",
    )
    update_interval_s_min: Interval = Field(
        default=_OFFERS.update_interval_s,
        alias="update_interval_min",
        description="the master is told what offers must have at most this often",
    )
    narrow_after_s: Interval = Field(
        default=_OFFERS.narrow_after_s,
        alias="narrow_after",
        description="and only after this time where it may hide more of them",
    )
    constraint_groups_max: Annotated[int, whole(0, 1000)] = Field(
        default=_OFFERS.constraint_groups_max,
        description="alternatives in a role's offer constraints; more are told as none",
    )


class UnknownTasks(Body):
    kill_after_s: Duration | None = Field(
        default=None, alias="kill_after", description="end them after this time"
    )


class Avoid(Body):
    failures: Annotated[int, whole(0, FAULTS_MAX)] = Field(
        default=_AVOID.failures,
        description="so many failures of an agent's own making, and it is avoided; 0: none is",
    )
    window_s: Interval = Field(
        default=_AVOID.window_s, alias="window", description="failures longer ago do not count"
    )
    time_s: Interval = Field(
        default=_AVOID.avoid_s_initial,
        alias="time",
        description="for how long at first; each further time it is twice as long",
    )
    time_s_max: Interval = Field(
        default=_AVOID.avoid_s_max, alias="time_max", description="for how long at most"
    )
    forget_after_s: Interval = Field(
        default=_AVOID.forget_s,
        alias="forget_after",
        description="after so long in use without such failures the next time is a first one",
    )
    share_max_percent: Annotated[int, whole(0, 100)] = Field(
        default=round(_AVOID.share_max * 100),
        description="of the agents known, no more are avoided at once (of three, one may be)",
    )


class Batches(Body):
    keep_s: Duration = Field(
        default=_ENDED.keep_s, alias="keep", description="how long an ended batch is kept"
    )
    keep_count: Annotated[int, whole(0, 100_000)] = Field(
        default=_ENDED.keep_max, description="how many ended batches are kept"
    )


class Log(Body):
    level: Annotated[str, choice("debug", "info", "warning", "error")] = Field(
        default="info", description="debug, info, warning or error"
    )
    format: Annotated[str, choice("json", "console")] = Field(
        default="json", description="`json` (one object a line) or `console` (for people)"
    )


class Settings(Body):
    """All settings, validated and complete. Durations are seconds (`…_s`)."""

    later: ClassVar[frozenset[str]] = frozenset({"jobs_dir"})

    master: Master = Field(
        default=("http://127.0.0.1:5050",),
        description="the master's URL, a list of URLs, or `zk://…`",
    )
    master_tls: ClientTls = Field(
        default_factory=ClientTls, description="for masters and agents that speak https"
    )
    store: StoreUrl = Field(
        default="sqlite:/var/lib/offerd/offerd.db",
        description="`sqlite:PATH`, `memory:`, or `etcd://host:port,…` for several daemons",
    )
    etcd: Etcd = Field(default_factory=Etcd, description="for stores in etcd")
    election: Election = Field(
        default_factory=Election, description="which of several daemons leads; for stores in etcd"
    )
    listen: Listen = Field(
        default=Address("127.0.0.1", 8080),
        description="where the API listens; beyond loopback only with a token",
    )
    advertise: Url | None = Field(
        default=None, description="the URL under which others reach the API"
    )
    peer_token_file: Secret | None = Field(
        default=None, description="holds the token that daemons bring to each other"
    )
    peer_tls: ClientTls = Field(
        default_factory=ClientTls, description="for daemons that serve each other https"
    )
    instance: Text = Field(
        default_factory=socket.gethostname, description="this daemon's name; its host's"
    )
    api: Api = Field(default_factory=Api, description="who may use the API")
    framework: Framework = Field(default_factory=Framework, description="who we are to Mesos")
    operator: Operator = Field(
        default_factory=Operator, description="how the operator API is asked"
    )
    offers: Offers = Field(default_factory=Offers, description="what we do with offers")
    unknown_tasks: Annotated[UnknownTasks, BeforeValidator(keep_or_mapping)] = Field(
        default_factory=UnknownTasks,
        description="tasks of ours in no record of ours: `keep`, or `{kill_after: 1h}`",
    )
    avoid: Avoid = Field(
        default_factory=Avoid, description="when agents that fail tasks are avoided"
    )
    batches: Batches = Field(default_factory=Batches, description="batches that have ended")
    launch_timeout_s: Interval = Field(
        default=_POLICY.launch_timeout_s,
        alias="launch_timeout",
        description="a task without a word for so long is asked for, then replaced",
    )
    reconcile_interval_s: Interval = Field(
        default=_RECONCILE.interval_s,
        alias="reconcile_interval",
        description="how often all tasks are compared with the master",
    )
    log: Log = Field(default_factory=Log, description="what is logged, and how")

    @property
    def webui_url(self) -> str | None:
        """The link for the master's pages, if there is one."""
        return self.framework.webui_url or self.advertise


def load_settings(path: str | Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a file (None: defaults) with the variables over them.

    Raises `SettingsError` with every problem, one a line.
    """
    sources = read_sources(Settings, path, environ)
    settings, findings = read_body(Settings, sources.document)
    found = once_a_path(traps(sources.document), findings)
    if settings is not None and not found:
        found = _cross(settings)
    problems = [*sources.problems, *sources.placed(found)]
    if settings is None or problems:
        raise SettingsError("\n".join(map(str, problems)))
    return settings


def _cross(settings: Settings) -> list[Finding]:
    """What shows only between settings."""
    found: list[Finding] = []
    if not settings.listen.loopback and settings.api.token_file is None:
        text = f"{settings.listen} is beyond loopback and asks for no token (set api.token_file)"
        found.append(Finding(("listen",), text))
    for key, section in (("framework", settings.framework), ("operator", settings.operator)):
        if section.secret_file is not None and section.principal is None:
            found.append(Finding((key, "secret_file"), f"has no {key}.principal to go with"))
    for name, tls in (("master_tls", settings.master_tls), ("peer_tls", settings.peer_tls)):
        if (tls.cert_file is None) != (tls.key_file is None):
            found.append(Finding((name,), "cert_file and key_file are given together"))
    if settings.avoid.time_s > settings.avoid.time_s_max:
        found.append(Finding(("avoid", "time"), "is more than avoid.time_max"))
    if _peers_refuse(settings):
        text = "is asked for by the other daemons, too: set peer_token_file, the same everywhere"
        found.append(Finding(("api", "token_file"), text))
    etcd = settings.etcd
    if (etcd.user is None) != (etcd.password_file is None):
        found.append(Finding(("etcd",), "user and password_file are given together"))
    if etcd.tls is not None and (etcd.tls.cert_file is None) != (etcd.tls.key_file is None):
        found.append(Finding(("etcd", "tls"), "cert_file and key_file are given together"))
    return found


def _peers_refuse(settings: Settings) -> bool:
    """Several daemons are set up alike: who asks for a token is asked for one. Only who sets
    `advertise` has others that pass requests on to it."""
    several = settings.store.startswith(SCHEME) and settings.advertise is not None
    return several and settings.api.token_file is not None and settings.peer_token_file is None
