"""Bodies that are jobs: JSON or YAML in the vocabulary of job files, and jobs back as documents.

What is right and wrong in a job is `scheduler.jobspec`'s to say; this turns its problems into an
HTTP answer. Neighbours: `requests` (reads the body), `job_routes` (applies the job).
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Never

import msgspec
from aiohttp import web

from scheduler.api.aside import Aside
from scheduler.api.problems import Problem, bad_request
from scheduler.api.requests import JSON_TYPES, read_body, read_struct
from scheduler.core.model.job import JobSpec
from scheduler.jobspec import JobDefaults, from_document, parse_jobs, to_document
from scheduler.jobspec import Problem as JobProblem
from scheduler.jobspec.problems import Wrong
from scheduler.jobspec.quantities import parse_duration

YAML_TYPES: Final = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})
BODY: Final = "body"
"""How problems call the text of a request."""
YAML_BYTES_MAX: Final = 128 * 1024
"""YAML takes many times longer to read than JSON."""
AT_ONCE_BYTES_MAX: Final = 4096
PLAN_JOBS_MAX: Final = 200


class PlanBody(msgspec.Struct, forbid_unknown_fields=True):
    jobs: Annotated[list[object], msgspec.Meta(min_length=1)]


class JobReader:
    """Reads jobs out of bodies. `defaults` fill what a document leaves to the settings.

    A large body that means ill takes over a second of CPU, which must not hold up the event loop.
    """

    def __init__(self, defaults: JobDefaults) -> None:
        self._defaults = defaults
        self._aside = Aside("too many large jobs are being read already; try again")

    async def read_plan(self, request: web.Request) -> tuple[JobSpec, ...]:
        """The jobs of `{"jobs": [document, …]}`; 400 with all problems of all of them."""
        body = await read_struct(request, PlanBody)
        if len(body.jobs) > PLAN_JOBS_MAX:
            raise bad_request(f"{len(body.jobs)} jobs; at most {PLAN_JOBS_MAX} are planned at once")
        return await self._aside.run(lambda: _jobs_of(body.jobs, self._defaults))

    async def read(self, request: web.Request) -> JobSpec:
        """The one job of the body; 400 with all its problems otherwise."""
        body = await read_body(request, JSON_TYPES | YAML_TYPES)
        is_yaml = request.content_type in YAML_TYPES
        if is_yaml and len(body) > YAML_BYTES_MAX:
            raise Problem(413, "the body is too large (at most 128 KiB of YAML; JSON may be more)")
        if len(body) <= AT_ONCE_BYTES_MAX:
            return _job_of(body, is_yaml, self._defaults)
        return await self._aside.run(lambda: _job_of(body, is_yaml, self._defaults))


def _job_of(body: bytes, is_yaml: bool, defaults: JobDefaults) -> JobSpec:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_request("the body is not UTF-8") from error
    return _job_of_yaml(text, defaults) if is_yaml else _job_of_json(text, defaults)


def _job_of_yaml(text: str, defaults: JobDefaults) -> JobSpec:
    parsed = parse_jobs(text, BODY, defaults)
    if parsed.problems:
        raise _bad_job(parsed.problems)
    if len(parsed.jobs) != 1:
        raise bad_request(f"the body holds {len(parsed.jobs)} jobs; send one a request")
    return parsed.jobs[0]


def _job_of_json(text: str, defaults: JobDefaults) -> JobSpec:
    try:
        document = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant)
    except RecursionError as error:
        raise bad_request("the body is nested too deeply") from error
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}") from error
    job = from_document(document, defaults)
    if isinstance(job, tuple):
        raise _bad_job(job)
    return job


def _jobs_of(documents: Sequence[object], defaults: JobDefaults) -> tuple[JobSpec, ...]:
    specs: list[JobSpec] = []
    problems: list[JobProblem] = []
    for at, document in enumerate(documents):
        job = from_document(document, defaults)
        if isinstance(job, tuple):
            problems += [dataclasses.replace(one, path=f"jobs[{at}].{one.path}") for one in job]
        elif any(spec.job == job.job for spec in specs):
            raise bad_request(f"the job {job.job} is given twice")
        else:
            specs.append(job)
    if problems:
        raise _bad_job(problems)
    return tuple(specs)


def changes_between(before: JobSpec | None, after: JobSpec) -> list[dict[str, object]]:
    """The fields of the documents that differ, each `{"path", "before", "after"}`; None where one
    of them does not have it."""
    old = _leaves(to_document(before), "") if before is not None else {}
    new = _leaves(to_document(after), "")
    return [
        {"path": path, "before": old.get(path), "after": new.get(path)}
        for path in sorted(old.keys() | new.keys())
        if before is not None and old.get(path) != new.get(path)
    ]


def _leaves(value: object, path: str) -> dict[str, object]:
    """Mappings by their paths; everything else, lists too, is a value."""
    if not isinstance(value, dict):
        return {path: value}
    found: dict[str, object] = {}
    for key, inner in value.items():
        found |= _leaves(inner, f"{path}.{key}" if path else str(key))
    return found


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that is given twice, one value would be lost without a word."""
    document = dict(pairs)
    if len(document) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {json.dumps(twice[:60])} is given twice")
    return document


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not a JSON number")


def _bad_job(problems: Iterable[JobProblem]) -> Problem:
    errors = [_error_of(problem) for problem in problems]
    count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
    return Problem(400, f"the job has {count}", errors=errors)


def _error_of(problem: JobProblem) -> dict[str, str | int]:
    error: dict[str, str | int] = {"path": problem.path, "message": problem.text}
    if problem.line:
        error["line"] = problem.line
    return error


def seconds_of(name: str, text: str) -> float:
    """A duration in a body; 400 for what is none."""
    try:
        return parse_duration(text)
    except Wrong as error:
        raise bad_request(f"{name}: {error}") from error
