"""What is wrong in a job file, word for word: place, path, what is wrong, what is allowed."""

import pytest

from scheduler.jobspec import parse_jobs
from scheduler.jobspec.bodies import FINDINGS_MAX
from tests.jobspec.documents import BATCH, DEFAULTS, SERVICE

DURATIONS = "(250ms, 10s, 5m, 1h30m, 2d)"
SIZES = "(512KiB, 256MiB, 1.5GiB, 1TiB, or KB, MB, GB, TB)"
NAME = "(a-z, 0-9 and - inside, parts joined by /: web, team/web)"
CONSTRAINTS = "(rack is r1, zone group_by 3, hostname unique; or a mapping of all, any or not)"
WEIGHT = "weight must be a whole number from -100 to 100"
LATER = "is not carried out by this version"


def messages(text: str) -> list[str]:
    return [str(problem) for problem in parse_jobs(text, "web.yaml", DEFAULTS).problems]


def with_key(line: str) -> str:
    """A service with one more line: the fifth."""
    return SERVICE + line


KEYS_AND_KINDS = [
    ("volumes: []", f"5: volumes: {LATER}"),
    ("networks: [{name: overlay}]", f"5: networks: {LATER}"),
    ("pod: []", f"5: pod: {LATER}"),
    ("after: [extract]", f"5: after: {LATER}"),
    ("gang: true", f"5: gang: {LATER}"),
    ("schedule: '* * * * *'", f"5: schedule: {LATER}"),
    ("instnces: 3", "5: instnces: is unknown (did you mean instances?)"),
    ("checks: {heath: {}}", "5: checks.heath: is unknown (did you mean health?)"),
    ("kill: {signal: INT}", "5: kill.signal: is unknown (grace)"),
    ("job: other", "5: job: is given twice, in line 1 and in line 5"),
    ("<<: {a: 1}", "5: the merge key << is not supported (write the keys out)"),
    ("1: one", "5: the key 1 is not text (quote it)"),
    ("[a]: b", "5: has a list or mapping as a key (text)"),
    ("labels: !!omap {a: b}", "5: labels: has the tag tag:yaml.org,2002:omap (no tags but !!str)"),
    ("labels:", "5: labels: has no value (give one, or leave the key out)"),
    ("retries: 3", "5: retries: is for a batch, not for a service"),
    ("max_runtime: 1h", "5: max_runtime: is for a batch, not for a service"),
]
VALUES = [
    ("instances: -1", "5: instances: -1 is out of bounds (0 to 100000)"),
    ("instances: 100001", "5: instances: 100001 is out of bounds (0 to 100000)"),
    ("instances: 2.5", "5: instances: must be a whole number, not 2.5 (0 to 100000)"),
    ("instances: yes", "5: instances: must be a whole number, not text (0 to 100000)"),
    ("instances: true", "5: instances: must be a whole number, not true or false (0 to 100000)"),
    ("priority: 101", "5: priority: 101 is out of bounds (0 to 100)"),
    ("role: a b", '5: role: "a b" is not a Mesos role (* or parts joined by /, no white space)'),
    ("user: ''", "5: user: must not be empty"),
    ("labels: [a]", "5: labels: must be a mapping, not a list"),
    ("labels: {a: true}", "5: labels.a: must be text, not true or false (quote it)"),
    ("labels: {a: {b: c}}", "5: labels.a: must be text, not a mapping"),
    ("limits: {cpus: 0.1}", "5: limits.cpus: is less than resources.cpus"),
    ("limits: {mem: 1MiB}", "5: limits.mem: is less than resources.mem"),
    ("limits: {disk: 1GiB}", "5: limits.disk: is unknown (cpus, mem)"),
    ("container: python", "5: container: must be a mapping, not text"),
    ("container: {type: mesos}", "5: container.image: is missing (the image's name)"),
    (
        "container: {image: a, type: lxc}",
        '5: container.type: must be mesos or docker, not "lxc"',
    ),
    (
        "env: {1a: x}",
        '5: env.1a: "1a" is not a variable name (A-Z, a-z, 0-9 and _, no digit first)',
    ),
    ("env: {A: on, B: false}", "5: env.B: must be text, not true or false (quote it)"),
    ("env: {A: {secret: web/a}}", f"5: env.A: a secret {LATER} (text)"),
    ("env: {INSTANCE: a}", "5: env.INSTANCE: is set for each task by offerd (another name)"),
    ('env: {A: "a\\0b"}', "5: env.A: holds the character U+0000 (no program can take it)"),
    ("ports: {name: http}", "5: ports: must be a list, not a mapping"),
    ("ports: [http]", "5: ports[0]: must be a mapping, not text"),
    (
        "ports: [{host: 80}]",
        "5: ports[0].name: is missing (its name: `http` is $PORT_HTTP in the task)",
    ),
    (
        "ports: [{name: Http}]",
        '5: ports[0].name: "Http" is not a port name (a-z, 0-9 and - inside, at most 63)',
    ),
    ("ports: [{name: a, host: 65536}]", "5: ports[0].host: 65536 is out of bounds (1 to 65535)"),
    (
        "ports: [{name: a}, {name: a}]",
        '5: ports[1].name: the name "a" is given twice, first in ports[0]',
    ),
    (
        "ports: [{name: a, host: 1}, {name: b, host: 1}]",
        "5: ports[1].host: the host port 1 is given twice, first in ports[0]",
    ),
    ("artifacts: [7]", "5: artifacts[0]: must be a mapping, not a number"),
    (
        "artifacts: ['a b']",
        '5: artifacts[0].uri: "a b" is not an address (https://host/file or an absolute path)',
    ),
    (
        "artifacts: [{uri: /a, output_file: ../a}]",
        '5: artifacts[0].output_file: "../a" leaves the sandbox (a relative path without ..)',
    ),
    (
        "artifacts: [{uri: /a, cache: yes}]",
        '5: artifacts[0].cache: must be true or false, not "yes"',
    ),
]
DURATIONS_AND_POLICIES = [
    ("kill: {grace: 10}", f"5: kill.grace: 10 is not a duration {DURATIONS}"),
    ("kill: {grace: 12:30:00}", f'5: kill.grace: "12:30:00" is not a duration {DURATIONS}'),
    ("kill: {grace: 5 min}", f'5: kill.grace: "5 min" is not a duration {DURATIONS}'),
    ("kill: {grace: -5s}", f'5: kill.grace: "-5s" is not a duration {DURATIONS}'),
    ("kill: {grace: 9999d}", '5: kill.grace: "9999d" is too long (at most 3660d)'),
    ("restart: {policy: no}", '5: restart.policy: must be always or on_failure or never, not "no"'),
    (
        "restart: {backoff: {factor: 0.5}}",
        "5: restart.backoff.factor: 0.5 is out of bounds (1 to 100)",
    ),
    (
        "restart: {backoff: {initial: 10m}}",
        "5: restart.backoff.initial: initial is longer than max",
    ),
    (
        "unreachable: {replace_after: none}",
        f'5: unreachable.replace_after: "none" is not a duration {DURATIONS}',
    ),
    ("update: {max_surge: 1}", f"5: update.max_surge: 1 {LATER} (only 0)"),
    ("update: {max_unavailable: 2}", f"5: update.max_unavailable: 2 {LATER} (only 1)"),
    ("update: {order: start_first}", f'5: update.order: "start_first" {LATER} (only stop_first)'),
    ("update: {canary: 0}", f"5: update.canary: {LATER}"),
    ("update: {progress_deadline: 10m}", f"5: update.progress_deadline: {LATER}"),
    ("update: {auto_revert: false}", f"5: update.auto_revert: {LATER}"),
    ("checks: {ready: {tcp: {port: a}}}", f"5: checks.ready: {LATER}"),
    ("checks: {health: {interval: 1s}}", "5: checks.health: has no probe (http, tcp or command)"),
    (
        "checks: {health: {command: a, interval: 0s}}",
        "5: checks.health.interval: must be more than 0s",
    ),
    (
        "checks: {health: {tcp: {port: a}}}",
        '5: checks.health.tcp.port: "a" is no port (the job has no ports)',
    ),
]
CONSTRAINT_LINES = [
    ("hostname", f'"hostname" is not a constraint {CONSTRAINTS}'),
    ("zone groupby 3", '"groupby" is no operator (did you mean group_by?)'),
    ("zone group_by many", '"many" is no number of 1 to 1000 (zone group_by 3)'),
    ("rack max_per", '"" is no number of 1 to 100000 (rack max_per 3)'),
    ("rack max_per 0", '"0" is no number of 1 to 100000 (rack max_per 3)'),
    ("disk in ssd", '"ssd" is no list (disk in [one, other])'),
    ("disk in [ssd,]", '"[ssd,]" has an empty value (disk in [one, other])'),
    ("kernel >= new", '"new" is neither a number nor a version (8, 2.5, 5.10.1)'),
    ("@job unique", "@job takes no unique (is, in, like or unlike)"),
    ("hostname unique 2", 'unique takes no value, not "2" (hostname unique)'),
    ("rack is", "is has no value (rack is VALUE)"),
    ("@host is a", '"@host" is no attribute (hostname, @agent, @region, @zone, or a name)'),
    (
        "rack like r[12",
        '"r[12" is not a regular expression: a class does not end',
    ),
    ("rack like (a+)+", '"(a+)+" repeats a group that itself varies (simpler)'),
]


@pytest.mark.parametrize(("line", "message"), KEYS_AND_KINDS + VALUES + DURATIONS_AND_POLICIES)
def test_a_wrong_line_is_told_with_its_place(line: str, message: str) -> None:
    assert messages(with_key(line)) == [f"web.yaml:{message}"]


COMBINED_LINES = [
    ("{}", "7: constraints[1]: must have one key, not 0 (all, any or not)"),
    ("{either: []}", '7: constraints[1]: "either" is unknown (all, any or not)'),
    ("{any: rack is r1}", "7: constraints[1].any: must be a list, not text"),
    ("{any: []}", "7: constraints[1].any: must not be empty (conditions)"),
    ("{not: hostname}", f'7: constraints[1].not: "hostname" is not a constraint {CONSTRAINTS}'),
    (
        "\n    any:\n    - rack is r1\n    - not:\n      - os is\n",
        "11: constraints[1].any[1].not[0]: is has no value (os is VALUE)",
    ),
    (
        "{all: [rack is r1, zone unique]}",
        "7: constraints[1].all[1]: unique stands for itself only, not in here",
    ),
    (
        "{not: {not: {not: {not: {not: {not: {not: {not: {not: {not: {not: a is b}}}}}}}}}}}",
        f"7: constraints[1]{'.not' * 10}: is nested too deeply (at most 5 times)",
    ),
]
PREFERENCE_LINES = [
    ("affinities: [disk is ssd weight 101]", "5: affinities[0]: " + WEIGHT),
    ("affinities: [{not: disk is ssd, weight: much}]", "5: affinities[0]: " + WEIGHT),
    (
        "affinities: [zone group_by 3 weight 5]",
        "5: affinities[0]: group_by is no preference (use spread, or a constraint)",
    ),
    ("affinities: [{any: [a]}]", f'5: affinities[0].any[0]: "a" is not a constraint {CONSTRAINTS}'),
    ("spread: [{}]", "5: spread[0].attribute: is missing (whose values share the tasks: zone)"),
    (
        "spread: [{attribute: '@job'}]",
        "5: spread[0].attribute: @job has no value of its own for each task (another attribute)",
    ),
    (
        "spread: [{attribute: zone, targets: {a: 60, b: 50}}]",
        "5: spread[0].targets: sum up to 110 (at most 100)",
    ),
    (
        "spread: [{attribute: zone}, {attribute: zone}]",
        '5: spread[1].attribute: "zone" is spread twice (once)',
    ),
    ("placement: binpack", '5: placement: must be bin_pack or spread or random, not "binpack"'),
]


@pytest.mark.parametrize(("constraint", "message"), COMBINED_LINES)
def test_a_wrong_piece_of_a_combination_is_told_with_its_own_place(
    constraint: str, message: str
) -> None:
    text = with_key(f"constraints:\n- hostname unique\n- {constraint}")
    assert messages(text) == [f"web.yaml:{message}"]


@pytest.mark.parametrize(("line", "message"), PREFERENCE_LINES)
def test_a_wrong_preference_is_told_with_its_place(line: str, message: str) -> None:
    assert messages(with_key(line)) == [f"web.yaml:{message}"]


@pytest.mark.parametrize(("constraint", "message"), CONSTRAINT_LINES)
def test_a_wrong_constraint_is_told_with_its_place(constraint: str, message: str) -> None:
    text = with_key(f"constraints:\n- hostname unique\n- {constraint!r}")
    assert messages(text) == [f"web.yaml:7: constraints[1]: {message}"]


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ("cpus: 1", "mem: is missing (memory of one instance: 256MiB)"),
        ("cpus: 1, mem: 1GiB, revocable: 1", "revocable: must be true or false, not 1"),
        ("cpus: 0, mem: 1GiB", "cpus: 0 is out of bounds (0.001 to 10000)"),
        ("cpus: 0.1234, mem: 1GiB", "cpus: 0.1234 has more than three decimals (0.001 to 10000)"),
        ("cpus: '1', mem: 1GiB", "cpus: must be a number, not text (0.5)"),
        ("cpus: .inf, mem: 1GiB", "cpus: inf is not a number (0.5)"),
        ("cpus: 1, mem: 256", f"mem: 256 is not a size {SIZES}"),
        ("cpus: 1, mem: 256M", f'mem: "256M" is not a size {SIZES}'),
        ("cpus: 1, mem: 0", "mem: 0 is too little (at least 1MiB)"),
        ("cpus: 1, mem: 1KiB", 'mem: "1KiB" is too little (at least 1MiB)'),
        ("cpus: 1, mem: 9999TiB", 'mem: "9999TiB" is too much (at most 1024TiB)'),
        ("cpus: 1, mem: 1GiB, gpus: 0.5", "gpus: must be a whole number, not 0.5 (0 to 1000)"),
    ],
)
def test_a_wrong_amount_is_told_with_its_place(resources: str, message: str) -> None:
    text = f"job: web\nkind: service\ncommand: run\nresources: {{{resources}}}\n"
    (found,) = messages(text)
    assert found.startswith("web.yaml:4: resources.")
    assert found.endswith(message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Web", f'"Web" is not a job name {NAME}'),
        ("-web", f'"-web" is not a job name {NAME}'),
        ("web-", f'"web-" is not a job name {NAME}'),
        ("a//b", f'"a//b" is not a job name {NAME}'),
        ("a.b", f'"a.b" is not a job name {NAME}'),
        ("a" * 101, "has 101 characters (at most 100)"),
        ("12", "must be text, not a number (quote it)"),
        ("{}", "must be text, not a mapping"),
    ],
)
def test_a_wrong_job_name_is_told(name: str, message: str) -> None:
    assert messages(SERVICE.replace("web", name, 1)) == [f"web.yaml:1: job: {message}"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cron", f'"cron" {LATER} (service, batch)'),
        ("daemon", f'"daemon" {LATER} (service, batch)'),
        ("web", 'must be service or batch, not "web"'),
        ("[service]", "must be service or batch, not a list"),
    ],
)
def test_a_kind_that_is_not_carried_out_is_refused(kind: str, message: str) -> None:
    text = SERVICE.replace("kind: service", f"kind: {kind}")
    assert messages(text) == [f"web.yaml:2: kind: {message}"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("''", "must not be empty"),
        ("[]", "must not be empty (a program and its arguments)"),
        ("[sleep, true]", "its item 1 must be text, not true or false (quote it)"),
        ("['', a]", "its item 0 must not be empty"),
        ("{a: b}", "must be text for the shell or a list of text, not a mapping"),
    ],
)
def test_a_wrong_command_is_told(command: str, message: str) -> None:
    text = SERVICE.replace("command: run", f"command: {command}")
    assert messages(text) == [f"web.yaml:3: command: {message}"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("update: {}", "5: update: is for a service, not for a batch"),
        (
            "restart: {policy: never}",
            "5: restart.policy: is for a service, not for a batch (use retries)",
        ),
        (
            "restart: {attempts: 1}",
            "5: restart.attempts: is for a service, not for a batch (use retries)",
        ),
        ("max_runtime: 0s", "5: max_runtime: must be more than 0s"),
    ],
)
def test_what_is_for_a_service_is_refused_in_a_batch(line: str, message: str) -> None:
    assert messages(BATCH + line) == [f"web.yaml:{message}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job: web\nkind: [service", "2: is not YAML: did not find expected ',' or ']'"),
        ("job: web\n\tkind: service", "2: a tab cannot indent (use spaces)"),
        ("job: a: b", "1: is not YAML: mapping values are not allowed in this context"),
        ("job: web\nkind: \x00", "2: holds the character U+0000 (text only)"),
        ("job: *web", "1: the alias *web names no anchor before it"),
        ("job: &a [*a]", "1: the alias *a stands inside of what it names"),
        ("[" * 40, "1: is nested too deeply (at most 32 levels)"),
        ("- job: web", "1: a job is a mapping, not a list"),
        ("web", "1: a job is a mapping, not text"),
    ],
)
def test_what_is_no_yaml_or_no_job_is_told_with_its_line(text: str, message: str) -> None:
    assert messages(text) == [f"web.yaml:{message}"]


def test_everything_that_is_wrong_in_a_file_is_told_at_once_in_its_order() -> None:
    text = """\
job: web
kind: batch
instnces: 3
resources: {cpus: half, mem: 256}
ports: [{name: http}]
checks:
  health:
    http: {port: htp}
    interval: 10
update: {canary: 1}
---
job: Other
"""
    assert messages(text) == [
        "web.yaml:1: command: is missing (text or a list; or a container with its own)",
        "web.yaml:3: instnces: is unknown (did you mean instances?)",
        "web.yaml:4: resources.cpus: must be a number, not text (0.5)",
        f"web.yaml:4: resources.mem: 256 is not a size {SIZES}",
        'web.yaml:8: checks.health.http.port: "htp" is no port (did you mean http?)',
        f"web.yaml:9: checks.health.interval: 10 is not a duration {DURATIONS}",
        "web.yaml:10: update: is for a service, not for a batch",
        f"web.yaml:10: update.canary: {LATER}",
        "web.yaml:12: command: is missing (text or a list; or a container with its own)",
        f'web.yaml:12: job: "Other" is not a job name {NAME}',
        "web.yaml:12: kind: is missing (`service` (kept running) or `batch` "
        "(each instance runs until it finishes))",
        "web.yaml:12: resources: is missing (what one instance gets: cpus and mem at least)",
    ]


def test_a_wrong_value_behind_an_alias_is_told_where_it_is_written() -> None:
    text = with_key("labels: {a: &wrong [1]}\nenv:\n  A: *wrong")
    assert messages(text) == [
        "web.yaml:5: env.A: must be text, not a list",
        "web.yaml:5: labels.a: must be text, not a list",
    ]


def test_long_and_unprintable_text_is_shown_short_and_on_one_line() -> None:
    (message,) = messages(SERVICE.replace("web", f'"{"x" * 80}\\n"', 1))
    assert message == f'web.yaml:1: job: "{"x" * 59}…" is not a job name {NAME}'


def test_not_more_is_told_of_one_job_than_can_be_read() -> None:
    lines = "".join(f"k{index}: 1\n" for index in range(5000))
    found = messages(SERVICE + lines)
    assert len(found) == FINDINGS_MAX + 1
    assert found[0] == "web.yaml:1: has more problems than are shown"


@pytest.mark.parametrize(
    ("key", "item", "most"),
    [("ports", "{name: p@}", 100), ("artifacts", "/a@", 100), ("constraints", "rack is @", 20)],
)
def test_lists_are_bounded(key: str, item: str, most: int) -> None:
    def text(count: int) -> str:
        items = ", ".join(item.replace("@", str(index)) for index in range(count))
        return with_key(f"{key}: [{items}]")

    assert messages(text(most)) == []
    assert messages(text(most + 1)) == [f"web.yaml:5: {key}: has too many items (at most {most})"]
