"""Options that many commands share, and the `Client` and output form made of them.

`--server`, `--token-file` and `-o` may stand before or after the command's name.
"""

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from scheduler.cli.client import Client

SERVER_DEFAULT: Final = "http://127.0.0.1:8080"
FORMS: Final = ("table", "wide", "json", "yaml")
TOKEN_BYTES_MAX: Final = 8192

Command = Callable[..., Any]


def server_options(command: Command) -> Command:
    """Adds --server and --token-file and passes `client` to the command."""

    @click.option(
        "--server", metavar="URL,…", envvar="OFFERD_SERVER", help=f"Default: {SERVER_DEFAULT}"
    )
    @click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File that holds the token; else OFFERD_TOKEN.",
    )
    @click.pass_context
    @functools.wraps(command)
    def wrapped(
        context: click.Context,
        /,
        *args: object,
        server: str | None,
        token_file: Path | None,
        **options: object,
    ) -> Any:
        outer = context.find_root().params
        token_file = token_file or outer.get("token_file")
        url = outer.get("server") or server or SERVER_DEFAULT
        if context.get_parameter_source("server") is click.core.ParameterSource.COMMANDLINE:
            url = server or SERVER_DEFAULT
        options["client"] = Client(url, token_of(token_file))
        return command(*args, **options)

    return wrapped


def output_option(command: Command) -> Command:
    """Adds -o and passes `form` to the command."""

    @click.option("-o", "--output", type=click.Choice(FORMS), help="Default: table.")
    @click.pass_context
    @functools.wraps(command)
    def wrapped(
        context: click.Context, /, *args: object, output: str | None, **options: object
    ) -> Any:
        options["form"] = output or context.find_root().params.get("output") or FORMS[0]
        return command(*args, **options)

    return wrapped


def token_of(token_file: Path | None) -> str | None:
    """The token of the file, else of the environment; None where there is none."""
    if token_file is None:
        source, token = "OFFERD_TOKEN", os.environ.get("OFFERD_TOKEN", "").strip()
        if not token:
            return None
    else:
        with token_file.open("rb") as opened:
            text = opened.read(TOKEN_BYTES_MAX).decode("utf-8", "replace")
        source, token = str(token_file), text.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise click.UsageError(f"{source} does not hold a token (one line of ASCII)")
    return token


class DurationType(click.ParamType[float]):
    """`10s`, `5m`, `1h30m` as seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        seconds = seconds_in(str(value))
        if seconds is None:
            self.fail(f'"{value}" is not a duration (250ms, 10s, 5m, 1h30m)', param, ctx)
        return seconds


DURATION: Final = DurationType()


def seconds_in(text: str) -> float | None:
    """The seconds of a duration; None for what is none."""
    match = re.fullmatch(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", text)
    if match is None:
        return None
    worths = (86_400.0, 3600.0, 60.0, 1.0, 0.001)
    pieces = zip(match.groups(), worths, strict=True)
    return sum(int(count) * worth for count, worth in pieces if count)
