from scheduler.emulator.simulate import SimulateOptions
from scheduler.mesos.proto.mesos_v1_pb2 import TaskStatus
from scheduler.mesos.proto.scheduler_pb2 import Call
from tests.emulator.model.lab import CAPABILITIES, Lab, a_task, state


def test_an_update_comes_only_after_the_one_before_it_is_acknowledged() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab, command="sleep 1"))
    lab.run(5.0)
    assert framework.states() == ["TASK_STARTING"]
    assert framework.acknowledge_all() == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]


def test_an_unacknowledged_update_comes_again_after_ten_seconds_doubling_to_ten_minutes() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab))
    (first,) = framework.new_statuses()
    gaps: list[float] = []
    waited = 0.0
    while len(gaps) < 9:
        lab.run(1.0)
        waited += 1.0
        for status in framework.new_statuses():
            assert status.uuid == first.uuid
            gaps.append(waited)
            waited = 0.0
    assert gaps == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_a_subscription_brings_unacknowledged_updates_at_once() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab))
    (first,) = framework.new_statuses()
    framework.disconnect()
    framework.subscribe()
    assert framework.kinds()[:2] == ["SUBSCRIBED", "HEARTBEAT"]
    assert [status.uuid for status in framework.statuses()] == [first.uuid]


def test_a_wrong_uuid_acknowledges_nothing() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab))
    (first,) = framework.new_statuses()
    wrong = TaskStatus()
    wrong.CopyFrom(first)
    wrong.uuid = bytes(16)
    framework.acknowledge(wrong)
    assert framework.new_statuses() == []
    framework.acknowledge(first)
    assert framework.states() == ["TASK_RUNNING"]


def test_an_ended_task_holds_its_id_until_its_last_update_is_acknowledged() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab, "t", "true"))
    for _ in range(2):
        framework.acknowledge(framework.new_statuses()[0])
    lab.run(1.0)
    framework.launch(a_task(lab, "t", "true"))
    finished, refused = framework.new_statuses()
    assert (finished.state, refused.reason) == (
        state("FINISHED"),
        TaskStatus.REASON_TASK_INVALID,
    )
    framework.acknowledge(finished)
    lab.run(1.0)
    framework.launch(a_task(lab, "t", "true"))
    assert framework.states() == ["TASK_STARTING"]


def test_resources_are_free_as_soon_as_the_newest_state_is_terminal() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab, command="true"))
    (starting,) = framework.new_statuses()
    framework.acknowledge(starting)
    # RUNNING is delivered with FINISHED behind it in the agent's queue.
    assert (
        lab.entry().free.scalar("cpus")
        + sum(lab.master.tables.offers[one].bundle.scalar("cpus") for one in lab.entry().offer_ids)
        == 4_000
    )


def test_statuses_carry_what_a_real_agent_puts_in() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab, "web.1"))
    (status,) = framework.new_statuses()
    assert status.source == TaskStatus.SOURCE_EXECUTOR
    assert status.agent_id.value == lab.agent_id()
    assert status.executor_id.value == "web.1"
    assert len(status.uuid) == 16
    assert status.container_status.container_id.value
    address = status.container_status.network_infos[0].ip_addresses[0].ip_address
    assert address == "127.0.0.1"
    assert not status.HasField("healthy")


def test_health_is_said_only_of_tasks_with_a_health_check() -> None:
    lab = Lab()
    framework = lab.framework()
    task = a_task(lab)
    task.health_check.command.value = "true"
    framework.launch(task)
    framework.acknowledge(framework.new_statuses()[0])
    (running,) = framework.new_statuses()
    assert running.healthy
    assert running.reason == TaskStatus.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED


def test_a_kill_ends_a_task_by_killing_and_killed() -> None:
    lab = Lab(simulate=SimulateOptions(kill_s=2.0))
    framework = lab.framework()
    framework.launch(a_task(lab))
    framework.acknowledge_all()
    framework.kill("t", lab.agent_id())
    framework.kill("t", lab.agent_id())
    assert framework.acknowledge_all() == ["TASK_KILLING"]
    lab.run(2.0)
    assert framework.acknowledge_all() == ["TASK_KILLED"]


def test_killing_is_kept_from_frameworks_without_the_capability() -> None:
    lab = Lab()
    framework = lab.framework(capabilities=CAPABILITIES[:2])
    framework.launch(a_task(lab))
    framework.acknowledge_all()
    framework.kill("t")
    assert framework.acknowledge_all() == ["TASK_KILLED"]


def test_a_kill_with_another_agents_id_is_ignored() -> None:
    lab = Lab(agents=2)
    framework = lab.framework()
    framework.accept(
        [one for one in framework.new_offers() if one.hostname == "agent-0"], [a_task(lab)]
    )
    framework.acknowledge_all()
    framework.kill("t", lab.agent_id(1))
    assert framework.acknowledge_all() == []


def test_a_kill_of_an_unknown_task_is_answered_like_reconciliation() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.kill("never", lab.agent_id())
    (answer,) = framework.new_statuses()
    assert (answer.state, answer.reason) == (state("GONE"), TaskStatus.REASON_RECONCILIATION)


def test_an_accept_of_a_used_offer_drops_its_tasks_and_frees_the_rest() -> None:
    lab = Lab(agents=2)
    framework = lab.framework()
    first, second = framework.new_offers()
    framework.decline([first], refuse_s=3600.0)
    framework.accept([first, second], [a_task(lab, "a"), a_task(lab, "b")])
    statuses = framework.new_statuses()
    assert {status.task_id.value for status in statuses} == {"a", "b"}
    assert {status.state for status in statuses} == {state("DROPPED")}
    assert {status.reason for status in statuses} == {TaskStatus.REASON_INVALID_OFFERS}
    assert not any(status.HasField("uuid") for status in statuses)
    lab.run(1.0)
    assert [offer.agent_id.value for offer in framework.new_offers()] == [second.agent_id.value]


def test_dropped_is_lost_for_a_framework_that_is_not_partition_aware() -> None:
    lab = Lab()
    framework = lab.framework(capabilities=())
    (offer,) = framework.new_offers()
    framework.decline([offer])
    framework.accept([offer], [a_task(lab)])
    assert framework.states() == ["TASK_LOST"]


def test_a_task_group_is_refused_whole() -> None:
    lab = Lab()
    framework = lab.framework()
    call = Call(type=Call.ACCEPT)
    call.accept.offer_ids.extend(offer.id for offer in framework.offers())
    operation = call.accept.operations.add()
    operation.type = operation.LAUNCH_GROUP
    operation.launch_group.executor.executor_id.value = "pod"
    operation.launch_group.task_group.tasks.extend([a_task(lab, "a"), a_task(lab, "b")])
    framework.call(call)
    assert framework.states() == ["TASK_ERROR", "TASK_ERROR"]
    assert framework.statuses()[0].reason == TaskStatus.REASON_TASK_GROUP_INVALID


def test_an_accept_without_operations_is_a_decline() -> None:
    lab = Lab()
    framework = lab.framework()
    call = Call(type=Call.ACCEPT)
    call.accept.offer_ids.extend(offer.id for offer in framework.new_offers())
    call.accept.filters.refuse_seconds = 60.0
    framework.call(call)
    lab.run(59.0)
    assert framework.new_offers() == []
    lab.run(2.0)
    assert len(framework.new_offers()) == 1


def test_the_judge_counts_launches_and_ends() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab, "ok", "true"), a_task(lab, "bad", "exit 3"))
    framework.acknowledge_all()
    ok, bad = lab.world.judge.tasks["ok"], lab.world.judge.tasks["bad"]
    assert (ok.accepted, ok.launches, ok.ends) == (1, 1, ["TASK_FINISHED"])
    assert (ok.delivered, ok.acknowledged) == (1, 1)
    assert (bad.ends, bad.state) == (["TASK_FAILED"], "TASK_FAILED")
    assert ok.launched_s is not None
    assert ok.ended_s is not None
    assert ok.launched_s <= ok.ended_s <= lab.world.timeline.now
