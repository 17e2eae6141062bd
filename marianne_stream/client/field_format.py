"""Fields of untrusted JSON as `name=value` pairs on one line."""

from collections.abc import Mapping

from marianne_stream.client.sanitize import encode_json_line, strip_to_one_line


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
    return encode_json_line(value)
