"""The JSON schema of a job, for editors: completion, help, and most of what is refused.

Made from the bodies of `schema`, so that it cannot drift from them. What only `cross` sees (names
of ports, two things that contradict each other) an editor does not.
"""

from typing import Any

from scheduler.jobspec.schema import JobBody

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NULL = {"type": "null"}


def json_schema() -> dict[str, Any]:
    """Draft 2020-12, as plain values."""
    made = _tidy(JobBody.model_json_schema(mode="validation"))
    return {"$schema": DIALECT, "title": "offerd job", **made}


def _tidy(schema: Any) -> Any:
    """Without what only the models know: titles, defaults in seconds and thousandths, and null,
    which no document may hold."""
    if not isinstance(schema, dict):
        return schema
    schema = {key: value for key, value in schema.items() if key not in ("title", "default")}
    if "patternProperties" in schema:
        schema["additionalProperties"] = False
    for key in ("properties", "patternProperties", "$defs"):
        if key in schema:
            schema[key] = {name: _tidy(inner) for name, inner in schema[key].items()}
    for key in ("items", "additionalProperties", "propertyNames"):
        if key in schema:
            schema[key] = _tidy(schema[key])
    if "anyOf" in schema:
        choices = [_tidy(choice) for choice in schema.pop("anyOf") if choice != _NULL]
        schema |= choices[0] if len(choices) == 1 else {"anyOf": choices}
    return schema
