from scheduler.emulator.model.records import MasterOptions
from scheduler.mesos.proto.mesos_v1_pb2 import TaskStatus
from scheduler.mesos.proto.scheduler_pb2 import Event
from tests.emulator.model.lab import Lab, ListeningFramework, a_task, state


def running(lab: Lab, *, checkpoint: bool = True) -> ListeningFramework:
    framework = lab.framework(checkpoint=checkpoint)
    framework.launch(a_task(lab), refuse_s=3600.0)
    assert framework.acknowledge_all() == ["TASK_STARTING", "TASK_RUNNING"]
    return framework


def test_a_killed_agent_loses_its_offers_at_once_and_its_tasks_after_75_to_90_seconds() -> None:
    lab = Lab()
    framework = running(lab)
    framework.revive()
    (offer,) = framework.new_offers()
    lab.run(7.0)
    lab.world.lose_agent(0)
    assert framework.rescinded() == [offer.id.value]
    lab.run(75.0)
    assert framework.states() == []
    lab.run(15.0)
    (status,) = framework.new_statuses()
    assert status.state == state("UNREACHABLE")
    assert (status.source, status.reason) == (
        TaskStatus.SOURCE_MASTER,
        TaskStatus.REASON_AGENT_REMOVED,
    )
    assert status.HasField("unreachable_time")
    assert not status.HasField("uuid")
    assert [kind for kind in framework.kinds() if kind != "HEARTBEAT"][-1] == "FAILURE"


def test_a_silent_agent_keeps_its_offers_until_it_counts_as_unreachable() -> None:
    lab = Lab()
    framework = lab.framework()
    lab.world.lose_agent(0, process_died=False)
    lab.run(60.0)
    assert framework.rescinded() == []
    lab.run(30.0)
    assert len(framework.rescinded()) == 1


def test_a_framework_that_is_not_partition_aware_hears_lost() -> None:
    lab = Lab()
    framework = lab.framework(capabilities=())
    framework.launch(a_task(lab))
    framework.acknowledge_all()
    lab.world.lose_agent(0)
    lab.run(90.0)
    (status,) = framework.new_statuses()
    assert (status.state, status.reason) == (state("LOST"), TaskStatus.REASON_AGENT_REMOVED)


def test_without_checkpoint_a_broken_link_loses_the_tasks_at_once() -> None:
    lab = Lab()
    framework = running(lab, checkpoint=False)
    lab.world.lose_agent(0)
    (status,) = framework.new_statuses()
    assert (status.state, status.reason) == (state("LOST"), TaskStatus.REASON_AGENT_DISCONNECTED)
    lab.world.return_agent(0)
    lab.run(2.0)
    assert framework.new_statuses() == []
    assert lab.world.agents[0].tasks == {}


def test_an_agent_that_is_back_in_time_is_only_offered_again() -> None:
    lab = Lab()
    framework = running(lab)
    lab.world.lose_agent(0)
    lab.run(30.0)
    lab.world.return_agent(0)
    lab.run(100.0)
    assert framework.states() == []
    framework.revive()
    assert len(framework.new_offers()) == 1


def test_an_unreachable_agent_comes_back_with_its_tasks() -> None:
    lab = Lab()
    framework = running(lab)
    lab.world.lose_agent(0)
    lab.run(90.0)
    framework.new_statuses()
    lab.world.return_agent(0)
    lab.run(0.0)
    (status,) = framework.new_statuses()
    assert status.state == state("RUNNING")
    assert status.reason == TaskStatus.REASON_AGENT_REREGISTERED
    assert not status.HasField("uuid")
    framework.kill("t", lab.agent_id())
    assert framework.acknowledge_all() == ["TASK_KILLING", "TASK_KILLED"]


def test_a_task_that_ended_while_its_agent_was_away_says_so_after_the_return() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab, command="sleep 60"))
    framework.acknowledge_all()
    lab.world.lose_agent(0)
    lab.run(120.0)
    assert framework.acknowledge_all() == ["TASK_UNREACHABLE"]
    lab.world.return_agent(0)
    lab.run(0.0)
    assert framework.acknowledge_all() == ["TASK_RUNNING", "TASK_FINISHED"]


def test_a_kill_to_a_disconnected_agent_is_remembered() -> None:
    lab = Lab()
    framework = running(lab)
    lab.world.lose_agent(0)
    framework.kill("t", lab.agent_id())
    lab.run(10.0)
    assert framework.states() == []
    lab.world.return_agent(0)
    lab.run(0.0)
    assert framework.acknowledge_all() == ["TASK_KILLING", "TASK_KILLED"]


def test_a_kill_to_an_unreachable_agent_is_answered_and_forgotten() -> None:
    lab = Lab()
    framework = running(lab)
    lab.world.lose_agent(0)
    lab.run(90.0)
    framework.new_statuses()
    framework.kill("t", lab.agent_id())
    assert [one.state for one in framework.new_statuses()] == [state("UNREACHABLE")]
    lab.world.return_agent(0)
    lab.run(60.0)
    assert framework.acknowledge_all() == ["TASK_RUNNING"]


def test_a_launch_lost_on_its_way_is_dropped_when_the_agent_is_back() -> None:
    lab = Lab()
    framework = lab.framework()
    lab.world.lose_agent(0, process_died=False)
    framework.launch(a_task(lab))
    lab.run(10.0)
    assert framework.states() == []
    lab.world.return_agent(0)
    lab.run(0.0)
    (status,) = framework.new_statuses()
    assert (status.state, status.reason) == (state("DROPPED"), TaskStatus.REASON_RECONCILIATION)
    assert status.source == TaskStatus.SOURCE_AGENT
    framework.acknowledge(status)
    lab.run(60.0)
    assert framework.new_statuses() == []


def test_an_agent_declared_gone_never_comes_back() -> None:
    lab = Lab()
    framework = running(lab)
    assert lab.master.agents.mark_gone(lab.agent_id())
    lab.run(0.0)
    (status,) = framework.new_statuses()
    assert status.state == state("GONE_BY_OPERATOR")
    assert status.reason == TaskStatus.REASON_AGENT_REMOVED_BY_OPERATOR
    lab.world.return_agent(0)
    lab.run(60.0)
    framework.revive()
    assert framework.new_offers() == []
    assert framework.reconcile(("t", lab.agent_id()))[0].state == state("GONE_BY_OPERATOR")
    assert not lab.master.agents.mark_gone("nobody")


def test_an_agent_that_lost_everything_is_another_one() -> None:
    lab = Lab()
    framework = running(lab)
    old = lab.agent_id()
    lab.world.replace_agent(0)
    lab.run(0.0)
    assert lab.agent_id() not in ("", old)
    (status,) = framework.new_statuses()
    assert (status.state, status.reason) == (state("LOST"), TaskStatus.REASON_AGENT_REMOVED)
    assert [offer.agent_id.value for offer in framework.new_offers()] == [lab.agent_id()]
    assert [one.state for one in framework.reconcile(("t", old))] == [state("UNKNOWN")]
    assert set(lab.master.tables.agents) == {lab.agent_id()}


def test_every_framework_hears_of_a_lost_agent() -> None:
    lab = Lab()
    idle = lab.framework(("idle",), suppressed=("idle",))
    lab.world.lose_agent(0)
    lab.run(90.0)
    failures = [event for event in idle.events if event.type == Event.FAILURE]
    assert [event.failure.agent_id.value for event in failures] == [lab.agent_id()]


def test_reconciliation_answers_by_the_table() -> None:
    lab = Lab(agents=3)
    framework = lab.framework()
    here = [offer for offer in framework.new_offers() if offer.hostname == "agent-0"]
    framework.accept(here, [a_task(lab)])
    lab.world.lose_agent(1)
    lab.run(90.0)
    assert lab.master.agents.mark_gone(lab.agent_id(2))
    asked = [
        ("t", lab.agent_id(0)),
        ("other", lab.agent_id(0)),
        ("other", lab.agent_id(1)),
        ("other", lab.agent_id(2)),
        ("other", "no-such-agent"),
        ("other", ""),
    ]
    answers = framework.reconcile(*asked)
    assert [answer.state for answer in answers] == [
        state("STARTING"),
        state("GONE"),
        state("UNREACHABLE"),
        state("GONE_BY_OPERATOR"),
        state("UNKNOWN"),
        state("UNKNOWN"),
    ]
    assert {answer.reason for answer in answers} == {TaskStatus.REASON_RECONCILIATION}
    assert not any(answer.HasField("uuid") for answer in answers)
    assert answers[2].HasField("unreachable_time")
    assert not answers[5].HasField("agent_id")


def test_implicit_reconciliation_lists_what_the_master_holds() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab, "a"), a_task(lab, "b", "true"))
    framework.acknowledge_all()
    assert {answer.task_id.value for answer in framework.reconcile()} == {"a"}


def test_after_a_failover_agents_come_back_with_tasks_and_ids() -> None:
    lab = Lab(agents=2)
    framework = running_on_first(lab)
    before = lab.master.tables.info.id
    agent_id = lab.agent_id()
    lab.world.fail_over()
    lab.run(0.0)
    assert framework.closed
    assert lab.master.tables.info.id != before
    framework.subscribe()
    # Nobody is back yet: tasks in transition get no answer.
    if agent_id in lab.master.tables.recovered:
        assert framework.reconcile(("t", agent_id), ("other", "")) == []
    lab.run(2.0)
    assert lab.agent_id() == agent_id
    assert [one.state for one in framework.reconcile(("t", agent_id))] == [state("RUNNING")]
    assert len(framework.new_offers()) == 2
    assert framework.framework_id.startswith(before)


def test_a_new_master_knows_frameworks_from_agents_and_starts_no_timer_for_them() -> None:
    lab = Lab()
    framework = lab.framework(failover_timeout_s=1.0)
    framework.launch(a_task(lab))
    lab.world.fail_over(recovering_s=5.0)
    lab.run(0.0)
    assert lab.world.master is None
    lab.run(100.0)
    known = lab.master.tables.frameworks[framework.framework_id]
    assert (known.recovered, known.connected, set(known.tasks)) == (True, False, {"t"})
    framework.subscribe()
    assert not lab.master.tables.frameworks[framework.framework_id].recovered
    assert "TASK_STARTING" in framework.states()


def test_agents_that_do_not_return_after_a_failover_are_unreachable_after_ten_minutes() -> None:
    lab = Lab(options=MasterOptions())
    framework = running(lab)
    lab.world.lose_agent(0)
    lab.world.fail_over()
    lab.run(0.0)
    framework.subscribe()
    lab.run(599.0)
    assert framework.reconcile(("t", lab.agent_id())) == []
    lab.run(2.0)
    assert [one.state for one in framework.reconcile(("t", lab.agent_id()))] == [
        state("UNREACHABLE")
    ]


def running_on_first(lab: Lab) -> ListeningFramework:
    framework = lab.framework()
    here = [offer for offer in framework.new_offers() if offer.hostname == "agent-0"]
    framework.accept(here, [a_task(lab)])
    assert framework.acknowledge_all() == ["TASK_STARTING", "TASK_RUNNING"]
    return framework
