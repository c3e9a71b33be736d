"""Jobs from files to running tasks, and what users do with them."""

from tests.e2e.scene import Scene, service


def test_the_daemon_registers_as_a_framework(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    shown = scene.framework(framework_id).framework
    assert shown["active"]
    assert shown["failover_timeout"] == 604_800.0
    assert daemon.sigterm() == 0


def test_a_killed_daemon_comes_back_to_the_same_tasks(scene: Scene) -> None:
    daemon, framework_id = scene.running_daemon()
    daemon.api.apply(service("web", 3))
    before = scene.wait_for_running(framework_id, "web", 3)
    daemon.kill9()
    daemon.start()
    assert daemon.wait_until_connected() == framework_id
    assert scene.wait_for_running(framework_id, "web", 3) == before
