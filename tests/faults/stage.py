"""A whole house to be hurt: several daemons, three etcd members, a master, and taps between.

    daemon-0 ─┬─ tap ─ etcd m1, m2, m3
    daemon-1 ─┤
    daemon-2 ─┴─ tap ─ master

Every daemon has taps of its own. `faults.py` hurts it, `judge.py` says what became of it.
"""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import grpc

from tests.faults.claims import Asking
from tests.faults.etcd_witness import EtcdWitness
from tests.faults.evidence import Evidence
from tests.faults.instance import NAME, Instance
from tests.faults.judge import violations
from tests.faults.load import Load, is_batch
from tests.faults.masters import Emulated, WitnessedMaster
from tests.faults.reading import answers_on, connections, said_on, updates_on
from tests.faults.settled import as_wished
from tests.faults.taps import Taps
from tests.support.etcd_cluster import EtcdCluster
from tests.support.private_host import PrivateHost
from tests.support.waiting import wait_until

DAEMONS: Final = 3
PREFIX: Final = f"/offerd/{NAME}/"
READY_S: Final = 40.0
ELECTED_S: Final = 40.0
SETTLED_S: Final = 60.0
SHOWN_MAX: Final = 20


class Office(NamedTuple):
    """Who leads in which term."""

    instance: Instance
    term: int


class Stage:
    """Stands while its context is open."""

    def __init__(
        self,
        folder: Path,
        network: str,
        make_master: Callable[[Path], WitnessedMaster] = Emulated,
        *,
        etcd_options: Sequence[str] = (),
        apart: bool = False,
    ) -> None:
        """`apart`: each daemon has a host of its own, with cables that can be cut."""
        self._stack = contextlib.ExitStack()
        self._folder = folder
        self._make_master = make_master
        self._apart = apart
        self.etcd = EtcdCluster(folder / "etcd", network, 3, etcd_options)
        self.witness = EtcdWitness(self.etcd.endpoints, PREFIX)
        self.taps = Taps()
        self.instances: list[Instance] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self.etcd.stop)
            self.etcd.start()
            self.master = self._make_master(self._folder / "mesos")
            stack.callback(self.master.stop)
            stack.enter_context(self.taps)
            for number in range(DAEMONS):
                name = f"daemon-{number}"
                host = stack.enter_context(PrivateHost()) if self._apart else None
                made = Instance(name, self._folder / name, self.taps, self.etcd, self.master, host)
                stack.callback(made.kill)
                self.instances.append(made)
            for instance in self.instances:
                instance.start()
            for instance in self.instances:
                self.await_ready(instance)
            apis = [(instance.name, instance.daemon.api) for instance in self.instances]
            self._asking = stack.enter_context(Asking(apis))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            for instance in self.instances:
                print(f"--- {instance.name}\n{instance.daemon.log_tail()}")
        self._stack.close()

    # ---- who is who -----------------------------------------------------------------------------

    def office(self) -> Office:
        """Whom etcd names as the leader. Raises AssertionError while there is none."""
        try:
            found = self.witness.leader()
        except grpc.RpcError as error:
            raise AssertionError(f"etcd does not say who leads: {error}") from error
        assert found is not None, "nobody leads"
        daemon, term = found
        return Office(next(one for one in self.instances if one.name == daemon), term)

    def await_office(self, at_least: int = 0) -> Office:
        """Who leads, in this term or a later one."""

        def late_enough() -> Office:
            found = self.office()
            assert found.term >= at_least, f"the term {found.term} goes on"
            return found

        return wait_until(late_enough, "a leader", ELECTED_S)

    def leader(self) -> Instance:
        return self.office().instance

    def await_leader(self, other_than: Instance | None = None) -> Instance:
        """Who leads, once that is another one."""

        def another() -> Instance:
            found = self.leader()
            assert found is not other_than, f"{found.name} still leads"
            return found

        return wait_until(another, "another leader", ELECTED_S)

    def await_ready(self, instance: Instance) -> None:
        def ready() -> bool:
            if not instance.daemon.alive():
                raise RuntimeError(f"{instance.name} ended: {instance.daemon.log_tail()}")
            return bool(instance.daemon.api.get("/readyz"))

        wait_until(ready, f"{instance.name} to be ready", READY_S)

    def load(self, seed: int) -> Load:
        apis = [instance.daemon.api for instance in self.instances]
        return Load(apis, seed, self.master.pause_s)

    # ---- the end --------------------------------------------------------------------------------

    def heal(self) -> None:
        """Every fault ends: all run, all is connected."""
        self.taps.heal(*(tap for instance in self.instances for tap in instance.taps))
        for cable in (cable for instance in self.instances for cable in instance.cables):
            cable.mend()
        self.master.heal()
        for member in self.etcd.members:
            if not member.runs:
                member.start()
            member.resume()
        for member in self.etcd.members:
            member.await_healthy()
        for instance in self.instances:
            if not instance.daemon.alive():
                instance.kill()
                instance.start()
            elif instance.paused:
                instance.resume()

    def settle(self, load: Load) -> Evidence:
        """Everything becomes what is declared, and the judge finds nothing."""
        found = []
        try:
            wait_until(
                lambda: as_wished(load, self.master, self.leader().daemon.api),
                "all to be as declared",
                SETTLED_S,
            )
        except AssertionError as unsettled:
            found.append(str(unsettled))
        evidence = self.evidence(load)
        found += violations(evidence)
        assert not found, "\n".join([f"{len(found)} violations", *found[:SHOWN_MAX]])
        return evidence

    # ---- the evidence ---------------------------------------------------------------------------

    def evidence(self, load: Load) -> Evidence:
        to_master = connections(tap for each in self.instances for tap in each.way.masters)
        to_etcd = connections(tap for each in self.instances for tap in each.etcd_taps)
        # The last acknowledgements may be on their way: what follows from something is read before
        # it, so that nothing seems to come from nowhere.
        updates = [one for each in to_master for one in updates_on(each)]
        told = {update.task for update in updates if update.state == "TASK_FINISHED"}
        finished = self.master.finished() | told
        lives = self.master.lives(updates)
        said = sorted(one for each in to_master for one in said_on(each))
        answered = sorted(one for each in to_etcd for one in answers_on(each))
        return Evidence(
            PREFIX,
            changes=self.witness.history(),
            answered=answered,
            said=said,
            claims=self._asking.claims,
            updates=updates,
            lives=lives,
            finished=finished,
            batches={job: wish.instances for job, wish in load.wished.items() if is_batch(job)},
            requests=load.requests,
        )
