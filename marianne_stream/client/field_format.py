"""Fields of untrusted JSON as `name=value` pairs on one line."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from marianne_stream.client.sanitize import encode_json_line, escape_json, strip_to_one_line


class WrittenFloat(float):
    """Number in JSON that is shown as it was written, for example `1.10` or `1e5`."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Parse the text of a number."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def format_fields(fields: Mapping[str, object]) -> str:
    """Format fields as `name=value` pairs."""
    return " ".join(
        f"{strip_to_one_line(str(name))}={format_field_value(value)}"
        for name, value in fields.items()
    )


def format_field_value(value: object) -> str:
    """Format a value: a single word as it is, everything else as JSON."""
    if isinstance(value, str):
        word = strip_to_one_line(value)
        return word if word and not any(mark in word for mark in ' "=') else encode_json_line(word)
    return escape_json(msgspec.json.encode(value, enc_hook=encode_number).decode())


def encode_number(value: Any) -> msgspec.Raw:
    """Encode a number as it was written.

    Raises:
        NotImplementedError: the value has another type.
    """
    if isinstance(value, WrittenFloat):
        return msgspec.Raw(value.text.encode())
    raise NotImplementedError
