"""Calls that are cut off or stalled on their way: nothing runs twice, nothing is lost."""

import itertools
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from scheduler.mesos.access import Credential
from tests.e2e.scene import Scene, batch, service
from tests.support.cluster_state import FrameworkState
from tests.support.proxy import CallProxy, Cut, Hold, Pass, SentCall, Stall, Swallow, Verdict
from tests.support.term_thread import TermThread
from tests.support.waiting import stays, wait_until

STRIDE: Final = int(os.environ.get("OFFERD_CUT_STRIDE", "23"))
"""1 hurts ACCEPT at each of its bytes, which takes minutes."""
AROUND_THE_ENDS: Final = 3
POINTS_MIN: Final = 25
TOGETHER: Final = 12
"""Jobs that run at once in a term: the cluster is small."""
TERMS: Final = 8
"""So many at once: of the second that each cut takes, most is waiting."""
CHANCE: Final = 0.2
HURTS: Final = 25
SEED: Final = 1


@dataclass
class Hurt:
    """What the proxy does to the first ACCEPT that launches one job.

    `point` counts bytes from its beginning, or from its end: -1 is behind the last one. Lengths
    differ a little, as the ids of offers do.
    """

    job: str
    verdict: type[Cut] | type[Stall]
    point: int
    whole: bool = False
    done: bool = False

    def on_call(self, sent: SentCall) -> Verdict:
        if self.done or self.job not in launched_jobs(sent):
            return Pass()
        self.done = True
        length = len(sent.request)
        after = self.point if self.point >= 0 else length + 1 + self.point
        self.whole = after >= length
        return self.verdict(after)


def launched_jobs(sent: SentCall) -> set[str]:
    """The jobs whose tasks an ACCEPT launches."""
    operations = sent.call.accept.operations if sent.kind == "ACCEPT" else []
    tasks = [task for operation in operations for task in operation.launch.task_infos]
    return {task.task_id.value.rsplit(".", 3)[0] for task in tasks}


@pytest.fixture
def proxy(scene: Scene) -> Iterator[CallProxy]:
    with CallProxy(scene.master.url) as proxy:
        yield proxy


@pytest.mark.timeout(60.0 + 900.0 / STRIDE, func_only=True)
@pytest.mark.parametrize("verdict", [Cut, Stall], ids=["cut", "stalled"])
def test_an_accept_hurt_at_any_byte_doubles_no_instance(
    scene: Scene, tmp_path: Path, verdict: type[Cut] | type[Stall]
) -> None:
    def hurt_some(number: int) -> int:
        return hurt_accepts(scene, tmp_path / f"{number}.db", verdict, number)

    with ThreadPoolExecutor(TERMS) as pool:
        assert sum(pool.map(hurt_some, range(TERMS))) >= POINTS_MIN


def hurt_accepts(scene: Scene, store: Path, verdict: type[Cut] | type[Stall], share: int) -> int:
    """One term lives through its share of the cut points, each with a job of its own; says how
    many those were."""
    credential = Credential(scene.master.credential.principal, scene.master.credential.secret)
    with (
        CallProxy(scene.master.url) as proxy,
        TermThread(store, proxy.url, scene.framework_name(), credential) as term,
    ):
        framework_id = term.framework_id()
        length = _length_of_an_accept(scene, term, proxy, framework_id)
        points = cut_points(length)[share::TERMS]
        for start in range(0, len(points), TOGETHER):
            jobs = []
            for point in points[start : start + TOGETHER]:
                hurt = Hurt(f"cut-{point % 10_000:04}", verdict, point)
                jobs.append(hurt.job)
                proxy.held.clear()
                proxy.on_call = hurt.on_call
                term.api.apply(service(hurt.job))
                assert proxy.held.wait(10.0), f"no ACCEPT of {hurt.job} came"
                (running,) = scene.wait_for_running(framework_id, hurt.job, 1)
                # What arrived whole may have been taken; what did not cannot have been.
                assert hurt.whole or attempt_of(running) == 2, hurt
            all_run_once(scene, term, framework_id, count=len(jobs) + 1)
            for job in jobs:
                term.api.delete(f"/v1/jobs/{job}")
            wait_until(lambda: term.api.status()["jobs"] == 1, "the jobs to make room for the next")
        return len(points)


def all_run_once(scene: Scene, term: TermThread, framework_id: str, count: int) -> None:
    """`count` jobs have one task each, and it stays so."""

    def seen() -> bool:
        now = scene.framework(framework_id)
        now.assert_none_twice()
        return len(now.live()) == len(now.running()) == count

    stays(seen, "one task for each job", 1.0)

    def agreed() -> bool:
        status = term.api.status()
        return bool(status["tasks"] == {"running": count} and status["unknown_tasks"] == 0)

    wait_until(agreed, "our view to agree")


def instance_of_id(task_id: str) -> int:
    return int(task_id.split(".")[1])


def attempt_of(task_id: str) -> int:
    return int(task_id.split(".")[2])


def cut_points(length: int) -> list[int]:
    """Where to hurt a request: by strides, and at each of the bytes near its two ends."""
    return [*range(AROUND_THE_ENDS), *range(STRIDE, length, STRIDE), *range(-AROUND_THE_ENDS, 0)]


def _length_of_an_accept(
    scene: Scene, term: TermThread, proxy: CallProxy, framework_id: str
) -> int:
    """Of a job with a name as long as those that follow."""
    term.api.apply(service("cut-whole"))
    scene.wait_for_running(framework_id, "cut-whole", 1)
    (accept,) = [sent for sent in proxy.calls if "cut-whole" in launched_jobs(sent)]
    return len(accept.request)


class Havoc:
    """Hurts calls of any kind by chance, at any byte and in any way, `hurts_max` times in all."""

    def __init__(self, seed: int, hurts_max: int) -> None:
        self._random = random.Random(seed)
        self.left = hurts_max

    def on_call(self, sent: SentCall) -> Verdict:
        if self.left == 0 or self._random.random() > CHANCE:
            return Pass()
        self.left -= 1
        after = self._random.randint(0, len(sent.request))
        ways: list[Verdict] = [Cut(after), Stall(after), Swallow()]
        return ways[0] if sent.kind == "SUBSCRIBE" else self._random.choice(ways)


def test_calls_of_every_kind_hurt_by_chance_lose_and_double_nothing(
    scene: Scene, proxy: CallProxy, tmp_path: Path
) -> None:
    credential = Credential(scene.master.credential.principal, scene.master.credential.secret)
    name = scene.framework_name()
    with TermThread(tmp_path / "offerd.db", proxy.url, name, credential) as term:
        framework_id = term.framework_id()
        # Until then the master forgets the id, under which nothing runs, with the first stream.
        wait_until(lambda: has_its_time(scene, framework_id), "the real failover timeout to be set")
        havoc = Havoc(SEED, HURTS)
        proxy.on_call = havoc.on_call
        term.api.apply(service("web", 4))
        term.api.apply(batch("numbers", 30, "sleep 0.1"))
        instances = itertools.cycle((7, 2, 5, 4))

        def all_hurt() -> bool:
            scene.framework(framework_id).assert_none_twice()
            term.api.scale("web", next(instances))
            return havoc.left == 0

        wait_until(all_hurt, f"{HURTS} calls to be hurt", 40.0)
        term.api.scale("web", 3)
        scene.wait_for_running(framework_id, "web", 3, 20.0)
        wait_until(
            lambda: term.api.job("numbers")["tasks"] == {"finished": 30}, "the batch to end", 20.0
        )
        finished = [
            instance_of_id(task) for task in scene.framework(framework_id).finished("numbers")
        ]
        assert sorted(finished) == list(range(30))
        wait_until(lambda: term.api.job("web")["tasks"] == {"running": 3}, "our view to agree")
        assert term.api.status()["unknown_tasks"] == 0


def has_its_time(scene: Scene, framework_id: str) -> bool:
    """The framework outlives a lost stream."""
    listed = scene.master.state()["frameworks"]
    return any(one["id"] == framework_id and one["failover_timeout"] > 0 for one in listed)


def test_a_task_whose_accept_was_never_answered_is_kept(scene: Scene, proxy: CallProxy) -> None:
    daemon, framework_id = scene.running_daemon(scene.settings(master_url=proxy.url))

    def swallow(sent: SentCall) -> Verdict:
        return Swallow() if sent.kind == "ACCEPT" and not proxy.held.is_set() else Pass()

    proxy.on_call = swallow
    daemon.api.apply(service("web"))
    assert proxy.held.wait(10.0), "no ACCEPT came"
    (running,) = scene.wait_for_running(framework_id, "web", 1)
    wait_until(lambda: daemon.api.job("web")["tasks"] == {"running": 1}, "our view to agree")
    wait_until(lambda: not daemon.api.status()["reconciling"], "the reconciliation to end")
    assert attempt_of(running) == 1
    assert scene.wait_for_running(framework_id, "web", 1) == [running]


def test_an_update_that_was_not_acknowledged_before_the_kill_is_stored_and_acknowledged_after(
    scene: Scene, proxy: CallProxy
) -> None:
    daemon, framework_id = scene.running_daemon(scene.settings(master_url=proxy.url))

    def hold_acknowledgements(sent: SentCall) -> Verdict:
        return Hold() if sent.kind == "ACKNOWLEDGE" else Pass()

    daemon.api.apply(batch("once", 1, "sleep 2"))
    scene.wait_for_running(framework_id, "once", 1)
    # Of STARTING and RUNNING; an agent tells the next one only after that.
    wait_until(lambda: proxy.kinds().count("ACKNOWLEDGE") == 2, "two acknowledgements")
    proxy.on_call = hold_acknowledgements
    assert proxy.held.wait(10.0), "no ACKNOWLEDGE of the end came"

    def ended_but_not_acknowledged() -> bool:
        # A task that has ended is kept among the tasks until its last update is acknowledged.
        (task,) = scene.framework(framework_id).framework["tasks"]
        return str(task["state"]) == "TASK_FINISHED"

    wait_until(ended_but_not_acknowledged, "the task to have ended")
    daemon.kill9()
    proxy.on_call = lambda _: Pass()
    daemon.start()
    assert daemon.wait_until_connected() == framework_id

    def acknowledged() -> bool:
        now: FrameworkState = scene.framework(framework_id)
        assert not now.framework["tasks"]
        (task,) = now.framework["completed_tasks"]
        return str(task["state"]) == "TASK_FINISHED"

    wait_until(acknowledged, "the acknowledgement at the master", 30.0)
    assert daemon.api.job("once")["tasks"] == {"finished": 1}
