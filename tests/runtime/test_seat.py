"""What the API sees of an instance, whatever part it plays."""

from scheduler.core.effects import Verdict
from scheduler.core.events import StopJob
from scheduler.core.model.ids import JobId, Uid
from scheduler.core.policy import Policy
from scheduler.core.records import Desired, JobRecord, Put
from scheduler.runtime.protocols import LeaderInfo
from scheduler.runtime.seat import Seat
from scheduler.runtime.standby import Standby
from tests.builders import ROLE, a_service

LEADER = LeaderInfo("other", "http://other:8080", 7)
RECORD = JobRecord(a_service(), Uid("u"), 1, 1, Desired.RUN, 0.0, 0.0)


async def test_an_instance_without_a_part_has_nothing_to_show_and_takes_no_requests() -> None:
    seat = Seat("here")
    assert (seat.leading, seat.leader, seat.age_s) == (False, None, None)
    answer = await seat.ask(lambda ticket: StopJob(ticket, JobId("web")))
    assert answer.verdict is Verdict.UNAVAILABLE


async def test_a_standby_shows_what_it_follows_and_who_leads() -> None:
    seat, standby = Seat("here"), Standby(Policy(roles=(ROLE,)))
    seat.sit(standby)
    assert seat.age_s is None
    standby.on_writes([Put(RECORD)])
    standby.on_leader(LEADER)
    assert [job.job for job in seat.views.jobs("", 10).items] == ["web"]
    assert (seat.leading, seat.leader) == (False, LEADER)
    assert seat.age_s is not None
    assert seat.age_s < 5.0


async def test_a_standby_hands_its_state_over_when_its_own_term_comes_by() -> None:
    standby = Standby(Policy(roles=(ROLE,)))
    standby.on_writes([Put(RECORD)])
    standby.on_leader(LeaderInfo("here", "", 8))
    state = await standby.sees_term(8)
    assert list(state.jobs) == ["web"]


def test_uids_are_different() -> None:
    seat = Seat("here")
    assert len({seat.mint_uid() for _ in range(1000)}) == 1000
