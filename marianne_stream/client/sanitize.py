r"""Text from elsewhere, made safe for a terminal.

Job ids, lines of logs and messages are written by programs that nobody here vouches for. An escape
sequence of theirs could retitle a window, answer in the user's name, or hide what stands there
(ECMA-48; xterm's control sequences). It must not know where the text is shown.
"""

import json
import re
from itertools import islice

RESET = "\x1b[0m"

# CSI: parameters, intermediates, a final byte. In UTF-8 it may be U+009B as well.
CONTROL_SEQUENCE = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
# OSC, DCS, SOS, PM, APC: text up to BEL or ST; one that does not end takes the rest of the line.
CONTROL_STRING = r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c|$)?"
# Others are of two or three characters.
ESCAPE = r"\x1b[ -/]*[0-~]"

SEQUENCE_RE = re.compile(f"{CONTROL_SEQUENCE}|{CONTROL_STRING}|{ESCAPE}")

# Select Graphic Rendition: colours and the like, of which nothing outlasts the line.
SGR_RE = re.compile(r"(?:\x1b\[|\x9b)([0-9;:]{,64})m")

# Of these, the one that hides text, and those that others follow: `5` and an index, or `2` and
# three values.
SGR_CONCEAL = 8
SGR_EXTENDED_COLOURS = frozenset({38, 48, 58})
EXTENDED_COLOUR_LENGTHS = {"5": 1, "2": 3}

# Controls that stand alone, and those that turn the direction of what follows (UAX #9).
BIDI_CONTROLS = r"\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
CONTROL_RE = re.compile(rf"[\x00-\x08\x0a-\x1f\x7f-\x9f{BIDI_CONTROLS}]")

# What JSON lets stand, and a terminal or a reader of UTF-8 would stumble over.
UNSAFE_IN_JSON_RE = re.compile(rf"[\x7f-\x9f{BIDI_CONTROLS}\ud800-\udfff]")


def strip_controls(text: str) -> str:
    """A text without escape sequences, and with a picture in the place of any other control.

    A tab stays as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return CONTROL_RE.sub(control_picture, SEQUENCE_RE.sub("", text))


def strip_to_one_line(text: str) -> str:
    """A text that stands in one cell of a table: as `clean`, and without tabs."""
    return strip_controls(text.replace("\r\n", " ").replace("\n", " ").replace("\t", " "))


def strip_all_but_colours(text: str) -> str:
    """A text whose colours stay, and nothing else of its escape sequences does."""
    if text.isascii() and text.isprintable():
        return text
    pieces, place, colours = [], 0, False
    for match in SEQUENCE_RE.finditer(text):
        pieces.append(CONTROL_RE.sub(control_picture, text[place : match.start()]))
        place = match.end()
        colour = SGR_RE.fullmatch(match[0])
        if colour is not None and (parameters := without_conceal(colour[1])) is not None:
            pieces.append(f"\x1b[{parameters}m")
            colours = True
    pieces.append(CONTROL_RE.sub(control_picture, text[place:]))
    return "".join(pieces) + (RESET if colours else "")


def without_conceal(parameters: str) -> str | None:
    """What is left of the parameters of a colour without the one that hides text; None for nothing.

    Those that belong to another one, as in `38;5;8`, are colours and not that one.
    """
    given = iter(parameters.split(";"))
    kept: list[str] = []
    for one in given:
        code = parse_sgr_parameter(one)
        if code in SGR_EXTENDED_COLOURS and ":" not in one:
            kind = next(given, "")
            if kind not in EXTENDED_COLOUR_LENGTHS:
                # What follows means one thing to one terminal, and another to the next.
                break
            kept += [one, kind, *islice(given, EXTENDED_COLOUR_LENGTHS[kind])]
        elif code != SGR_CONCEAL:
            kept.append(one)
    return ";".join(kept) if kept else None


def parse_sgr_parameter(parameter: str) -> int:
    """The number of a parameter, without what is behind a colon; one that is left out is 0."""
    return int(parameter.partition(":")[0] or 0)


def control_picture(match: re.Match[str]) -> str:
    """What a control is shown as: its picture where Unicode has one."""
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def encode_json_line(value: object) -> str:
    """A value as one line of JSON, with nothing in it that a terminal would act on."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return UNSAFE_IN_JSON_RE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
