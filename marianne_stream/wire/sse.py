"""Server-Sent Events, made from values and read from bytes (WHATWG HTML section 9.2).

Writing and reading are both pure. This module must not know where the bytes go, or what the events
mean.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

# A field's value ends at any of these (WHATWG HTML section 9.2.5).
LINE_ENDS = (b"\r\n", b"\n", b"\r")

# The longest event that the parser takes before it gives up: the conductor's largest message fits.
MAX_EVENT_CHARS = 32 * 1024 * 1024


# Frames that are sent in one write are no more than this.
MAX_WRITE_BYTES = 32 * 1024


class EncodedFrames:
    """Whole frames, made once and sent to many: as they are, and as one chunk of HTTP/1.1.

    Args:
        data: the frames.

    Attributes:
        data: the same.
    """

    __slots__ = ("_chunk", "_count", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._chunk = b""
        self._count = -1

    @property
    def count(self) -> int:
        """How many frames there are."""
        if self._count < 0:
            self._count = self.data.count(b"\n\n")
        return self._count

    @property
    def chunk(self) -> bytes:
        """The frames with the framing of a chunk (RFC 9112 section 7.1)."""
        if not self._chunk:
            self._chunk = b"%x\r\n%b\r\n" % (len(self.data), self.data)
        return self._chunk


def chunk_overhead_bytes(length: int) -> int:
    """How many bytes the framing of a chunk adds to its data (RFC 9112 section 7.1)."""
    return len(b"%x\r\n\r\n" % length)


def frame(data: bytes, *, event: str = "", event_id: str = "") -> bytes:
    """One event, ready to be sent.

    Args:
        data: the payload in UTF-8. Each of its lines becomes a data field.
        event: the event type; "" leaves the field out, and a client sees `message`.
        event_id: what a client sends as Last-Event-ID when it comes back; "" leaves the field out,
            and the client keeps the one it has.

    Raises:
        ValueError: the event or the id holds a line end, or the id a NUL, which a client would
            ignore.
    """
    head = b""
    if event_id:
        head += b"id: " + encode_value("id", event_id, forbidden="\r\n\0") + b"\n"
    if event:
        head += b"event: " + encode_value("event", event, forbidden="\r\n") + b"\n"
    for line_end in (b"\r\n", b"\r"):
        data = data.replace(line_end, b"\n")
    return head + b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"


def id_only(event_id: str) -> bytes:
    """An id alone: moves a client's last event id, and is shown to nobody (section 9.2.6)."""
    return b"id: " + encode_value("id", event_id, forbidden="\r\n\0") + b"\n\n"


def retry(delay_ms: int) -> bytes:
    """A field that tells the client how long to wait before it connects again, in milliseconds."""
    return b"retry: %d\n\n" % delay_ms


def comment(text: str = "") -> bytes:
    """A comment: keeps a connection from looking idle, and is shown to nobody."""
    return b": " + encode_value("comment", text, forbidden="\r\n") + b"\n\n"


def encode_value(name: str, value: str, *, forbidden: str) -> bytes:
    """A value that is safe to stand on one line."""
    if any(character in value for character in forbidden):
        raise ValueError(f"{name} must not hold a line end or NUL, got {value!r}")
    return value.encode()


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event as a client sees it.

    `event_id` is the last id seen on the stream, which need not stand in this very event.
    """

    event: str
    data: str
    event_id: str


class EventParser:
    """Reads a stream of events from bytes that arrive in any pieces.

    Attributes:
        last_event_id: what to send as Last-Event-ID when the connection is lost.
        retry_ms: the delay that the server asked for, or None.

    Args:
        last_event_id: the id that the client already has.
        limit_chars: the longest line or event that is taken, in characters.
    """

    def __init__(self, *, last_event_id: str = "", limit_chars: int = MAX_EVENT_CHARS) -> None:
        self.last_event_id = last_event_id
        self.retry_ms: int | None = None
        self._limit_chars = limit_chars
        # "Streams must be decoded using the UTF-8 decode algorithm": one leading BOM is dropped,
        # bad bytes are U+FFFD.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._after_cr = False
        self._data: list[str] = []
        self._data_chars = 0
        self._event = ""
        self._id = last_event_id

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Yields the events that the chunk completes.

        Raises:
            ValueError: a line or an event is longer than the limit; the stream cannot be read on.
        """
        for line in self._split_lines(self._decoder.decode(chunk)):
            if line:
                self._process_field(line)
            elif (event := self._dispatch()) is not None:
                yield event

    def _split_lines(self, text: str) -> Iterator[str]:
        """The lines that the text completes; what follows the last line end is kept."""
        if self._after_cr and text:
            text = text.removeprefix("\n")
            self._after_cr = False
        text = self._rest + text
        self._after_cr = text.endswith("\r")
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop()
        if len(self._rest) > self._limit_chars:
            raise ValueError(f"a line is longer than {self._limit_chars} characters")
        yield from lines

    def _process_field(self, line: str) -> None:
        """Takes one field in (WHATWG HTML section 9.2.6).

        Comments and unknown fields are passed over.
        """
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data_chars += len(value) + 1
            if self._data_chars > self._limit_chars:
                raise ValueError(f"an event is longer than {self._limit_chars} characters")
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> ServerSentEvent | None:
        """Ends the event at a blank line; one without data is none, but its id counts."""
        self.last_event_id = self._id
        data, event = self._data, self._event
        self._data, self._event, self._data_chars = [], "", 0
        if not data:
            return None
        return ServerSentEvent(event or "message", "\n".join(data), self._id)
