"""Reads the answers on a pipelined HTTP/1.1 connection: bytes in, (status, text) out.

Purely a parser with limits: it knows neither sockets nor which call an answer belongs to; the
call connection (calls.py) feeds it and counts. The grammar is httptools' (llhttp).
"""

from typing import Final, NamedTuple

import httptools

# A master answers with some 100 bytes, a refusal with a line of text. The bound covers head and
# body together, so that no header, chunk extension or body can grow without end.
ANSWER_BYTES_MAX: Final = 256 * 1024
TEXT_BYTES_MAX: Final = 1024


class Answer(NamedTuple):
    """One answer; `text` is its body, cut to TEXT_BYTES_MAX bytes."""

    status: int
    text: str


_ACCEPTED: Final = Answer(202, "")


class AnswerReader:
    """An incremental reader; once `end` says why no further answer can follow, it is done."""

    def __init__(self) -> None:
        self.end: str | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answers: list[Answer] = []
        self._begun = False
        self._status: int | None = None  # set while an answer's head is whole, its body not
        self._body = bytearray()
        self._bytes_since_answer = 0

    def feed(self, data: bytes) -> list[Answer]:
        """Takes the next bytes, returns the answers they complete; see `end` afterwards."""
        if self.end is not None:
            return []
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._stop("the master's answer changes the protocol")
        except httptools.HttpParserError as error:
            self._stop(f"the master's answer is not HTTP: {error}")
        answers = self._answers
        if answers:
            self._answers = []
            self._bytes_since_answer = 0
        else:
            self._bytes_since_answer += len(data)
            if self._bytes_since_answer > ANSWER_BYTES_MAX:
                self._stop(f"the master's answer is longer than {ANSWER_BYTES_MAX} bytes")
        return answers

    @property
    def begun(self) -> bool:
        """Whether a part of an answer has come that is not complete."""
        return self._begun

    def cut_off(self) -> Answer | None:
        """The answer that the bytes ended in, when its head had come whole.

        The status is the answer and the body but its text; a body without a length even ends
        with the connection by rule (RFC 9112, 6.3).
        """
        if self._status is None:
            return None
        answer = Answer(self._status, self._text())
        self._status = None
        return answer

    # What follows is called by the parser; an error raised here would be hidden in its own.

    def on_message_begin(self) -> None:
        self._begun = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and self.end is None:
            self._status = status

    def on_body(self, body: bytes) -> None:
        self._body += body[: TEXT_BYTES_MAX - len(self._body)]

    def on_message_complete(self) -> None:
        self._begun = False
        status, self._status = self._status, None
        if status is None:  # 1xx: the answer proper follows
            return
        if status == 202 and not self._body:
            self._answers.append(_ACCEPTED)
        else:
            self._answers.append(Answer(status, self._text()))
            self._body.clear()
        if not self._parser.should_keep_alive():
            self._stop("the master closes the connection after its answer")

    def _text(self) -> str:
        return self._body.decode("utf-8", "replace").strip()

    def _stop(self, why: str) -> None:
        if self.end is None:
            self.end = why
