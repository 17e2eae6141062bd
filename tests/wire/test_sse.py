"""Tests of the SSE encoder and parser."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.wire import sse
from marianne_stream.wire.sse import EventParser, ServerSentEvent


def parse(data: bytes) -> list[ServerSentEvent]:
    """Return the events in some bytes."""
    return list(EventParser().feed(data))


def test_frame_has_id_event_and_data() -> None:
    frame = sse.frame(b'{"a":1}', event="job_status", event_id="s-1")
    assert frame == b'id: s-1\nevent: job_status\ndata: {"a":1}\n\n'


def test_multiline_data_round_trips() -> None:
    assert parse(sse.frame(b"one\r\ntwo\rthree\n")) == [
        ServerSentEvent("message", "one\ntwo\nthree\n", "")
    ]


@pytest.mark.parametrize("bad", ["a\nb", "a\rb"])
def test_line_end_in_field_is_rejected(bad: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        sse.frame(b"", event=bad)
    with pytest.raises(ValueError, match="line end"):
        sse.frame(b"", event_id=bad)
    with pytest.raises(ValueError, match="line end"):
        sse.comment(bad)


def test_id_with_nul_is_rejected_by_encoder_and_ignored_by_parser() -> None:
    with pytest.raises(ValueError, match="NUL"):
        sse.frame(b"", event_id="a\0")
    parser = EventParser(last_event_id="before")
    assert [event.event_id for event in parser.feed(b"id: a\0b\ndata: x\n\n")] == ["before"]


def test_comment_and_retry_give_no_event() -> None:
    parser = EventParser()
    assert list(parser.feed(sse.retry(2500) + sse.comment("idle"))) == []
    assert parser.retry_ms == 2500


def test_invalid_retry_is_ignored() -> None:
    parser = EventParser()
    assert list(parser.feed("retry: ٣\nretry: -1\nretry: 1.5\n\n".encode())) == []
    assert parser.retry_ms is None


def test_last_id_holds_until_replaced_or_cleared() -> None:
    events = parse(b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n")
    assert [event.event_id for event in events] == ["1", "1", ""]


def test_id_without_data_sets_last_event_id() -> None:
    parser = EventParser()
    assert list(parser.feed(b"id: 7\n\n")) == []
    assert parser.last_event_id == "7"


def test_truncated_stream_keeps_id_of_last_whole_event() -> None:
    parser = EventParser()
    assert len(list(parser.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n"))) == 1
    assert parser.last_event_id == "1"


def test_one_leading_bom_is_removed() -> None:
    mark = b"\xef\xbb\xbf"
    assert [event.data for event in parse(mark + b"data: a\n\ndata: " + mark + b"b\n\n")] == [
        "a",
        "\ufeffb",
    ]


def test_invalid_utf8_is_replaced() -> None:
    assert parse(b"data: \xff\n\n")[0].data == "\ufffd"


def test_one_blank_after_colon_is_removed() -> None:
    assert parse(b"data:  a\n\n")[0].data == " a"


def test_event_beyond_limit_fails() -> None:
    with pytest.raises(ValueError, match="longer than 10 characters"):
        list(EventParser(limit_chars=10).feed(b"data: 12345678901"))
    parser = EventParser(limit_chars=10)
    with pytest.raises(ValueError, match="longer than 10 characters"):
        list(parser.feed(b"data: 1\n" * 20))


STREAM = st.lists(
    st.sampled_from(
        ["data: é✓", "data", "id: 4", "id", "event: x", "retry: 5", ": c", "", "odd: z", "data: a"]
    )
)


@given(
    STREAM,
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.lists(st.integers(min_value=0, max_value=200)),
)
def test_events_do_not_depend_on_chunks(lines: list[str], end: str, cuts: list[int]) -> None:
    data = "".join(line + end for line in lines).encode()
    whole = EventParser()
    expected = list(whole.feed(data))
    pieces = EventParser()
    got: list[ServerSentEvent] = []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, stop in pairwise(edges):
        got += pieces.feed(data[start:stop])
    assert got == expected
    assert pieces.last_event_id == whole.last_event_id


@given(st.text(), st.from_regex(r"[a-z_.]{1,20}", fullmatch=True))
def test_parser_reads_whatever_encoder_writes(data: str, event: str) -> None:
    normal = data.replace("\r\n", "\n").replace("\r", "\n")
    assert parse(sse.frame(data.encode(), event=event)) == [ServerSentEvent(event, normal, "")]
