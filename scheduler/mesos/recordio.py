"""RecordIO, the framing of the event stream: `<decimal length>\\n<bytes>`, again and again.

It knows bytes only: not HTTP (chunk borders mean nothing to it) and not what a record says; the
session feeds it and decodes what comes out. It keeps at most one unfinished record.
"""

from scheduler.errors import RecordioError

RECORD_BYTES_MAX = 64 * 1024 * 1024
# A length of more digits would not fit 64 bits: such a line is not RecordIO.
LENGTH_DIGITS_MAX = 20


def encode(record: bytes) -> bytes:
    """Frames one record, as a master writes it on its stream."""
    return b"%d\n%b" % (len(record), record)


class Decoder:
    """Cuts a stream of bytes into records, however the bytes arrive.

    After malformed or oversized input it is broken for good ("length parse error = fatal,
    reconnect"): every later `feed` raises the same `RecordioError`.
    """

    def __init__(self, record_bytes_max: int = RECORD_BYTES_MAX) -> None:
        self._record_bytes_max = record_bytes_max
        self._length_line = b""
        # Appended to in place: joining `bytes` at each piece would cost the square of the length.
        self._record = bytearray()
        self._missing_bytes: int | None = None  # None while a length line is being read
        self._broken: RecordioError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Takes the next bytes and returns the records that they complete.

        Raises `RecordioError` for a length that is not a number, or is above the limit. Records
        in front of the bad length are returned first, and the next call raises: what the master
        said before the garbage is not lost, whatever the split.
        """
        if self._broken is not None:
            raise self._broken
        records: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            if self._missing_bytes is None:
                try:
                    at = self._read_length(data, at)
                except RecordioError as error:
                    self._broken = error
                    if records:
                        return records
                    raise
            if self._missing_bytes is not None:
                at = self._read_record(data, at, records)
        return records

    def _read_length(self, data: bytes, at: int) -> int:
        """Reads on in the length line from `at`; returns where to go on."""
        digits_free = LENGTH_DIGITS_MAX - len(self._length_line)
        newline = data.find(b"\n", at, at + digits_free + 1)
        after = newline if newline >= 0 else min(len(data), at + digits_free + 1)
        line = self._length_line + data[at:after]
        if not line.isdigit() or len(line) > LENGTH_DIGITS_MAX:
            raise RecordioError(f"the stream is not RecordIO: a record length of {line!r}")
        if newline < 0:
            self._length_line = line
            return after
        length = int(line)
        if length > self._record_bytes_max:
            raise RecordioError(
                f"a record of {length} bytes on the stream (at most {self._record_bytes_max})"
            )
        self._length_line = b""
        self._missing_bytes = length
        return newline + 1

    def _read_record(self, data: bytes, at: int, records: list[bytes]) -> int:
        """Takes what `data` has of the current record from `at`; returns where to go on."""
        missing = self._missing_bytes or 0
        after = at + missing
        if after > len(data):
            self._record += data[at:]
            self._missing_bytes = after - len(data)
            return len(data)
        if self._record:
            self._record += data[at:after]
            records.append(bytes(self._record))
            self._record = bytearray()
        else:
            records.append(data[at:after])
        self._missing_bytes = None
        return after
