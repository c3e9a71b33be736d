"""What users see: jobs, tasks, agents and the status, in pages."""

import pytest

from scheduler.core.events import (
    AgentFailed,
    AgentsListed,
    ConnectFailed,
    FrameworkSeen,
    FrameworksListed,
    StoreRefusing,
    TaskState,
)
from scheduler.core.model.ids import FrameworkId, JobId, Role, TaskId
from scheduler.core.model.job import Restart
from scheduler.core.model.offer import AgentSeen
from scheduler.core.model.resources import Amounts
from scheduler.core.views import JobView, OtherFrameworkView, TaskView
from tests.builders import a_batch, a_service, a_status, a_template, an_agent, an_offer
from tests.core.harness import Harness, connected, running


def job_view(harness: Harness, job: str = "web") -> JobView:
    view = harness.engine.views.job(JobId(job))
    assert view is not None
    return view


def tasks(harness: Harness, **query: object) -> list[TaskView]:
    page = harness.engine.views.tasks("", 1000, **query)  # type: ignore[arg-type]
    assert page.next is None
    return page.items


def test_a_job_counts_its_instances_by_state() -> None:
    harness, [first, *_] = running(a_service(instances=6))
    harness.status(first, TaskState.UNREACHABLE)
    assert job_view(harness).tasks == {"running": 3, "unreachable": 1, "queued": 2}
    harness.scale("web", 4)
    assert job_view(harness).tasks == {"running": 3, "unreachable": 1}


def test_the_state_of_a_job() -> None:
    harness, [task] = running(a_service())
    assert job_view(harness).state == "running"
    harness.stop("web")
    assert job_view(harness).state == "stopping"
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    assert job_view(harness).state == "stopped"
    harness.apply(a_service())
    [task] = harness.place()
    harness.delete("web")
    assert job_view(harness).state == "deleting"
    harness.status(task, TaskState.KILLED, uuid=b"k" * 16)
    assert harness.engine.views.job(JobId("web")) is None


def test_an_ended_batch_says_when() -> None:
    harness, [task] = running(a_batch())
    harness.status(task, TaskState.FINISHED, uuid=b"f" * 16)
    view = job_view(harness, "numbers")
    assert (view.state, view.ended_at) == ("ended", harness.now.wall)
    assert [t.state for t in tasks(harness)] == ["finished"]
    assert [t.id for t in tasks(harness, ended=True)] == [task]


def test_a_running_task_shows_where_it_runs() -> None:
    harness, [task] = running(a_service())
    view = harness.engine.views.task(task)
    assert view is not None
    assert (view.id, view.job, view.instance, view.attempt) == (task, "web", 0, 1)
    assert (view.state, view.agent_id, view.hostname) == ("running", "S-a1", "a1")
    assert view.started_at == harness.now.wall
    assert harness.engine.views.task(TaskId("web.0.9.u1")) is None


def test_what_waits_says_for_what() -> None:
    harness = Harness()
    harness.apply(a_service(restart=Restart(backoff_initial_s=60.0)))
    assert [view.waits_for for view in tasks(harness)] == ["the master"]
    harness.subscribe()
    assert [view.waits_for for view in tasks(harness)] == ["the next offers"]
    harness.pass_time(1.0)
    harness.offer(an_offer("small", cpus=100))
    [view] = tasks(harness)
    assert "cpus" in view.waits_for
    [task] = harness.place()
    harness.status(task, TaskState.FAILED, uuid=b"f" * 16)
    [view] = tasks(harness)
    assert (view.state, view.waits_for) == ("queued", "back-off")
    assert view.next_at == harness.now.wall + 60.0
    harness.pass_time(61.0)
    harness.handle(StoreRefusing("full"))
    assert [view.waits_for for view in tasks(harness)] == ["the store"]


def test_ended_attempts_are_shown_when_asked_for() -> None:
    harness, [task] = running(a_service())
    harness.status(task, TaskState.FAILED, uuid=b"f" * 16)
    assert [view.id for view in tasks(harness)] == [""]
    assert [view.id for view in tasks(harness, ended=True)] == ["", task]


def test_a_finished_instance_is_shown_once() -> None:
    harness, [task] = running(a_batch())
    harness.status(task, TaskState.FINISHED, uuid=b"f" * 16)
    assert [view.id for view in tasks(harness, ended=True)] == [task]


def test_the_attempts_before_the_one_that_finished_are_shown() -> None:
    harness, [first] = running(a_batch())
    harness.status(first, TaskState.FAILED, uuid=b"f" * 16)
    harness.pass_time(400.0)
    [second] = harness.place()
    harness.status(second, TaskState.FINISHED, uuid=b"g" * 16)
    shown = [(view.id, view.state) for view in tasks(harness, ended=True)]
    assert shown == [(second, "finished"), (first, "failed")]


def test_the_tasks_of_one_instance() -> None:
    harness, found = running(a_service(instances=3))
    assert [view.id for view in tasks(harness, job=JobId("web"), instance=1)] == [found[1]]
    assert tasks(harness, job=JobId("web"), instance=7) == []


@pytest.mark.parametrize("after", ["web", "web x", "web -1", "web 1²", f"web {'9' * 5000}", " "])
def test_a_cursor_that_no_page_gave_is_refused(after: str) -> None:
    harness, _ = running(a_service())
    with pytest.raises(ValueError, match="no page"):
        harness.engine.views.tasks(after, 10)


def test_tasks_are_chosen_by_job_and_state() -> None:
    harness, web = running(a_service(instances=2))
    harness.apply(a_batch(template=a_template(cpus=500)))
    [number] = harness.place()
    assert [view.id for view in tasks(harness, job=JobId("web"))] == web
    assert [view.id for view in tasks(harness, states=["launching"])] == [number]
    assert tasks(harness, job=JobId("nobody")) == []


def test_pages_of_tasks_cover_everything_once() -> None:
    harness, _ = running(a_service("b", instances=7))
    harness.apply(a_service("a", instances=3, template=a_template(cpus=10)))
    harness.scale("b", 2)
    after, seen, pages = "", [], 0
    while True:
        page = harness.engine.views.tasks(after, 2)
        seen += [(view.job, view.instance) for view in page.items]
        pages += 1
        if page.next is None:
            break
        after = page.next
    assert seen == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", 2), ("b", 3)]
    assert pages == 4


def test_pages_of_jobs_cover_everything_once() -> None:
    harness = connected()
    names = sorted(f"job-{number}" for number in range(7))
    for name in reversed(names):
        harness.apply(a_service(name))
    first = harness.engine.views.jobs("", 3)
    assert [view.job for view in first.items] == names[:3]
    second = harness.engine.views.jobs(first.next or "", 3)
    last = harness.engine.views.jobs(second.next or "", 3)
    assert [view.job for view in (*second.items, *last.items)] == names[3:]
    assert last.next is None


def test_agents_are_known_from_offers_and_from_the_list() -> None:
    harness, _ = running(a_service())
    [seen] = harness.engine.views.agents("", 10).items
    assert (seen.hostname, seen.tasks, seen.active, seen.total) == ("a1", 1, None, None)
    total = Amounts(8000, 1000, 0, 0)
    listed = AgentSeen(an_agent("a1"), True, total, Amounts(), Amounts())
    harness.handle(AgentsListed((listed,)))
    harness.pass_time(30.0)
    [seen] = harness.engine.views.agents("", 10).items
    assert (seen.active, seen.total, round(seen.seen_s_ago or 0.0)) == (True, total, 30)
    harness.handle(AgentFailed(an_agent("a1").agent_id))
    assert harness.engine.views.agents("", 10).items[0].active is False
    harness.handle(AgentsListed(None, "403"))
    assert harness.engine.views.status().agents_hidden == "403"


def test_pages_of_agents_cover_everything_once() -> None:
    harness = connected()
    harness.offer(*(an_offer(f"o{i}", an_agent(f"a{i}")) for i in range(5)))
    first = harness.engine.views.agents("", 3)
    rest = harness.engine.views.agents(first.next or "", 3)
    assert [view.id for view in (*first.items, *rest.items)] == [f"S-a{i}" for i in range(5)]
    assert rest.next is None


def test_the_status_says_how_we_are() -> None:
    harness = Harness()
    status = harness.engine.views.status()
    assert (status.connected, status.framework_id) == (False, "")
    harness.subscribe("F-5")
    harness.apply(a_service(instances=6))
    assert harness.engine.views.status().reconciling
    harness.answer_marker()
    harness.place()
    harness.handle(a_status(TaskId("stranger.0.1.zz"), TaskState.RUNNING))
    status = harness.engine.views.status()
    assert (status.connected, status.framework_id, status.reconciling) == (True, "F-5", False)
    assert status.tasks == {"launching": 4, "queued": 2}
    assert (status.jobs, status.waiting, status.unknown_tasks) == (1, 2, 1)
    harness.disconnect()
    assert harness.engine.views.status().master == ""


# --- the master, and who else is there -----------------------------------------------------------


def seen(name: str, *roles: str, active: bool = True) -> FrameworkSeen:
    return FrameworkSeen(FrameworkId(name), name, tuple(map(Role, roles)), active)


def test_status_says_why_there_is_no_master_and_since_when() -> None:
    harness = Harness()
    assert harness.engine.views.status().disconnected_since == harness.now.wall
    harness.handle(ConnectFailed("refused"))
    harness.subscribe()
    assert harness.engine.views.status().disconnected_since is None
    assert harness.engine.views.status().not_connected == ""
    # What belongs to a try that is over changes nothing.
    harness.handle(ConnectFailed("late"))
    assert harness.engine.views.status().not_connected == ""
    harness.pass_time(10.0)
    lost_at = harness.now.wall
    harness.disconnect()
    assert harness.engine.views.status().not_connected == "the network"
    harness.pass_time(20.0)
    harness.handle(ConnectFailed("no route"))
    status = harness.engine.views.status()
    assert (status.disconnected_since, status.not_connected) == (lost_at, "no route")


def test_status_shows_other_frameworks_in_our_roles() -> None:
    harness = Harness()
    # Before we know our own id we may be among them.
    harness.handle(FrameworksListed((seen("F-1", "prod"),)))
    harness.subscribe("F-1")
    assert harness.engine.views.status().other_frameworks is None
    ours, other = seen("F-1", "prod"), seen("b", "x", "prod", "prod")
    others = [seen("a", "x"), seen("away", "prod", active=False)]
    harness.handle(FrameworksListed((*others, other, ours)))
    status = harness.engine.views.status()
    assert status.other_frameworks == (OtherFrameworkView("b", "b", ("prod",)),)
    many = tuple(seen(f"f{number:03}", "prod") for number in range(100))
    harness.handle(FrameworksListed((*many, ours)))
    shown = harness.engine.views.status().other_frameworks
    assert shown is not None
    assert [one.id for one in shown] == [f"f{number:03}" for number in range(20)]


def test_status_says_why_it_cannot_know_of_other_frameworks() -> None:
    harness = Harness()
    harness.subscribe("F-1")
    harness.handle(FrameworksListed(None, "403: not you"))
    assert harness.engine.views.status().frameworks_hidden == "403: not you"
    # A list is cut to what a principal may view, without a word.
    harness.handle(FrameworksListed((seen("F-1", "prod"),)))
    harness.handle(FrameworksListed(()))
    assert harness.engine.views.status().other_frameworks == ()
    harness.handle(FrameworksListed(()))
    status = harness.engine.views.status()
    assert "does not list ourselves" in status.frameworks_hidden
    assert status.other_frameworks is None
