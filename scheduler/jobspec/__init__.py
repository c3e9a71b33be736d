"""Jobs as people declare them: YAML to validated core jobs, every problem with its line.

What others use is named here. It imports the core and nothing beside it.
"""

from scheduler.jobspec.documents import JobsParsed, from_document, load_paths, parse_jobs
from scheduler.jobspec.json_schema import json_schema
from scheduler.jobspec.problems import Problem
from scheduler.jobspec.specs import JobDefaults, to_document

__all__ = [
    "JobDefaults",
    "JobsParsed",
    "Problem",
    "from_document",
    "json_schema",
    "load_paths",
    "parse_jobs",
    "to_document",
]
