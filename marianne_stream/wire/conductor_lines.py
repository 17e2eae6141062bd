"""Lines of the conductor's own log: the jobs that a line names, and the start of a run.

The conductor writes lines with structlog, as JSON objects or in its console format:
`2026-11-28T05:00:00Z [info     ] job.submitted   [daemon.manager] config_path=x.yaml job_id=fan`.
"""

import re
from typing import NamedTuple

import msgspec

from marianne_stream.wire.log_levels import parse_line_facts
from marianne_stream.wire.log_text import strip_ansi_text

# Event at the start of a run.
RUN_START_EVENT = "job.submitted"

# A field in console format. A value with a blank is written as a Python literal, which is matched
# as a whole: it may look like more fields.
CONSOLE_FIELD = re.compile(r"""(?<=\s)([\w.]+)=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\{.*?\}|\S*)""")
# In the field `extra`, which is a Python dictionary.
EXTRA_JOB_ID = re.compile(r"""[{,]\s*'job_id': ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
QUOTED_VALUE = re.compile(r"""(['"])(.*)\1""", re.DOTALL)
CONSOLE_EVENT = re.compile(r"[^\[]*\[\w+\s*\]\s+(\S+)")


class ConductorLine(NamedTuple):
    """Event of a line, or "", and the ids of the jobs that it names."""

    event: str = ""
    job_ids: tuple[str, ...] = ()

    @property
    def is_run_start(self) -> bool:
        """True if the line starts a run of its job."""
        return self.event == RUN_START_EVENT


EMPTY_LINE = ConductorLine()


class JsonFields(msgspec.Struct, frozen=True):
    """Used fields of a line that is a JSON object."""

    event: object = None
    job_id: object = None
    extra: object = None


decode_fields = msgspec.json.Decoder(JsonFields).decode


def parse_conductor_line(line: bytes) -> ConductorLine:
    """Parse a line in either format. A line that names no job is empty."""
    if b"job_id" not in line:
        return EMPTY_LINE
    if line.lstrip()[:1] != b"{":
        return parse_console_line(line.decode("utf-8", "replace"))
    try:
        fields = decode_fields(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return EMPTY_LINE
    extra = fields.extra if isinstance(fields.extra, dict) else {}
    named = (fields.job_id, extra.get("job_id"))
    event = fields.event if isinstance(fields.event, str) else ""
    return ConductorLine(event, tuple(one for one in named if isinstance(one, str)))


def parse_console_line(line: str) -> ConductorLine:
    """Parse a line in console format. A line without a time is empty."""
    text = strip_ansi_text(line)
    if parse_line_facts(text).logged_at is None:
        return EMPTY_LINE
    named: list[str] = []
    for name, value in CONSOLE_FIELD.findall(text):
        if name == "job_id":
            # Fields come last: an earlier match is part of the event's text.
            named[:] = [unquote(value)]
        elif name == "extra" and (found := EXTRA_JOB_ID.search(value)) is not None:
            named.append(unquote(found[1]))
    event = CONSOLE_EVENT.match(text)
    return ConductorLine(event[1] if event is not None else "", tuple(named))


def unquote(value: str) -> str:
    """Return the value of a field without the quotes of Python's repr."""
    quoted = QUOTED_VALUE.fullmatch(value)
    return re.sub(r"\\(['\"\\])", r"\1", quoted[2]) if quoted is not None else value
