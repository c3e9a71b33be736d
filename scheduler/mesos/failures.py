"""What keeps us from a master, in words for people: of a connection that does not come about.

It writes text and nothing else. Neighbours: `stream.py` and `operator.py` say of which master.
"""

import os

import aiohttp

# By their exact type: those of TLS are below them, and say in their own words what is wrong.
_WITH_ERRNO = (aiohttp.ClientConnectorError, aiohttp.ClientConnectorDNSError)


def why_not(error: aiohttp.ClientError) -> str:
    """Without the address, which aiohttp writes twice, and what it calls `ssl` of plain HTTP."""
    if type(error) not in _WITH_ERRNO or not isinstance(error, aiohttp.ClientConnectorError):
        return str(error) or type(error).__name__
    number = error.os_error.errno
    # Those of name resolution are no numbers of the system's.
    if isinstance(error, aiohttp.ClientConnectorDNSError) or number is None:
        return error.os_error.strerror or str(error.os_error)
    return os.strerror(number)
