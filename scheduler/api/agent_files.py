"""Reads files out of sandboxes, from the agents themselves (the master does not pass them on).

One piece a call, by byte offsets, with a deadline and a bound. It knows nothing of jobs; `logs`
says which file of which agent.
"""

import asyncio
import base64
import json
from typing import Final, NamedTuple, Protocol

import aiohttp

from scheduler.errors import AgentSilent, SandboxFileMissing

PIECE_BYTES_MAX: Final = 64 * 1024
"""An agent answers at most 16 pages a call, whatever is asked."""
_ANSWER_BYTES_MAX: Final = 8 * PIECE_BYTES_MAX
"""A byte takes at most six in a JSON string."""
AGENT_ANSWER_S: Final = 10.0
_REFUSED: Final = "it does not let the operator's principal read files"


class AgentFiles(Protocol):
    """Where pieces of files come from."""

    async def read(self, agent_url: str, path: str, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on; empty at and beyond the file's end.

        Raises SandboxFileMissing or AgentSilent."""
        ...


class AgentCredential(NamedTuple):
    """Who agents are asked as; the secret is in no representation."""

    principal: str
    secret: str

    def basic(self) -> str:
        """As an Authorization header."""
        pair = f"{self.principal}:{self.secret}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def __repr__(self) -> str:
        return f"AgentCredential({self.principal!r}, ...)"


class HttpAgentFiles:
    """`GET /files/read` of an agent. The session belongs to whoever made it.

    The credential is sent at once, not only after a 401: an agent that asks for one asks always.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        credential: AgentCredential | None = None,
        answer_s: float = AGENT_ANSWER_S,
    ) -> None:
        self._session = session
        self._answer_s = answer_s
        self._headers = {}
        if credential is not None:
            self._headers["Authorization"] = credential.basic()

    async def read(self, agent_url: str, path: str, offset: int, length: int) -> bytes:
        query = {"path": path, "offset": str(offset), "length": str(length)}
        try:
            async with (
                asyncio.timeout(self._answer_s),
                self._session.get(
                    f"{agent_url}/files/read",
                    params=query,
                    headers=self._headers,
                    allow_redirects=False,
                ) as response,
            ):
                if response.status == 404:
                    raise SandboxFileMissing(path)
                if response.status in (401, 403):
                    raise AgentSilent(f"it answered {response.status}: {_REFUSED}")
                if response.status != 200:
                    raise AgentSilent(f"it answered {response.status}")
                answer = await _bounded(response)
        except TimeoutError as error:
            raise AgentSilent(f"it did not answer within {self._answer_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise AgentSilent(f"it cannot be reached ({type(error).__name__})") from error
        return data_of(answer)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    answer = bytearray()
    async for chunk in response.content.iter_any():
        answer += chunk
        if len(answer) > _ANSWER_BYTES_MAX:
            raise AgentSilent("its answer is too long")
    return bytes(answer)


def data_of(answer: bytes) -> bytes:
    """The bytes in `{"offset": N, "data": "…"}`.

    An agent puts a file's bytes into the JSON string as they are, valid UTF-8 or not, and cuts
    characters at the borders. Decoding with escapes for what is no UTF-8, and encoding back the
    same way, gives every byte again, so offsets stay exact.
    """
    try:
        document = json.loads(answer.decode("utf-8", "surrogateescape"), strict=False)
        data = document["data"]
        if not isinstance(data, str):
            raise AgentSilent("its answer holds no data")
        return data.encode("utf-8", "surrogateescape")
    except (ValueError, KeyError, TypeError) as error:
        raise AgentSilent("its answer cannot be understood") from error
