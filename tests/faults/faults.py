"""What can happen to a stage, one function each: it hurts, lets time pass, and may leave dead what
died. `Stage.heal` ends whatever was left.

Times are drawn from the scenario's seed. Sleeping is part of a fault here: how long it lasts.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Final

from tests.faults.instance import ETCD_ANSWERS_LATE_S, Instance
from tests.faults.masters import SESSION_S, Elected
from tests.faults.stage import Stage
from tests.faults.taps import Tap
from tests.support.etcd_cluster import EtcdMember
from tests.support.waiting import wait_until

Fault = Callable[[Stage, Random], None]

TTL_S: Final = 3.0
"""What daemons ask for by default."""
SURELY_ENDED_S: Final = 2 * TTL_S + 1.0
"""After so long a leader that was cut off is replaced; it may have been elected a moment before."""
WITHOUT_QUORUM_S: Final = 20.0
TIMES: Final = 5
DELIVERED_S: Final = 60.0


def leader_killed(stage: Stage, random: Random) -> None:
    """kill -9 at a random moment of its work; it comes back later, as a standby."""
    leader = stage.await_leader()
    time.sleep(random.uniform(0.0, 1.0))
    leader.kill()
    stage.await_leader(leader)
    leader.start()


def leader_paused(stage: Stage, random: Random) -> None:
    """SIGSTOP for longer than its lease, then SIGCONT: it finds itself without the office."""
    leader = stage.await_leader()
    leader.pause()
    with ThreadPoolExecutor(1) as pool:
        # It finds this request first of all when it goes on.
        status = pool.submit(leader.daemon.api.status)
        stage.await_leader(leader)
        time.sleep(random.uniform(0.0, TTL_S))
        leader.resume()
        assert not status.result()["leading"], "it speaks for an office that is another's"
    _stands_by(leader)


def standby_paused(stage: Stage, random: Random) -> None:
    """Users who asked it have long gone elsewhere when it goes on."""
    leader = stage.await_leader()
    standby = random.choice([one for one in stage.instances if one is not leader])
    standby.pause()
    time.sleep(random.uniform(TTL_S, SURELY_ENDED_S))
    standby.resume()


def leader_cut_off_from_etcd(stage: Stage, random: Random) -> None:
    _leader_cut_off(stage, random, etcd=True, master=False)


def leader_cut_off_from_master(stage: Stage, random: Random) -> None:
    _leader_cut_off(stage, random, etcd=False, master=True)


def leader_cut_off_from_both(stage: Stage, random: Random) -> None:
    _leader_cut_off(stage, random, etcd=True, master=True)


def _leader_cut_off(stage: Stage, random: Random, *, etcd: bool, master: bool) -> None:
    leader = stage.await_leader()
    taps = (leader.etcd_taps if etcd else []) + (leader.way.taps if master else [])
    random.choice([stage.taps.hold, stage.taps.refuse])(*taps)
    if etcd:
        stage.await_leader(leader)
        _stands_by(leader)
    else:
        time.sleep(random.uniform(1.0, SURELY_ENDED_S))
        assert stage.leader() is leader, "a leader without a master gave up its office"
    stage.taps.heal(*taps)


def leader_unplugged_from_etcd(stage: Stage, random: Random) -> None:
    _leader_unplugged(stage, random, etcd=True, master=False)


def leader_unplugged_from_master(stage: Stage, random: Random) -> None:
    _leader_unplugged(stage, random, etcd=False, master=True)


def leader_unplugged_from_both(stage: Stage, random: Random) -> None:
    _leader_unplugged(stage, random, etcd=True, master=True)


def _leader_unplugged(stage: Stage, random: Random, *, etcd: bool, master: bool) -> None:
    """The network itself fails, one way or both. What the leader's own kernel holds for sending
    arrives as soon as it can: nothing of that may still be said by then."""
    leader = stage.await_leader()
    cables = [leader.to_master] * master + [leader.to_etcd] * etcd
    inwards, outwards = random.choice([(True, True), (True, True), (True, False), (False, True)])
    for cable in cables:
        assert cable is not None, "it is played with each daemon apart"
        cable.cut(inwards=inwards, outwards=outwards)
        # What it writes meanwhile is durable, and its calls go nowhere yet.
        time.sleep(random.uniform(0.0, 0.5 * TTL_S))
    if etcd:
        stage.await_leader(leader)
        _stands_by(leader)
        time.sleep(random.uniform(0.0, TTL_S))
    else:
        time.sleep(random.uniform(1.0, SURELY_ENDED_S))
        assert stage.leader() is leader, "a leader without a master gave up its office"
    _plug_in(leader)


def leader_lost_with_its_host(stage: Stage, random: Random) -> None:
    """Nobody can reach it, and it can reach nobody; it runs on and comes back."""
    leader = stage.await_leader()
    for cable in random.sample(leader.cables, len(leader.cables)):
        cable.cut()
        time.sleep(random.uniform(0.0, 0.1 * TTL_S))
    stage.await_leader(leader)
    time.sleep(random.uniform(0.0, 2.0 * TTL_S))
    _plug_in(leader)
    _stands_by(leader)


def _plug_in(instance: Instance) -> None:
    """And lets come what its kernel still holds for those whom it could not reach."""
    assert instance.host is not None
    for cable in instance.cables:
        cable.mend()
    wait_until(instance.host.delivered, "what was written to be delivered", DELIVERED_S)


def etcd_answers_lost(stage: Stage, random: Random) -> None:
    """What the leader writes arrives, the answers do not: it cannot know what became of it."""
    _answers_lost(stage, random, lambda leader: leader.etcd_taps)


def master_answers_lost(stage: Stage, random: Random) -> None:
    """What the leader calls arrives, the answers and events do not."""
    _answers_lost(stage, random, lambda leader: leader.way.taps)


def _answers_lost(
    stage: Stage, random: Random, taps_of: Callable[[Instance], Sequence[Tap]]
) -> None:
    for _ in range(TIMES):
        taps = taps_of(stage.await_leader())
        stage.taps.mute(*taps)
        time.sleep(random.uniform(0.0, 0.5 * TTL_S))
        stage.taps.refuse(*taps)
        stage.taps.heal(*taps)
        time.sleep(random.uniform(0.0, 0.5 * TTL_S))


def etcd_slow(stage: Stage, random: Random) -> None:
    """Each answer takes so long that many writes and statuses wait for it."""
    taps = [tap for instance in stage.instances for tap in instance.etcd_taps]
    stage.taps.delay(random.uniform(0.05, 0.3), *taps)
    time.sleep(SURELY_ENDED_S)
    stage.taps.delay(ETCD_ANSWERS_LATE_S, *taps)


def etcd_member_killed(stage: Stage, random: Random) -> None:
    member = _a_member(stage, random)
    member.kill()
    time.sleep(random.uniform(1.0, SURELY_ENDED_S))
    member.start()
    member.await_healthy()


def etcd_member_hangs(stage: Stage, random: Random) -> None:
    member = _a_member(stage, random)
    member.pause()
    time.sleep(random.uniform(1.0, SURELY_ENDED_S))
    member.resume()


def _a_member(stage: Stage, random: Random) -> EtcdMember:
    """Most times the one that the leader talks to."""
    taps = stage.await_leader().etcd_taps
    talked_to = max(range(len(taps)), key=lambda number: taps[number].last_at)
    return random.choice([*stage.etcd.members, *[stage.etcd.members[talked_to]] * 3])


def etcd_without_quorum(stage: Stage, random: Random) -> None:
    members = random.sample(stage.etcd.members, 2)
    for member in members:
        member.kill()
    time.sleep(WITHOUT_QUORUM_S)
    for member in members:
        member.start()


def etcd_out_of_space(stage: Stage, random: Random) -> None:
    """Its quota is used up, for a while; then an operator makes room as etcd's manual says."""
    stage.witness.fill()

    def refuses() -> bool:
        assert stage.leader().daemon.api.status()["store_refusing"]
        return True

    wait_until(refuses, "the leader to say that the store refuses", SURELY_ENDED_S)
    time.sleep(random.uniform(0.0, SURELY_ENDED_S))
    stage.witness.forget()
    stage.etcd.etcdctl("defrag", "--cluster")
    stage.etcd.etcdctl("alarm", "disarm")


def master_fails_over(stage: Stage, random: Random) -> None:
    stage.master.fail_over()


def master_killed(stage: Stage, random: Random) -> None:
    """Another one is elected, when the masters' own session has ended."""
    stage.master.fail_over()
    time.sleep(random.uniform(0.0, 2.0 * SESSION_S))
    stage.master.heal()


def zookeeper_killed(stage: Stage, random: Random) -> None:
    """For less time than masters hold out without it, or for more: then they end themselves."""
    assert isinstance(stage.master, Elected)
    cluster = stage.master.cluster
    cluster.kill_zookeeper()
    if random.random() < 0.5:
        time.sleep(random.uniform(0.0, 0.5 * SESSION_S))
    else:
        time.sleep(2.0 * SESSION_S)
        stage.master.fail_over_all()
    cluster.start_zookeeper()


def rolling_restart(stage: Stage, random: Random) -> None:
    """SIGTERM, the leader first, each when the one before is ready again."""
    for instance in sorted(stage.instances, key=lambda one: one is not stage.await_leader()):
        assert instance.daemon.sigterm() == 0
        instance.start()
        stage.await_ready(instance)


def all_at_once(stage: Stage, random: Random) -> None:
    """One fault begins before the one before it has been got over."""
    leader = stage.await_leader()
    member = random.choice(stage.etcd.members)
    other = random.choice([one for one in stage.instances if one is not leader])
    hurts = [
        random.choice([leader.kill, leader.pause]),
        member.pause,
        lambda: stage.taps.hold(*other.way.taps),
        lambda: stage.taps.refuse(*random.choice(stage.instances).etcd_taps),
        stage.master.fail_over,
    ]
    random.shuffle(hurts)
    for hurt in hurts:
        hurt()
        time.sleep(random.uniform(0.0, 1.0))
    if isinstance(stage.master, Elected):
        zookeeper_killed(stage, random)
    time.sleep(random.uniform(0.0, SURELY_ENDED_S))


def _stands_by(leader: Instance) -> None:
    """It knows that it does not lead, and says so."""

    def knows() -> bool:
        assert not leader.daemon.api.status()["leading"]
        return True

    wait_until(knows, f"{leader.name} to stand by")


ETCD_OPTIONS: Final = {"etcd_out_of_space": ["--quota-backend-bytes=16777216"]}
"""What members are started with to be hurt in some way."""

ALL: Final[dict[str, Fault]] = {
    fault.__name__: fault
    for fault in (
        leader_killed,
        leader_paused,
        standby_paused,
        leader_cut_off_from_etcd,
        leader_cut_off_from_master,
        leader_cut_off_from_both,
        etcd_answers_lost,
        master_answers_lost,
        etcd_slow,
        etcd_member_killed,
        etcd_member_hangs,
        etcd_without_quorum,
        etcd_out_of_space,
        master_fails_over,
        rolling_restart,
        all_at_once,
    )
}
APART: Final[dict[str, Fault]] = {
    fault.__name__: fault
    for fault in (
        leader_unplugged_from_etcd,
        leader_unplugged_from_master,
        leader_unplugged_from_both,
        leader_lost_with_its_host,
    )
}
"""With each daemon on a host of its own."""
ON_REAL_MESOS: Final[dict[str, Fault]] = {
    fault.__name__: fault
    for fault in (
        master_killed,
        zookeeper_killed,
        leader_killed,
        leader_paused,
        leader_cut_off_from_etcd,
        leader_cut_off_from_master,
        leader_cut_off_from_both,
        rolling_restart,
        all_at_once,
    )
}
QUICK: Final[tuple[Fault, ...]] = (
    leader_killed,
    leader_paused,
    leader_cut_off_from_etcd,
    etcd_member_killed,
    master_fails_over,
)
