"""Tests of JSON-RPC messages, including invalid ones."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.wire import json_text, jsonrpc


class Named(msgspec.Struct):
    """Value with a name."""

    name: str


def test_make_request_returns_one_line() -> None:
    line = jsonrpc.make_request(7, "job.status", {"job_id": "a\nb", "workspace": ""})
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "jsonrpc": "2.0",
        "method": "job.status",
        "params": {"job_id": "a\nb", "workspace": ""},
        "id": 7,
    }


def test_make_request_escapes_lone_surrogates() -> None:
    assert rb"\udcff" in jsonrpc.make_request(1, "job.status", {"job_id": "\udcff"})


def test_parse_message_tells_result_error_and_notification() -> None:
    answer = jsonrpc.parse_message(b'{"jsonrpc":"2.0","id":1,"result":null}')
    assert isinstance(answer.result, msgspec.Raw)
    assert bytes(answer.result) == b"null"
    error = jsonrpc.parse_message(b'{"id":null,"error":{"code":-32700,"message":"no","data":1}}')
    assert error.error == jsonrpc.ErrorObject(-32700, "no")
    assert error.result is msgspec.UNSET
    event = jsonrpc.parse_message(b'{"method":"monitor.event","params":{"a":1}}')
    assert event.method == "monitor.event"


@pytest.mark.parametrize("line", [b"", b"{", b"[1]", b"null", b'"x"', b'{"id":{}}', b"\xff"])
def test_parse_message_of_invalid_line_fails(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expected|Input"):
        jsonrpc.parse_message(line)


def test_decode_value_of_other_type_fails() -> None:
    with pytest.raises(ValueError, match="Expected `str`"):
        json_text.decode(b'{"name": 1}', Named)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (rb"\udcff", r"\xff"),
        (rb"\uDCE9t\uDCE9", r"\xe9t\xe9"),
        (rb"\ud83d\ude00", "😀"),
        (rb"\\udcff", r"\udcff"),
        (rb"\ud83d \ude00", "\ufffd \ufffd"),
        (rb"\udc7f", "\ufffd"),
        (b"\xc3\xa9\xff", "é\ufffd"),
        (rb"NaN, \"Infinity\" \udcff", r'NaN, "Infinity" \xff'),
    ],
)
def test_text_that_is_not_utf8_is_repaired(text: bytes, name: str) -> None:
    line = b'{"id":1,"result":{"name":"' + text + b'","tail":"\xff \\ud800","n":NaN}}'
    raw = jsonrpc.parse_message(line).result
    assert isinstance(raw, msgspec.Raw)
    assert json_text.decode(raw, Named).name == name


def test_non_finite_numbers_become_null() -> None:
    raw = json.dumps([1.5, float("nan"), float("inf"), float("-inf")]).encode()
    assert json_text.decode(raw, list[float | None]) == [1.5, None, None, None]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_decode_accepts_whatever_python_writes(value: object) -> None:
    json_text.decode(json.dumps(value).encode(), object)
