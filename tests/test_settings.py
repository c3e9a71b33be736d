"""Settings: defaults, the file that documents them, variables over it, and every refusal."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scheduler.core.policy import Policy
from scheduler.errors import SettingsError
from scheduler.jobspec.bodies import Body, body_at, keys_of
from scheduler.jobspec.problems import path_text
from scheduler.jobspec.yaml_lines import read_documents
from scheduler.mesos.address import ZooKeeperAddress
from scheduler.settings import Settings, load_settings
from scheduler.settings_sources import ENV_PASSED_OVER, variables
from scheduler.settings_values import Address
from tests.jobspec.documents import unhurried

ROOT = Path(__file__).parents[1]
FILE = ROOT / "config" / "offerd.yaml"
TOKEN = "s3cret-of-the-api"


def problems(path: Path | None = None, **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load_settings(path, environ)
    return str(refused.value).splitlines()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "offerd.yaml"
    path.write_text(text)
    return path


def setting_paths(body: type[Body] = Settings, path: tuple[str, ...] = ()) -> Iterator[str]:
    for key in keys_of(body):
        yield path_text((*path, key))
        inner = body_at(body, (key,))
        if inner is not None:
            yield from setting_paths(inner, (*path, key))


def test_without_file_and_variables_everything_has_its_default() -> None:
    settings = load_settings(None, {})
    policy = Policy(roles=())
    assert settings.master == ("http://127.0.0.1:5050",)
    assert settings.listen == Address("127.0.0.1", 8080)
    assert settings.framework.failover_timeout_s == policy.failover_timeout_s == 604_800
    assert settings.framework.checkpoint
    assert settings.framework.name == "offerd"
    assert settings.unknown_tasks.kill_after_s is None
    assert settings.offers.refuse_nothing_waits_s == 3600
    assert settings.batches.keep_count == policy.ended.keep_max
    assert settings.launch_timeout_s == 300


def test_the_documented_file_says_the_defaults() -> None:
    assert load_settings(FILE, {}) == load_settings(None, {})


def test_the_documented_file_names_every_setting() -> None:
    whole = re.sub(r"^(\s*)#(?=\w)", r"\1", FILE.read_text(), flags=re.MULTILINE)
    whole = whole.replace("unknown_tasks: keep", "unknown_tasks: {kill_after: 1h}")
    ((document, findings),) = read_documents(whole).documents
    assert findings == ()
    named = {path_text(path) for path in document.lines.keys}
    assert named == set(setting_paths())


def test_no_setting_can_be_changed_after_it_was_read() -> None:
    settings = load_settings(None, {})
    with pytest.raises(ValidationError):
        settings.framework.name = "other"


def test_variables_win_over_the_file_at_any_depth(tmp_path: Path) -> None:
    path = written(tmp_path, "master: http://a:5050\nframework: {name: a, roles: [x]}\n")
    settings = load_settings(
        path,
        {
            "OFFERD_MASTER": "[http://b:5050, http://c:5050]",
            "OFFERD_FRAMEWORK__NAME": "b",
            "OFFERD_FRAMEWORK__CHECKPOINT": "false",
            "OFFERD_UNKNOWN_TASKS__KILL_AFTER": "1h30m",
            "OFFERD_BATCHES__KEEP_COUNT": "5",
            "OFFERD_LISTEN": "[::1]:0",
            "OFFERD_STORE": "memory:",
            "OFFERD_INSTANCE": '"7"',
            "HOME": "/root",
        },
    )
    assert settings.master == ("http://b:5050", "http://c:5050")
    assert settings.framework.name == "b"
    assert settings.framework.roles == ("x",)
    assert not settings.framework.checkpoint
    assert settings.unknown_tasks.kill_after_s == 5400
    assert settings.batches.keep_count == 5
    assert settings.listen == Address("::1", 0)
    assert str(settings.listen) == "[::1]:0"
    assert settings.store == "memory:"
    assert settings.instance == "7"


def test_variables_of_the_command_line_and_of_tasks_are_no_settings() -> None:
    environ = dict.fromkeys(ENV_PASSED_OVER, "anything")
    assert load_settings(None, environ) == load_settings(None, {})


def test_an_unknown_variable_is_a_problem() -> None:
    assert problems(
        OFFERD_FRAMEWORK__NAM="a",
        OFFERD_Listen="a",
        OFFERD_ANYTHING_AT_ALL="",
        OFFERD_MASTER__URL="a",
    ) == [
        "OFFERD_ANYTHING_AT_ALL: is no setting (docs/settings.md lists them)",
        "OFFERD_FRAMEWORK__NAM: is no setting (did you mean OFFERD_FRAMEWORK__NAME?)",
        "OFFERD_Listen: is no setting (did you mean OFFERD_LISTEN?)",
        "OFFERD_MASTER__URL: is no setting (did you mean OFFERD_MASTER_TLS?)",
    ]


def test_everything_that_is_wrong_is_told_at_once_with_its_line_or_variable(
    tmp_path: Path,
) -> None:
    path = written(
        tmp_path,
        """\
master: [zk://a:2181/mesos, b]
store: etcd://a
jobs_dir: /etc/jobs
framework:
  nam: x
  failover_timeout: 3600
  roles: prod
  user: a b
log: {level: loud}
unknown_tasks: kill
offers:
listen: 8080
""",
    )
    duration = "is not a duration (250ms, 10s, 5m, 1h30m, 2d)"
    assert problems(path, OFFERD_LAUNCH_TIMEOUT="5") == [
        f"{path}:1: master: zk:// stands alone, it cannot be one of a list",
        f'{path}:2: store: holds "a", which is no host:port (etcd://a:2379,b:2379)',
        f"{path}:3: jobs_dir: is not carried out by this version",
        f"{path}:5: framework.nam: is unknown (did you mean name?)",
        f"{path}:6: framework.failover_timeout: 3600 {duration}",
        f"{path}:7: framework.roles: must be a list, not text ([prod, batch])",
        f'{path}:8: framework.user: "a b" is not a user name (no white space, no colon)',
        f'{path}:9: log.level: must be debug or info or warning or error, not "loud"',
        f"{path}:10: unknown_tasks: must be keep or {{kill_after: 1h}}, not text",
        f"{path}:11: offers: has no value (give one, or leave the key out)",
        f"{path}:12: listen: must be text, not a number (quote it)",
        f"OFFERD_LAUNCH_TIMEOUT: launch_timeout: 5 {duration}",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", ":1: settings are a mapping, not a list"),
        ("a: [", ":1: is not YAML: did not find expected node content"),
        ("log: {}\nlog: {}", ":2: log: is given twice, in line 1 and in line 2"),
        ("log: {}\n---\nlog: {}", ":3: holds a second document (one is read)"),
        ("master: []", ":1: master: must not be empty (http://host:5050, or a list)"),
        (
            "store: redis",
            ':1: store: "redis" is no store (sqlite:PATH, memory:, etcd://a:2379,b:2379)',
        ),
        (
            "store: 'sqlite:'",
            ':1: store: "sqlite" is no store (sqlite:PATH, memory:, etcd://a:2379,b:2379)',
        ),
        (
            "listen: ':80'",
            ':1: listen: ":80" is no address (host:port: 127.0.0.1:8080, [::1]:8080)',
        ),
        ("listen: 127.0.0.1:70000", ':1: listen: "127.0.0.1:70000" has no port (0 to 65535)'),
        (
            "framework: {roles: [a, a]}",
            ":1: framework.roles: must name at least one role, and none twice ([prod, batch])",
        ),
        (
            "operator: {principal: 'a:b'}",
            ':1: operator.principal: "a:b" holds a colon, which Mesos cannot read',
        ),
        ("api: {tls: {cert_file: a}}", ":1: api.tls.key_file: is missing (its private key, PEM)"),
        ("avoid: {failures: 33}", ":1: avoid.failures: 33 is out of bounds (0 to 32)"),
        ("avoid: {time: 2h}", ":1: avoid.time: is more than avoid.time_max"),
        (
            "offers: {refuse_jitter_percent: 91}",
            ":1: offers.refuse_jitter_percent: 91 is out of bounds (0 to 90)",
        ),
        ("master_tls: {cert_file: a}", ":1: master_tls: cert_file and key_file are given together"),
        ("peer_tls: {key_file: a}", ":1: peer_tls: cert_file and key_file are given together"),
        ("advertise: a:80", ':1: advertise: "a:80" is no URL (http://host:port)'),
    ],
)
def test_a_wrong_file_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    assert problems(path) == [f"{path}{message}"]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "offerd.yaml"
    assert problems(missing) == [f"{missing}: cannot be read: No such file or directory"]
    missing.write_bytes(b"master: \xff")
    assert problems(missing) == [f"{missing}: is not UTF-8"]


def test_an_empty_file_is_one_without_settings(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "# nothing\n"), {}) == load_settings(None, {})


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "scheduler-1:8080"])
def test_listening_beyond_loopback_needs_a_token(listen: str, token_file: Path) -> None:
    assert problems(OFFERD_LISTEN=listen) == [
        f"OFFERD_LISTEN: listen: {listen} is beyond loopback and asks for no token "
        "(set api.token_file)"
    ]
    environ = {"OFFERD_LISTEN": listen, "OFFERD_API__TOKEN_FILE": str(token_file)}
    assert str(load_settings(None, environ).listen) == listen


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.77.3.1:80", "[::1]:80", "localhost:80"])
def test_listening_on_loopback_needs_none(listen: str) -> None:
    assert load_settings(None, {"OFFERD_LISTEN": listen}).listen.loopback


def test_a_secret_is_read_from_its_file_and_shown_nowhere(token_file: Path) -> None:
    settings = load_settings(
        None,
        {
            "OFFERD_API__TOKEN_FILE": str(token_file),
            "OFFERD_FRAMEWORK__SECRET_FILE": str(token_file),
            "OFFERD_FRAMEWORK__PRINCIPAL": "offerd",
        },
    )
    assert settings.api.token_file is not None
    assert settings.api.token_file.reveal() == TOKEN
    assert settings.framework.secret_file is not None
    assert settings.framework.secret_file.path == token_file
    assert TOKEN not in f"{settings!r} {settings} {settings.api.token_file}"


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n", b"a\nb\n", b"\xff", b"x" * 70_000])
def test_a_secret_file_that_holds_no_secret_is_refused_without_showing_it(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    (problem,) = problems(OFFERD_API__TOKEN_FILE=str(path))
    assert problem in (
        f'OFFERD_API__TOKEN_FILE: api.token_file: "{path}" does not hold one line of text',
        f'OFFERD_API__TOKEN_FILE: api.token_file: "{path}" is not text',
    )


def test_a_password_in_the_masters_address_is_shown_nowhere(tmp_path: Path) -> None:
    path = written(tmp_path, "master: zk://me:sesame@h1,h2:2182/mesos\n")
    settings = load_settings(path, {})
    assert isinstance(settings.master, ZooKeeperAddress)
    assert settings.master.password == "sesame"
    assert "sesame" not in f"{settings!r} {settings} {settings.master}"


@pytest.mark.parametrize(
    "address", ["zk://me:sesame@h1", "zk://me:sesame@h1:x/mesos", "zk:me:sesame@h1/mesos"]
)
def test_a_wrong_address_of_zookeeper_is_refused_without_showing_its_password(address: str) -> None:
    (problem,) = problems(OFFERD_MASTER=address)
    assert problem.startswith("OFFERD_MASTER: master: ")
    assert "sesame" not in problem


def test_a_secret_needs_its_principal(token_file: Path) -> None:
    assert problems(OFFERD_OPERATOR__SECRET_FILE=str(token_file)) == [
        "OFFERD_OPERATOR__SECRET_FILE: operator.secret_file: has no operator.principal to go with"
    ]


@pytest.mark.parametrize("name", ["OFFERD_MASTER", "OFFERD_ADVERTISE", "OFFERD_STORE"])
def test_credentials_in_a_url_are_refused_without_showing_them(name: str) -> None:
    (problem,) = problems(None, **{name: "http://user:hunter2@host:5050"})
    assert "hunter2" not in problem


def test_the_link_in_the_master_follows_the_advertised_url() -> None:
    environ = {"OFFERD_ADVERTISE": "http://a:8080"}
    assert load_settings(None, {}).webui_url is None
    assert load_settings(None, environ).webui_url == "http://a:8080"
    environ["OFFERD_FRAMEWORK__WEBUI_URL"] = "https://b"
    assert load_settings(None, environ).webui_url == "https://b"


def settings_or_problems(path: Path | None, environ: dict[str, str]) -> Settings | str:
    try:
        return load_settings(path, environ)
    except SettingsError as error:
        return str(error)


@given(st.dictionaries(st.sampled_from(variables(Settings)), st.text(max_size=12), max_size=4))
@unhurried
def test_any_variables_give_settings_or_problems(environ: dict[str, str]) -> None:
    assert settings_or_problems(None, environ)


@given(st.text(max_size=60))
@unhurried
def test_any_file_gives_settings_or_problems(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    assert settings_or_problems(path, {})


def test_several_daemons_share_an_etcd(token_file: Path) -> None:
    settings = load_settings(
        None,
        {
            "OFFERD_STORE": "etcd://a:2379,[::1]:2380",
            "OFFERD_ETCD__USER": "offerd",
            "OFFERD_ETCD__PASSWORD_FILE": str(token_file),
            "OFFERD_ETCD__TLS__CA_FILE": "/etc/ca.pem",
            "OFFERD_ELECTION__TTL": "5s",
        },
    )
    assert settings.store == "etcd://a:2379,[::1]:2380"
    assert settings.etcd.prefix == "offerd"
    assert settings.etcd.password_file is not None
    assert settings.etcd.password_file.reveal() == TOKEN
    assert settings.etcd.tls is not None
    assert settings.etcd.tls.ca_file == Path("/etc/ca.pem")
    assert settings.election.ttl_s == 5.0


def test_half_an_identity_for_etcd_is_refused(token_file: Path) -> None:
    assert problems(OFFERD_ETCD__USER="offerd") == [
        "settings: etcd: user and password_file are given together"
    ]
    tls = {"OFFERD_ETCD__TLS__CA_FILE": "/a", "OFFERD_ETCD__TLS__KEY_FILE": "/b"}
    (problem,) = problems(None, **tls)
    assert "etcd.tls: cert_file and key_file are given together" in problem


@pytest.mark.parametrize("ttl", ["1s", "2m", "1999ms"])
def test_a_ttl_that_no_election_can_have_is_refused(ttl: str) -> None:
    assert problems(OFFERD_ELECTION__TTL=ttl) == [
        "OFFERD_ELECTION__TTL: election.ttl: is not between 2s and 60s"
    ]


def test_daemons_that_ask_each_other_for_a_token_need_one_to_bring(token_file: Path) -> None:
    environ = {
        "OFFERD_STORE": "etcd://a:2379",
        "OFFERD_API__TOKEN_FILE": str(token_file),
        "OFFERD_ADVERTISE": "https://a:8080",
    }
    assert problems(None, **environ) == [
        "OFFERD_API__TOKEN_FILE: api.token_file: is asked for by the other daemons, too: set "
        "peer_token_file, the same everywhere"
    ]
    settings = load_settings(None, environ | {"OFFERD_PEER_TOKEN_FILE": str(token_file)})
    assert settings.peer_token_file is not None
    assert settings.peer_token_file.reveal() == TOKEN
    assert TOKEN not in repr(settings)
    alone = environ | {"OFFERD_STORE": "memory:"}
    assert load_settings(None, alone).peer_token_file is None
