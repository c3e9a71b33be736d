from scheduler.emulator.model.bundle import Bundle
from scheduler.emulator.model.records import MasterOptions
from scheduler.mesos.proto.mesos_v1_pb2 import FrameworkInfo
from scheduler.mesos.proto.scheduler_pb2 import AttributeConstraint, Call
from tests.emulator.model.lab import CAPABILITIES, Lab, a_task, amounts


def test_a_new_framework_is_offered_every_agent_at_once() -> None:
    lab = Lab(agents=3)
    framework = lab.framework()
    assert framework.kinds() == ["SUBSCRIBED", "HEARTBEAT", "OFFERS"]
    offers = framework.offers()
    assert len(offers) == 3
    assert amounts(offers[0]) == {"cpus": 4.0, "mem": 8192.0}
    assert {offer.allocation_info.role for offer in offers} == {"web"}


def test_resources_of_refined_frameworks_have_no_role_and_those_of_others_have() -> None:
    lab = Lab()
    refined = lab.framework()
    assert not any(one.HasField("role") for one in refined.offers()[0].resources)
    refined.decline(refined.offers(), refuse_s=3600.0)
    plain = lab.framework(capabilities=())
    lab.run(1.0)
    (offer,) = plain.offers()
    assert {one.role for one in offer.resources} == {"*"}
    assert not offer.HasField("allocation_info")
    assert not any(one.HasField("allocation_info") for one in offer.resources)


def test_a_declined_agent_comes_back_when_the_filter_ends() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.decline(framework.new_offers(), refuse_s=30.0)
    lab.run(29.0)
    assert framework.new_offers() == []
    lab.run(2.0)
    assert len(framework.new_offers()) == 1


def test_refuse_seconds_default_to_five_and_zero_means_no_filter() -> None:
    for refuse_s, silent_s in ((None, 4.5), (-1.0, 4.5), (float("nan"), 4.5), (0.0, 0.0)):
        lab = Lab()
        framework = lab.framework()
        framework.decline(framework.new_offers(), refuse_s=refuse_s)
        lab.run(silent_s)
        assert framework.new_offers() == []
        lab.run(1.6)
        assert len(framework.new_offers()) == 1, refuse_s


def test_a_filter_does_not_hold_back_more_than_was_refused() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab, command="sleep 10"), refuse_s=3600.0)
    lab.run(9.0)
    assert framework.new_offers() == []
    assert framework.acknowledge_all() == ["TASK_STARTING", "TASK_RUNNING"]
    lab.run(3.0)
    (offer,) = framework.new_offers()
    assert amounts(offer)["cpus"] == 4.0


def test_the_rest_of_an_accept_without_filters_is_kept_away_for_five_seconds() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.accept(framework.new_offers(), [a_task(lab)])
    lab.run(4.5)
    assert framework.new_offers() == []
    lab.run(2.0)
    assert amounts(framework.new_offers()[0])["cpus"] == 3.0


def test_suppress_stops_offers_and_revive_clears_filters_at_once() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.decline(framework.new_offers(), refuse_s=3600.0)
    framework.suppress()
    lab.run(4000.0)
    assert framework.new_offers() == []
    framework.revive()
    assert len(framework.new_offers()) == 1


def test_revive_brings_declined_agents_back_before_the_filter_ends() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.decline(framework.new_offers(), refuse_s=3600.0)
    framework.revive("web")
    assert len(framework.new_offers()) == 1


def test_a_call_naming_a_foreign_role_is_ignored_as_a_whole() -> None:
    lab = Lab()
    framework = lab.framework(("web", "batch"))
    framework.decline(framework.new_offers(), refuse_s=0.0)
    framework.suppress("web", "foreign")
    lab.run(1.0)
    assert {offer.allocation_info.role for offer in framework.new_offers()} <= {"web", "batch"}
    assert lab.master.tables.frameworks[framework.framework_id].suppressed == set()


def test_suppressing_one_role_leaves_the_other() -> None:
    lab = Lab()
    framework = lab.framework(("web", "batch"), suppressed=("web",))
    assert [offer.allocation_info.role for offer in framework.new_offers()] == ["batch"]


def test_less_than_the_minimum_is_not_offered() -> None:
    lab = Lab(totals=(Bundle(scalars=(("cpus", 5), ("mem", 16_000))),))
    assert lab.framework().offers() == []
    lab = Lab(totals=(Bundle(scalars=(("cpus", 5), ("mem", 32_000))),))
    assert len(lab.framework().offers()) == 1


def test_a_frameworks_own_minimum_replaces_that_of_the_master() -> None:
    lab = Lab(totals=(Bundle(scalars=(("cpus", 1_000),)), Bundle(scalars=(("cpus", 4_000),))))
    framework = lab.framework(suppressed=("web",))
    wanted = framework.info.offer_filters["web"].min_allocatable_resources.quantities.add()
    wanted.quantities["cpus"].value = 2.0
    framework.subscribe()
    assert [amounts(offer)["cpus"] for offer in framework.offers()] == [4.0]


def test_agents_with_gpus_are_withheld_from_frameworks_that_cannot_use_them() -> None:
    gpu = Bundle(scalars=(("cpus", 4_000), ("gpus", 1_000)))
    lab = Lab(totals=(gpu,))
    assert lab.framework().offers() == []
    able = lab.framework(
        ("gpu",), capabilities=(*CAPABILITIES, FrameworkInfo.Capability.GPU_RESOURCES)
    )
    assert amounts(able.offers()[0])["gpus"] == 1.0


def test_the_role_with_the_lowest_share_is_served_first() -> None:
    lab = Lab(agents=2)
    first, second = lab.framework(("a",)), lab.framework(("b",))
    first.decline(first.new_offers(), refuse_s=0.0)
    lab.run(1.0)
    assert (len(first.new_offers()), len(second.new_offers())) == (1, 1)


def test_offer_constraints_leave_out_agents() -> None:
    lab = Lab(agents=2)
    framework = lab.framework(suppressed=("web",))
    call = Call(type=Call.UPDATE_FRAMEWORK)
    call.update_framework.framework_info.CopyFrom(framework.info)
    group = call.update_framework.offer_constraints.role_constraints["web"].groups.add()
    constraint = group.attribute_constraints.add()
    constraint.selector.attribute_name = "rack"
    constraint.predicate.text_matches.regex = "r[1-9]"
    assert framework.call(call).status == 200
    lab.run(1.0)
    assert [offer.hostname for offer in framework.offers()] == ["agent-1"]


def test_offer_constraints_by_hostname_that_cannot_be_read_are_refused() -> None:
    lab = Lab()
    framework = lab.framework()
    call = Call(type=Call.UPDATE_FRAMEWORK)
    call.update_framework.framework_info.CopyFrom(framework.info)
    group = call.update_framework.offer_constraints.role_constraints["web"].groups.add()
    constraint = group.attribute_constraints.add()
    constraint.selector.pseudoattribute_type = AttributeConstraint.Selector.HOSTNAME
    constraint.predicate.text_matches.regex = "("
    assert framework.call(call).status == 400


def test_an_offer_ends_by_rescind_when_its_time_is_over() -> None:
    lab = Lab(options=MasterOptions(offer_timeout_s=10.0))
    framework = lab.framework()
    (offer,) = framework.new_offers()
    lab.run(10.0)
    assert framework.rescinded() == [offer.id.value]
    lab.run(1.0)
    assert len(framework.new_offers()) == 1


def test_two_offers_of_one_agent_may_be_used_together() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(a_task(lab, "first", cpus=2.0), refuse_s=0.0)
    lab.run(1.0)
    rest = framework.new_offers()
    framework.kill("first")
    framework.acknowledge_all()
    lab.run(1.0)
    freed = framework.new_offers()
    assert [amounts(offer)["cpus"] for offer in [*rest, *freed]] == [2.0, 2.0]
    framework.accept([*rest, *freed], [a_task(lab, "second", cpus=4.0)])
    assert framework.acknowledge_all() == ["TASK_STARTING", "TASK_RUNNING"]


def test_asking_for_what_another_offer_holds_is_an_error_of_that_task_alone() -> None:
    lab = Lab()
    framework = lab.framework()
    framework.launch(
        a_task(lab, "big", cpus=3.0), a_task(lab, "too-much", cpus=2.0), a_task(lab, "small")
    )
    ended = {status.task_id.value: status for status in framework.statuses()}
    assert ended["too-much"].reason == ended["too-much"].REASON_TASK_INVALID
    assert not ended["too-much"].HasField("uuid")
    assert set(lab.master.tables.frameworks[framework.framework_id].tasks) == {"big", "small"}
