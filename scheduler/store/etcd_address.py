"""How the setting `store` names an etcd: `etcd://host:port,host:port`. Text only, no I/O."""

from typing import Final

SCHEME: Final = "etcd://"
EXAMPLE: Final = "etcd://a:2379,b:2379"


def parse_endpoints(url: str) -> tuple[str, ...]:
    """The members, each as host:port. Raises `ValueError`, which repeats nothing that may be a
    password."""
    rest = url.removeprefix(SCHEME)
    if not url.startswith(SCHEME) or not rest:
        raise ValueError(f"names no etcd ({EXAMPLE})")
    if "@" in rest:
        raise ValueError(f"holds @ ({EXAMPLE}; see etcd.user and etcd.password_file)")
    endpoints = tuple(rest.removesuffix("/").split(","))
    for endpoint in endpoints:
        if not _is_address(endpoint):
            raise ValueError(f'holds "{endpoint}", which is no host:port ({EXAMPLE})')
    if len(set(endpoints)) < len(endpoints):
        raise ValueError(f"names a member twice ({EXAMPLE})")
    return endpoints


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    named = bool(bare) and not any(char.isspace() or char in "/?#[]" for char in bare)
    single = ":" not in host or bare is not host
    return named and single and port.isascii() and port.isdigit() and 0 < int(port[:6]) <= 65_535
