"""How a CommandInfo becomes arguments and an environment of a process."""

from collections.abc import Mapping
from typing import Any


def command_arguments(command: Mapping[str, Any]) -> list[str]:
    """A shell command goes to /bin/sh; otherwise the arguments, whose first is the name shown."""
    if command.get("shell", True):
        return ["/bin/sh", "-c", command["value"]]
    return list(command.get("arguments") or [command["value"]])


def command_environment(
    command: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, str]:
    """The executor's environment without libprocess' own variables, then the command's."""
    own = {key: value for key, value in environment.items() if not key.startswith("LIBPROCESS_")}
    variables = command.get("environment", {}).get("variables", [])
    return {**own, **{variable["name"]: variable.get("value", "") for variable in variables}}
