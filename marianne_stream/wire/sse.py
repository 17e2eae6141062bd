"""Server-Sent Events: encoder and parser (WHATWG HTML section 9.2)."""

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# Limit of an event; the conductor's largest message fits.
MAX_EVENT_CHARS = 32 * 1024 * 1024


# Limit of the frames that are sent in one write.
MAX_WRITE_BYTES = 32 * 1024

# Limit of the changed copies of frames that are kept for further clients.
MAX_DERIVED = 8


class EncodedFrames:
    """Whole frames, encoded once for many clients: plain, and as one chunk of HTTP/1.1."""

    __slots__ = ("_chunk", "_count", "_derived", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._chunk = b""
        self._count = -1
        # None until it is needed: most frames have no copies.
        self._derived: dict[str, EncodedFrames] | None = None

    def derive(self, key: str, change: Callable[[bytes], bytes]) -> "EncodedFrames":
        """Return changed frames, made once for all calls with the same key, of at most 8 keys."""
        if self._derived is None:
            self._derived = {}
        derived = self._derived.get(key)
        if derived is None:
            derived = EncodedFrames(change(self.data))
            if len(self._derived) < MAX_DERIVED:
                self._derived[key] = derived
        return derived

    @property
    def count(self) -> int:
        """Number of frames."""
        if self._count < 0:
            self._count = self.data.count(b"\n\n")
        return self._count

    @property
    def chunk(self) -> bytes:
        """The frames as a chunk (RFC 9112 section 7.1)."""
        if not self._chunk:
            self._chunk = b"%x\r\n%b\r\n" % (len(self.data), self.data)
        return self._chunk


def chunk_overhead_bytes(length: int) -> int:
    """Return the size of the framing of a chunk (RFC 9112 section 7.1)."""
    return len(b"%x\r\n\r\n" % length)


def frame(data: bytes, *, event: str = "", event_id: str = "") -> bytes:
    """Encode one event.

    Args:
        data: payload in UTF-8. Each of its lines becomes a data field.
        event: event type; "" leaves the field out, and clients see `message`.
        event_id: id that a client sends as Last-Event-ID when it reconnects; "" leaves the field
            out, and the client keeps its last id.

    Raises:
        ValueError: the event type or the id holds a line end, or the id a NUL, for which a client
            would ignore it.
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
    """Encode an id without an event: it only sets a client's last event id (section 9.2.6)."""
    return b"id: " + encode_value("id", event_id, forbidden="\r\n\0") + b"\n\n"


def retry(delay_ms: int) -> bytes:
    """Encode a reconnection time for the client, in milliseconds."""
    return b"retry: %d\n\n" % delay_ms


def comment(text: str = "") -> bytes:
    """Encode a comment, which keeps a connection from looking idle."""
    return b": " + encode_value("comment", text, forbidden="\r\n") + b"\n\n"


def encode_value(name: str, value: str, *, forbidden: str) -> bytes:
    """Encode a value that must stand on one line."""
    if any(character in value for character in forbidden):
        raise ValueError(f"{name} must not hold a line end or NUL, got {value!r}")
    return value.encode()


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """Event as a client sees it.

    `event_id` is the last id on the stream, which may come from an earlier event.
    """

    event: str
    data: str
    event_id: str


class EventParser:
    """Parser of a stream of events that arrives in any pieces.

    `limit_chars` is the limit of a line and of an event. `last_event_id` is the id to send as
    Last-Event-ID if the connection is lost; `retry_ms` is the reconnection time from the server.
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
        """Yield the events that a chunk completes.

        Raises:
            ValueError: a line or an event is longer than the limit; the stream cannot be parsed on.
        """
        for line in self._split_lines(self._decoder.decode(chunk)):
            if line:
                self._process_field(line)
            elif (event := self._dispatch()) is not None:
                yield event

    def _split_lines(self, text: str) -> Iterator[str]:
        """Yield the lines that a text completes; keep the rest."""
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
        """Process one field (section 9.2.6); ignore comments and unknown fields."""
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
        """End the event at a blank line. Without data there is no event, but its id counts."""
        self.last_event_id = self._id
        data, event = self._data, self._event
        self._data, self._event, self._data_chars = [], "", 0
        if not data:
            return None
        return ServerSentEvent(event or "message", "\n".join(data), self._id)
