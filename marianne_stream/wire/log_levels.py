"""Level and time of a log line, parsed from its text.

This is the only definition of both. The server computes them once a line and sends them with it.
"""

import re
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from marianne_stream.wire.log_text import strip_ansi_text

LineLevel = Literal["debug", "info", "warning", "error", "critical"]

# In ascending severity.
LEVELS: tuple[LineLevel, ...] = get_args(LineLevel)

LEVEL_NAMES: dict[str, LineLevel] = {
    **dict.fromkeys(("trace", "debug"), "debug"),
    **dict.fromkeys(("info", "notice"), "info"),
    **dict.fromkeys(("warn", "warning"), "warning"),
    **dict.fromkeys(("error", "err"), "error"),
    **dict.fromkeys(("critical", "crit", "fatal", "alert", "emerg", "panic"), "critical"),
}

# pino writes 10 to 60 as `level`, Python 10 to 50 as `levelno`; numbers between are rounded down.
PINO_SCALE: tuple[LineLevel, ...] = ("debug", "debug", "info", "warning", "error", "critical")
PYTHON_SCALE = LEVELS

# A level is within so many characters behind the time, and a time at the head of a line.
MAX_LEVEL_OFFSET_CHARS = 100
MAX_HEAD_CHARS = MAX_LEVEL_OFFSET_CHARS + 60
# Length of the head before escape sequences are removed.
MAX_RAW_HEAD_CHARS = 2000

NAMES_BY_LENGTH = sorted(LEVEL_NAMES, key=len, reverse=True)
LEVEL_NAME_PATTERN = "|".join(NAMES_BY_LENGTH)
# LEVEL_RE begins with a set of first characters and checks by look-behind, so that the search skips
# most of a line in C.
CAPITALS_PATTERN = "|".join(f"(?<={name[0].upper()}){name[1:].upper()}" for name in NAMES_BY_LENGTH)
KEY_PATTERN = "|".join(
    rf"(?<=(?<!\w)(?i:{key})=)" for key in ("level", "levelname", "lvl", "severity")
)
LEVEL_RE = re.compile(
    r"[\[<=" + "".join(sorted({name[0].upper() for name in LEVEL_NAMES})) + "]"
    rf"(?:(?<=[\[<])\s*(?i:({LEVEL_NAME_PATTERN}))\s*[\]>]"
    rf"|(?:{KEY_PATTERN})[\"']?(?i:({LEVEL_NAME_PATTERN}))(?!\w)"
    rf"|(?<!\w.)(?:{CAPITALS_PATTERN})(?!\w))"
)
# ISO 8601 and usual variants, perhaps in brackets or behind a level.
TIME_RE = re.compile(
    rf"(?:[\[<]?(?i:{LEVEL_NAME_PATTERN})\s*[\]>]?:?\s+)?\[?"
    r"(\d{4})([-/])(\d\d)\2(\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?"
    r"(?:\s?(Z|[+-]\d\d(?::?\d\d)?|UTC))?(?![\w:])\]?",
    re.ASCII,
)

# A number is a time since 1973 in seconds, milli-, micro- or nanoseconds of the epoch.
MIN_EPOCH_S = 1e8
MAX_EPOCH_S = 1e11
MAX_EPOCH_NS = 1e20


class LineFacts(NamedTuple):
    """Facts that a line states about itself.

    Attributes:
        level: severity; None if the line has none.
        logged_at: time of the line, ISO 8601, without an offset if the line has none; None if the
            line has no time.
    """

    level: LineLevel | None = None
    logged_at: str | None = None

    @property
    def is_entry_start(self) -> bool:
        """True if the line starts an entry, and belongs to none above."""
        return self.level is not None or self.logged_at is not None


NO_FACTS = LineFacts()


class JsonLine(msgspec.Struct, frozen=True):
    """Used fields of a line that is a JSON object."""

    level: Any = None
    levelname: Any = None
    lvl: Any = None
    severity: Any = None
    levelno: Any = None
    timestamp: Any = None
    time: Any = None
    ts: Any = None
    at: Any = msgspec.field(default=None, name="@timestamp")
    asctime: Any = None


decode_line = msgspec.json.Decoder(JsonLine).decode


def parse_line_facts(line: str) -> LineFacts:
    """Parse level and time of a line, in which bytes that are not UTF-8 may be U+FFFD."""
    first = line[:1]
    if first == "{" or (first.isspace() and line.lstrip()[:1] == "{"):
        try:
            return parse_json_facts(decode_line(line))
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            # Truncated, or not JSON: parse it as text.
            pass
    head = line[:MAX_HEAD_CHARS]
    if "\x1b" in line[:MAX_RAW_HEAD_CHARS]:
        head = strip_ansi_text(line[:MAX_RAW_HEAD_CHARS])[:MAX_HEAD_CHARS]
    time = TIME_RE.match(head)
    logged_at = to_iso_time(time) if time is not None else None
    found = LEVEL_RE.search(head, *level_search_range(time, logged_at))
    if found is None:
        return LineFacts(None, logged_at) if logged_at is not None else NO_FACTS
    name = found[1] or found[2] or found[0]
    return LineFacts(LEVEL_NAMES[name.lower()], logged_at)


def level_search_range(time: re.Match[str] | None, logged_at: str | None) -> tuple[int, int]:
    """Return start and end of the part of a line's head that may hold its level."""
    if time is None or logged_at is None:
        return 0, MAX_LEVEL_OFFSET_CHARS
    return time.start() if time.start(1) > 1 else time.end(), time.end() + MAX_LEVEL_OFFSET_CHARS


def parse_level_name(name: str) -> LineLevel:
    """Return the level of a lower-case name.

    Raises:
        KeyError: the name is not that of a level.
    """
    return LEVEL_NAMES[name]


def parse_line_level(line: str) -> LineLevel | None:
    """Return only the level of `parse_line_facts`, or None."""
    return parse_line_facts(line).level


def parse_json_facts(fields: JsonLine) -> LineFacts:
    """Return level and time of a JSON line."""
    level = parse_numeric_level(fields.level, PINO_SCALE)
    for word in (fields.level, fields.levelname, fields.lvl, fields.severity):
        if level is None and isinstance(word, str):
            level = LEVEL_NAMES.get(word.strip().lower())
    level = level or parse_numeric_level(fields.levelno, PYTHON_SCALE)
    for time in (fields.timestamp, fields.time, fields.ts, fields.at, fields.asctime):
        logged_at = parse_time_field(time)
        if logged_at is not None:
            return LineFacts(level, logged_at)
    return LineFacts(level)


def parse_level_field(name: str, value: object) -> LineLevel | None:
    """Return the level in one field of a JSON line; None if it is not a level."""
    if isinstance(value, str):
        return LEVEL_NAMES.get(value.strip().lower())
    scale = {"level": PINO_SCALE, "levelno": PYTHON_SCALE}.get(name)
    return None if scale is None else parse_numeric_level(value, scale)


def parse_numeric_level(number: object, scale: tuple[LineLevel, ...]) -> LineLevel | None:
    """Return the level of a number on a scale of tens; None if it is outside."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    if not 10 <= number < 10 * (len(scale) + 1):
        return None
    return scale[int(number // 10) - 1]


def parse_time_field(value: object) -> str | None:
    """Return the time in a field of a JSON line, ISO 8601; None if it is not a time."""
    if isinstance(value, str):
        match = TIME_RE.match(value)
        return to_iso_time(match) if match is not None else None
    if not isinstance(value, int | float) or not MIN_EPOCH_S <= value < MAX_EPOCH_NS:
        return None
    seconds = float(value)
    while seconds >= MAX_EPOCH_S:
        seconds /= 1000
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_iso_time(match: re.Match[str]) -> str | None:
    """Return a matched time in ISO 8601, with its own precision; None if it is invalid."""
    year, _, month, day, clock, fraction, zone = match.groups()
    text = f"{year}-{month}-{day}T{clock}"
    offset = zone or ""
    if offset == "UTC":
        offset = "Z"
    elif len(offset) in (3, 5) and ":" not in offset:
        offset = f"{offset[:3]}:{offset[3:] or '00'}"
    try:
        datetime.fromisoformat(text + offset)
    except ValueError:
        return None
    return f"{text}.{fraction}{offset}" if fraction else text + offset
