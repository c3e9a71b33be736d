"""Plain values as YAML text that a job file may hold: it is read back as the same values.

PyYAML writes for YAML 1.1, where `1e3` and `0o17` are text; we read 1.2, where they are numbers.
"""

import yaml

from scheduler.yaml_scalars import resolve_plain


class _Dumper(yaml.SafeDumper):
    """Quotes what would be read as something else, and keeps the lines of a script apart."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if not isinstance(resolve_plain(text), str):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)


def yaml_text(document: object) -> str:
    """One document, keys in their own order, ended by a line end."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text
