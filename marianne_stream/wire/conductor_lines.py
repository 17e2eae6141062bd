"""Lines of the conductor's own log: which job each is of, and where a run begins. Pure.

The conductor writes them with structlog, as JSON objects or in its console format:
`2026-11-28T05:00:00Z [info     ] job.submitted   [daemon.manager] config_path=x.yaml job_id=fan`.
"""

import re
from typing import NamedTuple

import msgspec

from marianne_stream.wire.log_levels import parse_line_facts
from marianne_stream.wire.log_text import strip_ansi_text

# The event that begins a run.
RUN_START_EVENT = "job.submitted"

# A field in console format. A value with a blank in it is written as Python has it: what stands
# in such a value is no field.
CONSOLE_FIELD = re.compile(r"""(?<=\s)([\w.]+)=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\{.*?\}|\S*)""")
# `extra` is a dictionary there.
EXTRA_JOB_ID = re.compile(r"""[{,]\s*'job_id': ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
QUOTED_VALUE = re.compile(r"""(['"])(.*)\1""", re.DOTALL)
CONSOLE_EVENT = re.compile(r"[^\[]*\[\w+\s*\]\s+(\S+)")


class ConductorLine(NamedTuple):
    """What is used of a line.

    Attributes:
        event: its name; "" if it has none.
        job_ids: the jobs that it names.
    """

    event: str = ""
    job_ids: tuple[str, ...] = ()

    @property
    def is_run_start(self) -> bool:
        """Whether a run of the job begins with it."""
        return self.event == RUN_START_EVENT


EMPTY_LINE = ConductorLine()


class JsonFields(msgspec.Struct, frozen=True):
    """What is looked at of a line that is a JSON object."""

    event: object = None
    job_id: object = None
    extra: object = None


decode_fields = msgspec.json.Decoder(JsonFields).decode


def parse_conductor_line(line: bytes) -> ConductorLine:
    """Return what a line of the conductor's log says."""
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
    """Return what a line in console format says; nothing if it does not begin with a time."""
    text = strip_ansi_text(line)
    if parse_line_facts(text).logged_at is None:
        return EMPTY_LINE
    named: list[str] = []
    for name, value in CONSOLE_FIELD.findall(text):
        if name == "job_id":
            # Fields come last: a word before them that looks like one is a part of the event.
            named[:] = [unquote(value)]
        elif name == "extra" and (found := EXTRA_JOB_ID.search(value)) is not None:
            named.append(unquote(found[1]))
    event = CONSOLE_EVENT.match(text)
    return ConductorLine(event[1] if event is not None else "", tuple(named))


def unquote(value: str) -> str:
    """Return a value of a field without the quotes that Python's repr gave it."""
    quoted = QUOTED_VALUE.fullmatch(value)
    return re.sub(r"\\(['\"\\])", r"\1", quoted[2]) if quoted is not None else value
