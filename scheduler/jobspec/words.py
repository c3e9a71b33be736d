"""The forms of names: jobs, roles, ports, variables, users, addresses of artifacts.

Each form is one function that returns the value or raises `Wrong`, and one pattern for editors.
Neighbour: `schema`, which puts them on fields.
"""

import re
from typing import Final

from scheduler.jobspec.bodies import parse_text
from scheduler.jobspec.problems import Wrong, quoted

JOB_NAME_BYTES_MAX: Final = 100
_JOB_PART: Final = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
JOB_NAME_PATTERN: Final = f"^{_JOB_PART}(/{_JOB_PART})*$"
JOB_NAME_FORM: Final = "a-z, 0-9 and - inside, parts joined by /: web, team/web"

PORT_NAME_PATTERN: Final = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
ENV_NAME_PATTERN: Final = "^[A-Za-z_][A-Za-z0-9_]*$"
USER_PATTERN: Final = r"^[^\s:-][^\s:]*$"
ROLE_PATTERN: Final = r"^(\*|(?!\.{1,2}(/|$))[^\s/*-][^\s/]*(/(?!\.{1,2}(/|$))[^\s/*-][^\s/]*)*)$"
URI_PATTERN: Final = r"^[a-zA-Z/][^\s]*$"
PATH_PATTERN: Final = r"^/[^\s]*$"

_JOB_NAME: Final = re.compile(JOB_NAME_PATTERN)
_PORT_NAME: Final = re.compile(PORT_NAME_PATTERN)
_ENV_NAME: Final = re.compile(ENV_NAME_PATTERN)
_USER: Final = re.compile(USER_PATTERN)
_ROLE: Final = re.compile(ROLE_PATTERN)
_URI: Final = re.compile(URI_PATTERN)
_PATH: Final = re.compile(PATH_PATTERN)


def _formed(value: object, form: re.Pattern[str], what: str, allowed: str) -> str:
    text = parse_text(value)
    if form.match(text) is None or text.endswith("\n"):
        raise Wrong(f"{quoted(text)} is not {what} ({allowed})")
    return text


def parse_job_name(value: object) -> str:
    """A name that is also fit for task ids, store keys and URLs."""
    text = _formed(value, _JOB_NAME, "a job name", JOB_NAME_FORM)
    if len(text) > JOB_NAME_BYTES_MAX:
        raise Wrong(f"has {len(text)} characters (at most {JOB_NAME_BYTES_MAX})")
    return text


def parse_role(value: object) -> str:
    """A Mesos role, by its own rules: parts joined by /, none of them `.`, `..` or with a leading
    `-`, no white space; or `*`."""
    return _formed(value, _ROLE, "a Mesos role", "* or parts joined by /, no white space")


def parse_port_name(value: object) -> str:
    return _formed(value, _PORT_NAME, "a port name", "a-z, 0-9 and - inside, at most 63")


def parse_env_name(value: object) -> str:
    return _formed(value, _ENV_NAME, "a variable name", "A-Z, a-z, 0-9 and _, no digit first")


def parse_user(value: object) -> str:
    return _formed(value, _USER, "a user name", "no white space, no colon")


def parse_uri(value: object) -> str:
    return _formed(value, _URI, "an address", "https://host/file or an absolute path")


def parse_http_path(value: object) -> str:
    return _formed(value, _PATH, "a path", "/healthz")


def parse_output_file(value: object) -> str:
    """A path inside of the sandbox: the agent's fetcher refuses any other."""
    text = parse_text(value)
    if text.startswith("/") or ".." in text.split("/"):
        raise Wrong(f"{quoted(text)} leaves the sandbox (a relative path without ..)")
    return text
