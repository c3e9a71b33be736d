"""What was tried and did not fit: it sleeps while offers come that cannot help it, and wakes for
those that can, for a change of its own, and for the slow sweep."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.core.asking import present_group
from scheduler.core.effects import Accept, Decline
from scheduler.core.events import OffersMade, TaskState
from scheduler.core.explain import explain
from scheduler.core.model.ids import JobId, OfferId, Role, TaskId
from scheduler.core.model.job import Constraint, JobSpec, Operator
from scheduler.core.model.offer import Offer
from scheduler.core.placement.matcher import place
from scheduler.core.placement.rows import Rows
from scheduler.core.policy import Budget, Policy
from tests.builders import ROLE, a_service, a_template, an_agent, an_offer
from tests.core.harness import Harness, connected

UNIQUE = Constraint("hostname", Operator.UNIQUE)
SWEEP_S = Policy(roles=(ROLE,)).queue_sweep_s


def tries(harness: Harness) -> int:
    """How often groups that wait now were matched with rows."""
    return sum(group.tries for group in harness.engine.queue)


def test_offers_that_cannot_help_try_nobody() -> None:
    harness = connected()
    for number in range(300):
        harness.apply(a_service(f"big-{number}", template=a_template(cpus=5000 + number)))
    harness.offer()
    harness.pass_time(0.3)  # many wait: offers are gathered
    assert tries(harness) == 300
    for number in range(20):
        harness.offer(an_offer(f"small-{number}", an_agent(f"a{number}"), cpus=4999))
    assert tries(harness) == 300
    calls = harness.offer(an_offer("fits-two", an_agent("b"), cpus=5001))
    assert [launch.job for launch in harness.launches(calls)] == ["big-0"]
    assert tries(harness) == 299 + 1  # big-1 was tried, and found the row filled


def test_only_the_lacking_attribute_wakes() -> None:
    harness = connected()
    for rack in ("r1", "r2"):
        on_rack = Constraint("rack", Operator.IS, rack)
        harness.apply(a_service(rack, template=a_template(constraints=(on_rack,))))
    harness.offer()
    assert tries(harness) == 2
    harness.offer(an_offer("o1", an_agent("a1", rack="r3")))
    assert tries(harness) == 2
    calls = harness.offer(an_offer("o2", an_agent("a2", rack="r2")))
    assert [launch.job for launch in harness.launches(calls)] == ["r2"]
    assert tries(harness) == 1


def test_a_host_that_the_job_is_on_wakes_it_when_its_task_has_ended() -> None:
    harness = connected()
    harness.apply(a_service(instances=2, template=a_template(constraints=(UNIQUE,))))
    [task] = harness.launched(harness.offer(an_offer("o1", an_agent("a1"))))
    harness.run(task)
    before = tries(harness)
    harness.offer(an_offer("o2", an_agent("a1")))
    assert tries(harness) == before
    harness.status(task, TaskState.FINISHED, uuid=b"f" * 16)
    calls = harness.offer(an_offer("o3", an_agent("a1")))
    assert len(harness.launched(calls)) == 1


def test_a_changed_job_is_tried_anew() -> None:
    harness = connected()
    harness.apply(a_service(template=a_template(cpus=9000)))
    harness.offer()
    harness.apply(a_service(template=a_template(cpus=1000)))
    assert len(harness.launched(harness.offer())) == 1


def test_the_sweep_tries_what_nothing_woke() -> None:
    harness = connected()
    harness.apply(a_service(template=a_template(cpus=9000)))
    harness.offer()
    harness.pass_time(SWEEP_S - 1.0)
    harness.offer()
    assert tries(harness) == 1
    harness.pass_time(2.0)
    harness.offer()
    assert tries(harness) == 2


def test_a_long_queue_is_gone_through_once_though_it_takes_many_steps() -> None:
    harness = connected()
    harness.budget = Budget(rows=40, launches=40)
    for number in range(30):
        harness.apply(a_service(f"big-{number:02}", template=a_template(cpus=9000)))
    harness.apply(a_service("small"))
    before = harness.steps
    calls = harness.offer()
    assert harness.steps - before >= 15
    assert [launch.job for launch in harness.launches(calls)] == ["small"]
    assert tries(harness) == 30


def test_a_role_with_a_long_queue_does_not_keep_others_waiting() -> None:
    harness = connected(Policy(roles=(ROLE, Role("other"))))
    harness.budget = Budget(rows=40, launches=40)
    for number in range(30):
        harness.apply(a_service(f"big-{number:02}", template=a_template(cpus=9000)))
    harness.apply(a_service("small", template=a_template(role=Role("other"))))
    offers = (an_offer("o1"), an_offer("o2", an_agent("a2"), role=Role("other")))
    engine, now = harness.engine, harness.now
    first = engine.handle(now, [OffersMade(offers)], harness.budget)
    assert (first.more, harness.launches(first.calls)) == (True, [])
    second = engine.handle(now, [], harness.budget)
    assert [launch.job for launch in harness.launches(second.calls)] == ["small"]


SIZES = st.sampled_from([500, 1000, 2000, 4000])
PLACES = st.sampled_from(["a1", "a2", "a3"])
JOBS = st.sampled_from(["w1", "w2", "w3", "w4"])
Act = tuple[str, str, int]
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), JOBS, SIZES),
        st.tuples(st.just("unique"), JOBS, SIZES),
        st.tuples(st.just("fixed"), JOBS, SIZES),
        st.tuples(st.just("offer"), PLACES, SIZES),
        st.tuples(st.just("offer"), PLACES, SIZES),
        st.tuples(st.just("finish"), JOBS, st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.sampled_from([1, 30, 400])),
    ),
    max_size=40,
)


class Watched:
    """A harness that looks at every offer which is declined: it fits nobody who waits."""

    def __init__(self, budget: Budget) -> None:
        self.harness = connected()
        self.harness.budget = budget
        self.offers: dict[OfferId, Offer] = {}
        self.declined = 0

    def act(self, act: Act) -> None:
        before = len(self.harness.calls)
        match act:
            case ("offer", place_name, cpus):
                made = an_offer(f"o{len(self.offers)}", an_agent(place_name), cpus=cpus)
                self.offers[made.offer_id] = made
                self.harness.offer(made)
            case ("finish", job, _):
                tasks = self.harness.engine.views.tasks("", 100, job=JobId(job)).items
                for task in [task for task in tasks if task.id][:1]:
                    self.harness.status(
                        TaskId(task.id), TaskState.FINISHED, agent=task.agent_id, uuid=b"f" * 16
                    )
            case ("wait", _, seconds):
                self.harness.pass_time(float(seconds))
            case (kind, job, cpus):
                self.harness.apply(self._spec(kind, job, cpus))
        self._explains_all()
        for call in self.harness.calls[before:]:
            if isinstance(call, Decline):
                self._fits_nobody(call)
            elif isinstance(call, Accept):
                for offer_id in call.offer_ids:
                    del self.offers[offer_id]

    def _spec(self, kind: str, job: str, cpus: int) -> JobSpec:
        here = Constraint("hostname", Operator.IS, "a2")
        constraints = {"unique": (UNIQUE,), "fixed": (here,)}.get(kind, ())
        template = a_template(cpus=cpus, constraints=constraints)
        return a_service(job, instances=1 + cpus // 1000, template=template)

    def _explains_all(self) -> None:
        """Each agent is counted once, and who waits is told why."""
        views = self.harness.engine.views
        for name in self.harness.engine.state.jobs:
            question = views.question(name)
            assert question is not None
            view = explain(question)
            assert sum(reason.agents or 0 for reason in view.reasons) == (view.agents or 0)
            assert view.reasons or not (view.waiting or view.back_off), view

    def _fits_nobody(self, call: Decline) -> None:
        rows = Rows()
        for offer_id in call.offer_ids:
            rows.add(self.offers.pop(offer_id))
        self.declined += len(call.offer_ids)
        for waiting in self.harness.engine.queue:
            if waiting.active:
                job = self.harness.engine.state.jobs[waiting.job]
                group = present_group(self.harness.engine.state, job, self.harness.now.wall)
                assert not place(rows, group, 1).instances, f"{waiting.job} slept through it"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(acts=ACTS, budget=st.sampled_from([Budget(), Budget(rows=1, launches=1)]))
def test_nobody_sleeps_while_an_offer_that_fits_is_declined(
    acts: list[Act], budget: Budget
) -> None:
    watched = Watched(budget)
    for act in acts:
        watched.act(act)
