"""Sanitizing of untrusted text for a terminal.

Job ids, log lines and messages come from other programs. Their escape sequences could change the
window's title, send input in the user's name, or hide text (ECMA-48; xterm's control sequences).
"""

import json
import re
from itertools import islice

from marianne_stream.wire.control_characters import BIDI_CONTROLS, CONTROL_RE, SEQUENCE_RE
from marianne_stream.wire.log_lines import render_lines

RESET = "\x1b[0m"

# Select Graphic Rendition: colours and other attributes. They are reset at the end of the line.
SGR_RE = re.compile(r"(?:\x1b\[|\x9b)([0-9;:]{,64})m")

# The parameter that hides text, and those that take more: `5` and an index, or `2` and three
# values.
SGR_CONCEAL = 8
SGR_EXTENDED_COLOURS = frozenset({38, 48, 58})
EXTENDED_COLOUR_LENGTHS = {"5": 1, "2": 3}

# Characters that JSON allows unescaped, but terminals or UTF-8 decoders do not handle.
UNSAFE_IN_JSON_RE = re.compile(rf"[\x7f-\x9f{BIDI_CONTROLS}\ud800-\udfff]")


def strip_controls(text: str) -> str:
    """Remove escape sequences, and replace other controls except tabs by visible pictures."""
    if text.isascii() and text.isprintable():
        return text
    return CONTROL_RE.sub(control_picture, SEQUENCE_RE.sub("", text))


def strip_to_one_line(text: str) -> str:
    """Sanitize a text for one line: as `strip_controls`, with blanks for tabs and newlines."""
    return strip_controls(text.replace("\r\n", " ").replace("\n", " ").replace("\t", " "))


def strip_to_lines(text: str) -> list[str]:
    """Sanitize a text, and return its lines as a terminal finally shows them.

    A progress bar that is rewritten after carriage returns is its last state, as in the logs.
    """
    shown = render_lines(text.encode("utf-8", "replace")).decode()
    return [strip_controls(line) for line in shown.removesuffix("\n").split("\n")]


def strip_all_but_colours(text: str) -> str:
    """Sanitize a text, but keep its colours."""
    if text.isascii() and text.isprintable():
        return text
    pieces, position, has_colours = [], 0, False
    for match in SEQUENCE_RE.finditer(text):
        pieces.append(CONTROL_RE.sub(control_picture, text[position : match.start()]))
        position = match.end()
        colour = SGR_RE.fullmatch(match[0])
        if colour is not None and (parameters := without_conceal(colour[1])) is not None:
            pieces.append(f"\x1b[{parameters}m")
            has_colours = True
    pieces.append(CONTROL_RE.sub(control_picture, text[position:]))
    return "".join(pieces) + (RESET if has_colours else "")


def without_conceal(parameters: str) -> str | None:
    """Remove the parameter that hides text from SGR parameters.

    The 8 in an extended colour, as `38;5;8`, is kept.

    Returns:
        The remaining parameters, or None if none are left.
    """
    remaining = iter(parameters.split(";"))
    kept: list[str] = []
    for parameter in remaining:
        code = parse_sgr_parameter(parameter)
        if code in SGR_EXTENDED_COLOURS and ":" not in parameter:
            kind = next(remaining, "")
            if kind not in EXTENDED_COLOUR_LENGTHS:
                # Terminals disagree about what follows.
                break
            kept += [parameter, kind, *islice(remaining, EXTENDED_COLOUR_LENGTHS[kind])]
        elif code != SGR_CONCEAL:
            kept.append(parameter)
    return ";".join(kept) if kept else None


def parse_sgr_parameter(parameter: str) -> int:
    """Parse an SGR parameter up to a colon; an empty one is 0."""
    return int(parameter.partition(":")[0] or 0)


def control_picture(match: re.Match[str]) -> str:
    """Return the picture of a control character, if Unicode has one."""
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def encode_json_line(value: object) -> str:
    """Encode a value as one line of JSON that is safe to print on a terminal."""
    return escape_json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def escape_json(text: str) -> str:
    """Escape the characters of JSON that are not safe to print on a terminal."""
    return UNSAFE_IN_JSON_RE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
