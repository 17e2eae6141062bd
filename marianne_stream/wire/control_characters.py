"""Control characters and escape sequences of terminals in untrusted text."""

import re

# CSI: parameters, intermediates, a final byte. In UTF-8 it may be U+009B as well.
CONTROL_SEQUENCE = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
# OSC, DCS, SOS, PM, APC: text up to BEL or ST, or to the end of the line.
CONTROL_STRING = r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c|$)?"
# Other sequences have two or three characters.
ESCAPE = r"\x1b[ -/]*[0-~]"

SEQUENCE_RE = re.compile(f"{CONTROL_SEQUENCE}|{CONTROL_STRING}|{ESCAPE}")

# Single control characters, and those that change the direction of text (UAX #9).
BIDI_CONTROLS = r"\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
CONTROL_RE = re.compile(rf"[\x00-\x08\x0a-\x1f\x7f-\x9f{BIDI_CONTROLS}]")


def remove_controls(text: str) -> str:
    """Remove escape sequences and control characters; a tab becomes a blank."""
    return CONTROL_RE.sub("", SEQUENCE_RE.sub("", text)).replace("\t", " ")
