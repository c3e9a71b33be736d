"""How another framework fares beside ours, and what the master makes of what we tell it.

Time is counted in the master's own allocations, which come late on a busy machine, too.
"""

import pytest

from tests.e2e.scene import Document, Scene, service
from tests.real_mesos.hand_made_scheduler import HandMadeScheduler, Message
from tests.support.daemon import DaemonProcess
from tests.support.waiting import wait_until

AGENTS = 3
INTERVALS = 2
IMPOSSIBLE = {"cpus": 1000, "mem": "32MiB"}


def settings(scene: Scene, **offers: object) -> Document:
    document = scene.settings()
    document["offers"].update(offers)
    return document


def allocations(scene: Scene) -> float:
    return scene.master.metrics()["allocator/mesos/allocation_runs"]


def counted(scene: Scene, framework_id: str, name: str) -> float:
    """A number that the master keeps of a framework; what never happened it does not name."""
    named = [
        value
        for key, value in scene.master.metrics().items()
        if f"/{framework_id}/" in key and key.endswith(f"/{name}")
    ]
    return named[0] if named else 0.0


def told(daemon: DaemonProcess) -> Document:
    offers: Document = daemon.api.status()["offers"][0]
    return offers


def a_neighbour(scene: Scene) -> HandMadeScheduler:
    return HandMadeScheduler(
        scene.master.url, scene.framework_name(), credential=scene.master.credential
    )


def offered_everything(neighbour: HandMadeScheduler) -> list[Message]:
    """An offer of each agent, within two allocations: each makes one event for a framework."""
    offers: dict[str, Message] = {}
    for _ in range(INTERVALS):
        offers |= {offer["agent_id"]["value"]: offer for offer in neighbour.wait_for_offers()}
        if len(offers) == AGENTS:
            break
    assert len(offers) == AGENTS
    return list(offers.values())


def gets_everything_again_and_again(scene: Scene, framework_id: str) -> None:
    """And we are offered nothing meanwhile, so there is nothing that it had to wait for."""
    if scene.master.name == "emulated":
        pytest.skip("how fair an allocator is only a real one can show")
    sent = counted(scene, framework_id, "offers/sent")
    with a_neighbour(scene) as neighbour:
        assert neighbour.subscribe() == 200
        for _ in range(3):
            neighbour.decline(offered_everything(neighbour), refuse_s=0.0)
    assert counted(scene, framework_id, "offers/sent") == sent


def test_beside_us_idle_another_framework_is_offered_every_agent(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 1))
    scene.wait_for_running(framework_id, "web", 1)
    wait_until(
        lambda: counted(scene, framework_id, "roles/*/suppressed") == 1.0, "our role to be idle"
    )
    gets_everything_again_and_again(scene, framework_id)


def test_beside_us_waiting_for_the_impossible_another_framework_is_offered_every_agent(
    scene: Scene,
) -> None:
    """What we are offered we decline at once, and for long."""
    daemon, framework_id = scene.running_daemon(settings(scene, narrow_after="1h"))
    daemon.api.apply(service("huge", resources=IMPOSSIBLE))
    wait_until(
        lambda: counted(scene, framework_id, "offers/declined") >= AGENTS, "us to have declined"
    )
    assert told(daemon)["refused_for_s"] > 60.0
    gets_everything_again_and_again(scene, framework_id)
    assert counted(scene, framework_id, "roles/*/suppressed") == 0.0


def test_the_master_makes_no_offer_that_is_too_small_for_all_that_waits(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon(settings(scene, narrow_after="200ms"))
    daemon.api.apply(service("huge", resources=IMPOSSIBLE))
    wait_until(lambda: told(daemon)["minimums"], "the master to be told")
    after_a_revive_for("huger", {"resources": IMPOSSIBLE}, scene, daemon, framework_id)
    gets_everything_again_and_again(scene, framework_id)


def test_the_master_honours_our_offer_constraints(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon(settings(scene, narrow_after="200ms"))
    daemon.api.apply(service("nowhere", constraints=["rack is r9"]))
    wait_until(lambda: told(daemon)["constraints"] == ["rack equals r9"], "the master to be told")
    elsewhere: Document = {"constraints": ["rack is r9", "hostname unique"]}
    after_a_revive_for("nowhere-too", elsewhere, scene, daemon, framework_id)

    sent = counted(scene, framework_id, "offers/sent")
    daemon.api.apply(service("picky", constraints=["rack is r1"]))
    scene.wait_for_running(framework_id, "picky", 1)
    assert counted(scene, framework_id, "offers/sent") - sent == 1.0
    assert daemon.api.status()["needs_refused"] == ""


def after_a_revive_for(
    job: str, more: Document, scene: Scene, daemon: DaemonProcess, framework_id: str
) -> None:
    """Another job that needs what is told already: we revive for it, which drops every filter of
    ours, and still no offer is made to us in the next allocations."""
    revived = counted(scene, framework_id, "calls/revive")
    sent = counted(scene, framework_id, "offers/sent")
    daemon.api.apply(service(job, **more))
    wait_until(lambda: counted(scene, framework_id, "calls/revive") > revived, "us to revive")
    began = allocations(scene)
    wait_until(lambda: allocations(scene) >= began + INTERVALS + 1, "some allocations")
    assert counted(scene, framework_id, "offers/sent") == sent
