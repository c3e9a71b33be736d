"""What the endpoints of the master have in common: who asks, in which format, and wrong answers."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from scheduler.emulator.http import jsonform
from scheduler.emulator.http.messages import Request, Response

JSON = "application/json"
PROTOBUF = "application/x-protobuf"

M = TypeVar("M", bound=Message)


class Refused(Exception):
    """The request ends here with this answer."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})

    def response(self) -> Response:
        return Response(self.status, self.text.encode(), headers=self.headers)


def principal(request: Request, credentials: Mapping[str, str] | None, realm: str) -> str | None:
    """Who asks, by basic authentication; None where it is switched off."""
    if credentials is None:
        return None
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme == "Basic":  # "the scheme word is case-sensitive"
        try:
            name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name, secret = "", ""
        known = credentials.get(name)
        # "a ':' inside the secret makes it fail"
        wanted = known.encode() if known is not None and ":" not in secret else b""
        if wanted and hmac.compare_digest(wanted, secret.encode()):
            return name
    challenge = {"WWW-Authenticate": f'Basic realm="{realm}"'}
    raise Refused(401, "401 Unauthorized.", challenge)


def read_call(request: Request, kind: type[M]) -> M:
    """The body as a message. Refuses other methods, types and what cannot be read, in order."""
    if request.method != "POST":
        raise Refused(405, "Expecting 'POST'", {"Allow": "POST"})
    content_type = request.headers.get("content-type")
    if content_type is None:
        raise Refused(400, "Expecting 'Content-Type' to be present")
    if content_type not in (JSON, PROTOBUF):
        raise Refused(415, f"Expecting 'Content-Type' of {JSON} or {PROTOBUF}")
    body = request.body
    try:
        if content_type == JSON:
            return jsonform.loads(body, kind)
        call = kind.FromString(body)
    except (jsonform.JsonProblem, DecodeError) as error:
        raise Refused(400, f"Failed to parse body: {error}") from error
    if not call.IsInitialized():
        raise Refused(400, "Failed to parse body: a required field is missing")
    return call


def answers_json(request: Request) -> bool:
    """JSON unless only protobuf is accepted. Raises 406 where neither is."""
    accept = request.headers.get("accept")
    if accept is None or accepts(accept, JSON):
        return True
    if accepts(accept, PROTOBUF):
        return False
    raise Refused(406, f"Expecting 'Accept' to allow {JSON} or {PROTOBUF}")


def accepts(accept: str, wanted: str) -> bool:
    """q values are honoured only as "0 = not allowed"."""
    for part in accept.split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind not in (wanted, "*/*", wanted.split("/")[0] + "/*"):
            continue
        quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            if float(quality) > 0:
                return True
        except ValueError:
            continue
    return False
