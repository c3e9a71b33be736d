import pytest

from scheduler.mesos.proto.mesos_v1_pb2 import FrameworkInfo
from scheduler.mesos.proto.scheduler_pb2 import Call
from tests.emulator.model.lab import Lab, a_task


def test_heartbeats_come_every_fifteen_seconds_whatever_else_is_sent() -> None:
    lab = Lab()
    framework = lab.framework(suppressed=("web",))
    lab.run(44.0)
    assert framework.kinds().count("HEARTBEAT") == 3


def test_a_second_subscription_throws_the_first_out() -> None:
    lab = Lab()
    first = lab.framework()
    second = lab.framework(framework_id=first.framework_id)
    assert first.closed
    assert first.events[-1].error.message == "Framework failed over"
    assert first.rescinded() == []
    assert second.framework_id == first.framework_id
    assert len(second.offers()) == 1
    first_call = first.call(Call(type=Call.REVIVE))
    assert first_call.status == 400


def test_filters_survive_a_failover_but_not_a_disconnect() -> None:
    lab = Lab()
    first = lab.framework()
    first.decline(first.new_offers(), refuse_s=3600.0)
    second = lab.framework(framework_id=first.framework_id)
    assert second.offers() == []
    second.disconnect()
    third = lab.framework(framework_id=first.framework_id)
    assert len(third.offers()) == 1


def test_calls_after_the_stream_broke_are_forbidden() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.disconnect()
    assert framework.call(Call(type=Call.REVIVE)).status == 403


def test_a_framework_that_stays_away_is_removed_with_its_tasks() -> None:
    lab = Lab()
    framework = lab.framework(failover_timeout_s=30.0)
    framework.launch(a_task(lab))
    framework.disconnect()
    lab.run(29.0)
    assert framework.framework_id in lab.master.tables.frameworks
    lab.run(1.0)
    assert framework.framework_id in lab.master.tables.completed
    assert lab.world.agents[0].tasks == {}
    framework.subscribe()
    assert framework.kinds() == ["ERROR"]
    assert framework.events[0].error.message == "Framework has been removed"
    assert framework.closed


def test_coming_back_in_time_stops_the_failover_timer() -> None:
    lab = Lab()
    framework = lab.framework(failover_timeout_s=30.0)
    framework.disconnect()
    lab.run(29.0)
    framework.subscribe()
    lab.run(100.0)
    assert lab.master.tables.frameworks[framework.framework_id].connected


def test_a_timeout_of_zero_removes_at_once() -> None:
    lab = Lab()
    framework = lab.framework(failover_timeout_s=0.0)
    framework.disconnect()
    assert framework.framework_id in lab.master.tables.completed


def test_teardown_ends_the_stream_without_a_word() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab))
    framework.acknowledge_all()
    assert framework.call(Call(type=Call.TEARDOWN)).status == 202
    assert framework.closed
    assert "ERROR" not in framework.kinds()
    (task,) = lab.master.tables.completed[framework.framework_id].completed
    assert task.statuses[-1].reason == task.statuses[-1].REASON_FRAMEWORK_REMOVED
    assert lab.world.judge.tasks["t"].launches == 1


def test_only_fifty_removed_frameworks_are_remembered() -> None:
    lab = Lab()
    removed = [lab.framework() for _ in range(51)]
    for framework in removed:
        framework.call(Call(type=Call.TEARDOWN))
    assert len(lab.master.tables.completed) == 50
    removed[0].subscribe()
    assert removed[0].kinds()[0] == "SUBSCRIBED"


def test_an_invented_id_is_accepted() -> None:
    lab = Lab()
    assert lab.framework(framework_id="mine").framework_id == "mine"


def test_user_and_checkpoint_stay_as_they_were_subscribed_first() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.info.user, framework.info.checkpoint = "other", False
    framework.info.name = "renamed"
    framework.subscribe()
    known = lab.master.tables.frameworks[framework.framework_id].info
    assert (known.user, known.checkpoint, known.name) == ("root", True, "renamed")


def test_update_framework_replaces_roles_and_rescinds_offers_of_removed_ones() -> None:
    lab = Lab()
    framework = lab.framework(("web",))
    (offer,) = framework.new_offers()
    del framework.info.roles[:]
    framework.info.roles.append("batch")
    call = Call(type=Call.UPDATE_FRAMEWORK)
    call.update_framework.framework_info.CopyFrom(framework.info)
    assert framework.call(call).status == 200
    assert framework.rescinded() == [offer.id.value]
    lab.run(1.0)
    assert [one.allocation_info.role for one in framework.new_offers()] == ["batch"]


@pytest.mark.parametrize("name", ["user", "checkpoint", "principal"])
def test_update_framework_refuses_changes_of_what_is_immutable(name: str) -> None:
    lab = Lab()
    framework = lab.framework()
    call = Call(type=Call.UPDATE_FRAMEWORK)
    call.update_framework.framework_info.CopyFrom(framework.info)
    setattr(call.update_framework.framework_info, name, False if name == "checkpoint" else "new")
    assert framework.call(call).status == 400


BAD_ROLES = ["", ".", "..", "-x", "/x", "x/", "a//b", "a/*", "a/-b", "a b", "\x7f"]


@pytest.mark.parametrize("role", BAD_ROLES)
def test_bad_role_names_are_refused_by_an_error_event(role: str) -> None:
    framework = Lab().framework((role,))
    assert framework.kinds() == ["ERROR"]
    assert framework.closed


def test_a_star_and_nested_roles_are_fine() -> None:
    assert Lab().framework(("*", "eng/web")).kinds()[0] == "SUBSCRIBED"


def test_what_does_not_fit_together_is_refused() -> None:
    lab = Lab()
    assert lab.framework(("web", "web")).kinds() == ["ERROR"]
    assert lab.framework(("web",), suppressed=("other",)).kinds() == ["ERROR"]
    assert lab.framework(failover_timeout_s=float("inf")).kinds() == ["ERROR"]
    framework = lab.framework(capabilities=(FrameworkInfo.Capability.PARTITION_AWARE,))
    framework.info.roles.append("web")
    framework.subscribe()
    assert framework.kinds() == ["ERROR"]
