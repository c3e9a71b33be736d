import pytest

from scheduler.emulator.simulate import Plan, read
from scheduler.mesos.proto.mesos_v1_pb2 import TaskInfo


def a_task(command: str) -> TaskInfo:
    task = TaskInfo(name="t")
    task.command.value = command
    return task


@pytest.mark.parametrize(
    ("command", "plan"),
    [
        ("sleep 2", Plan(2.0, 0)),
        ("exec sleep 1m", Plan(60.0, 0)),
        ("sleep 0.5; exit 3", Plan(0.5, 3)),
        ("true && sleep 1 && false", Plan(1.0, 1)),
        ("exit 0", Plan(0.0, 0)),
        ("", Plan(0.0, 0)),
        ("true", Plan(0.0, 0)),
        ("python3 -m http.server $PORT0", Plan(None, 0)),
        ("sleep 3; ./serve", Plan(None, 0)),
        ("sleep forever", Plan(None, 0)),
    ],
)
def test_a_command_says_how_long_it_runs_and_how_it_ends(command: str, plan: Plan) -> None:
    assert read(a_task(command), None) == plan


def test_a_default_length_ends_commands_that_say_nothing() -> None:
    assert read(a_task("./serve"), 30.0) == Plan(30.0, 0)


def test_an_argument_list_is_read_like_a_command() -> None:
    task = a_task("sleep")
    task.command.shell = False
    task.command.arguments.extend(["sleep", "4"])
    assert read(task, None) == Plan(4.0, 0)


def test_a_label_speaks_louder_than_the_command() -> None:
    task = a_task("./serve")
    label = task.labels.labels.add()
    label.key, label.value = "simulate", "sleep 1; exit 2"
    assert read(task, None) == Plan(1.0, 2)
