"""What is broken, full, foreign or not there: a clear error or a clean return, nothing lost."""

import contextlib
import resource
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.scene import Document, Scene, batch, service
from tests.support.daemon import DaemonProcess, free_port
from tests.support.proxy import HOST as PROXY_HOST
from tests.support.proxy import CallProxy
from tests.support.rest import RefusedRequest
from tests.support.waiting import stays, wait_until

# A record of the stream (RecordIO) that holds an event of a type that no Mesos has: 99.
FUTURE_EVENT = b"2\n\x08\x63"
FULL_DISK_ROOM_BYTES = 40_000


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon whose master is not there."""
    nobody = f"http://{PROXY_HOST}:{free_port(PROXY_HOST)}"
    with DaemonProcess(tmp_path / "alone", {"master": nobody}) as daemon:
        yield daemon


# --- the master, and what comes from it ----------------------------------------------------------


def test_a_master_that_is_not_there_is_asked_until_it_is(scene: Scene) -> None:
    port = free_port(PROXY_HOST)
    settings = scene.settings(master_url=f"http://{PROXY_HOST}:{port}")
    daemon = scene.daemon(settings).start()
    daemon.api.apply(service("web", 2))
    stays(lambda: not daemon.api.status()["connected"] and daemon.alive(), "waiting", 1.5)
    assert {task["waits_for"] for task in daemon.api.tasks("web")} == {"the master"}
    with CallProxy(scene.master.url, port):
        framework_id = daemon.wait_until_connected(30.0)
        scene.wait_for_running(framework_id, "web", 2)


@pytest.mark.parametrize(
    "garbage",
    [b"this is no record", b"3\n\xff\xff\xff"],
    ids=["no record", "no event"],
)
def test_garbage_on_the_stream_ends_in_a_clean_reconnect(scene: Scene, garbage: bytes) -> None:
    with CallProxy(scene.master.url) as proxy:
        daemon, framework_id = scene.running_daemon(scene.settings(master_url=proxy.url))
        daemon.api.apply(service("web", 2))
        before = scene.wait_for_running(framework_id, "web", 2)
        subscriptions = proxy.kinds().count("SUBSCRIBE")
        proxy.inject(garbage)
        wait_until(
            lambda: proxy.kinds().count("SUBSCRIBE") > subscriptions, "another SUBSCRIBE", 20.0
        )
        assert daemon.wait_until_connected() == framework_id
        daemon.api.scale("web", 3)
        after = scene.wait_for_running(framework_id, "web", 3)
        assert set(before) < set(after)


def test_an_event_of_a_type_from_the_future_is_passed_over(scene: Scene) -> None:
    with CallProxy(scene.master.url) as proxy:
        daemon, framework_id = scene.running_daemon(scene.settings(master_url=proxy.url))
        since = daemon.api.status()["connected_since"]
        proxy.inject(FUTURE_EVENT)
        daemon.api.apply(service("web", 2))
        scene.wait_for_running(framework_id, "web", 2)
        assert daemon.api.status()["connected_since"] == since
        assert proxy.kinds().count("SUBSCRIBE") == 1


# --- the store -----------------------------------------------------------------------------------


def test_a_full_disk_under_sqlite_loses_nothing_and_passes(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 2))
    before = scene.wait_for_running(framework_id, "web", 2)
    with small_disk(daemon):
        # What is to be stored of these tasks fills the disk.
        daemon.api.apply(batch("numbers", 40, "sleep 1"))
        wait_until(lambda: daemon.api.status()["store_refusing"], "the disk to be full")
        with pytest.raises(RefusedRequest, match=r"503: .*takes no writes"):
            daemon.api.scale("web", 3)
        stays(
            lambda: scene.framework(framework_id).running("web") == before and daemon.alive(),
            "leading on, and leaving everything as it is",
            1.5,
        )
    wait_until(lambda: daemon.api.job("numbers")["tasks"] == {"finished": 40}, "all to end", 20.0)
    assert daemon.api.status()["store_refusing"] == ""
    daemon.kill9()
    daemon.start()
    assert daemon.wait_until_connected() == framework_id
    assert daemon.api.job("numbers")["tasks"] == {"finished": 40}
    assert scene.wait_for_running(framework_id, "web", 2) == before
    now = scene.framework(framework_id)
    now.assert_none_twice()
    assert len(now.tasks("numbers")) == 40


@contextlib.contextmanager
def small_disk(daemon: DaemonProcess) -> Iterator[None]:
    """The daemon's files may grow a little yet, and then no more, as on a disk that is full."""
    log = daemon.store.with_name(daemon.store.name + "-wal")
    limit = max(log.stat().st_size, daemon.errors.stat().st_size) + FULL_DISK_ROOM_BYTES
    before = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, before)


def test_a_record_cut_in_two_is_named_and_nothing_is_changed(alone: DaemonProcess) -> None:
    alone.start()
    for name in ("api", "web"):
        alone.api.apply(service(name, 2))
    alone.kill9()
    _change(alone, "UPDATE records SET value = substr(value, 1, 20) WHERE path = 'jobs/web'")
    held = _records(alone)
    alone.spawn()
    assert alone.wait_for_end() == 21
    assert "'jobs/web'" in alone.said()
    assert _records(alone) == held
    _change(alone, "DELETE FROM records WHERE path = 'jobs/web'")
    alone.start()
    assert [job["job"] for job in alone.api.get("/v1/jobs")["items"]] == ["api"]


def test_a_store_that_is_no_database_is_refused(alone: DaemonProcess) -> None:
    alone.store.write_bytes(b"not a database, but long enough to look like one. " * 100)
    alone.spawn()
    assert alone.wait_for_end() == 21
    assert str(alone.store) in alone.said()


def test_a_record_of_a_later_version_is_refused(alone: DaemonProcess) -> None:
    alone.start()
    alone.api.apply(service("web", 2))
    alone.kill9()
    later = "CAST(x'09' || substr(value, 2) AS BLOB)"
    _change(alone, f"UPDATE records SET value = {later} WHERE path = 'jobs/web'")
    alone.spawn()
    assert alone.wait_for_end() == 21
    assert "newer offerd" in alone.said()


def _change(daemon: DaemonProcess, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(daemon.store)) as store, store:
        assert store.execute(statement).rowcount == 1


def _records(daemon: DaemonProcess) -> list[tuple[str, bytes]]:
    with contextlib.closing(sqlite3.connect(daemon.store)) as store:
        rows: list[tuple[str, bytes]] = store.execute("SELECT path, value FROM records").fetchall()
    return rows


# --- what people write ---------------------------------------------------------------------------


def test_a_broken_job_file_changes_nothing_and_is_told_with_its_lines(
    alone: DaemonProcess, tmp_path: Path
) -> None:
    alone.start()
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("job: good\nkind: service\ncommand: sleep 1\n")
    bad.write_text("job: bad\nkind: service\ncommand: [sleep\n")
    applied = alone.command("apply", str(good), str(bad))
    assert applied.returncode == 2
    assert f"{bad}:" in applied.stderr
    assert alone.api.get("/v1/jobs")["items"] == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda settings: settings | {"mastr": "http://127.0.0.1:1"}, "mastr"),
        (lambda settings: settings | {"listen": "0.0.0.0:0"}, "token"),
        (lambda settings: settings | {"store": "postgres:x"}, "postgres"),
    ],
    ids=["unknown key", "open to all", "unknown store"],
)
def test_broken_settings_end_the_daemon_with_the_code_of_bad_usage(
    alone: DaemonProcess, change: Callable[[Document], Document], word: str
) -> None:
    alone.configure(change({"master": "http://127.0.0.1:1"}))
    alone.spawn()
    assert alone.wait_for_end() == 2
    assert word in alone.said()


def test_an_address_in_use_ends_the_daemon_with_a_word(
    alone: DaemonProcess, tmp_path: Path
) -> None:
    alone.start()
    settings = {"master": "http://127.0.0.1:1", "listen": alone.url.removeprefix("http://")}
    with DaemonProcess(tmp_path / "other", settings) as other:
        other.spawn()
        assert other.wait_for_end() == 2
        assert "listen" in other.said()
    assert alone.alive()
