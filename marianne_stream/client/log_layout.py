"""Layout of log lines on a terminal: levels in colour, JSON as text, and wrapped words."""

from collections.abc import Mapping

import msgspec
from rich.console import Console
from rich.text import Text

from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.field_format import WrittenFloat, format_fields
from marianne_stream.client.output import Output, truncate_line
from marianne_stream.client.sanitize import (
    strip_all_but_colours,
    strip_controls,
    strip_to_one_line,
)
from marianne_stream.wire.log_levels import (
    LEVEL_RE,
    MAX_HEAD_CHARS,
    TIME_RE,
    level_search_range,
    parse_level_field,
    parse_time_field,
)

# Indent of rows that continue a line, and of the names of blocks below it.
WRAP_INDENT = "  "
BLOCK_INDENT = "    "

# In less room, a time has no date.
MIN_COLUMNS_FOR_DATE = 60

# Levels that colour the text as well as their name.
LINE_STYLES = {"debug": "quiet", "error": "fault", "critical": "fault"}

# Fields of a JSON line that may hold its text, level and time; the first text counts.
TEXT_FIELDS = ("event", "message", "msg")
LEVEL_FIELDS = frozenset({"level", "levelname", "lvl", "severity", "levelno"})
TIME_FIELDS = frozenset({"timestamp", "time", "ts", "@timestamp", "asctime"})
# Field whose own fields count as those of the line, unless the line has a field of that name.
NESTED_FIELD = "extra"

JSON_DECODER = msgspec.json.Decoder(dict[str, object], float_hook=WrittenFloat)


def lay_out(line: LogLineBody, output: Output, label: Text | None = None) -> Text:
    """Lay a line out in the width of the terminal, as one row or more.

    A label is put before each row, except that rows below the first one get its width in blanks.
    """
    label = Text() if label is None else label
    text = format_line(line, output, output.console.width - label.cell_len)
    return wrap(text, output.console, label)


def lay_out_row(line: LogLineBody, output: Output, columns: int) -> Text:
    """Lay the beginning of a line out in one row of a width."""
    row = format_line(line, output, columns).split("\n")[0]
    row.expand_tabs(8)
    return truncate_line(row, columns)


def format_line(line: LogLineBody, output: Output, columns: int) -> Text:
    """Return the text of a line in the colours of the output, for so many columns."""
    text = format_json_line(line) or format_text_line(line, has_colours=output.has_colours)
    if columns < MIN_COLUMNS_FOR_DATE:
        text = without_date(text)
    return text if output.has_colours else Text(text.plain)


def format_text_line(line: LogLineBody, *, has_colours: bool) -> Text:
    """Return a line as it is, in its own colours, or else in those of its level."""
    if has_colours and "\x1b" in line.line:
        text = Text.from_ansi(strip_all_but_colours(line.line))
        if text.spans:
            return text
    text = Text(strip_controls(line.line))
    head = text.plain[:MAX_HEAD_CHARS]
    time = TIME_RE.match(head) if line.logged_at else None
    if time is not None:
        text.stylize("quiet", time.start(1), time.end())
    text.stylize(LINE_STYLES.get(line.level, ""), 0 if time is None else time.end())
    if line.level:
        found = LEVEL_RE.search(head, *level_search_range(time, line.logged_at or None))
        if found is not None:
            text.stylize(f"level.{line.level}", found.start(), found.end())
    return text


def format_json_line(line: LogLineBody) -> Text | None:
    """Return a line that is a JSON object as time, level, text and other fields; None for others.

    Values with more than one line, such as a traceback, are below it.
    """
    if not line.line.lstrip().startswith("{"):
        return None
    try:
        fields = JSON_DECODER.decode(line.line)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
    fields = flatten(fields)
    text_field = next((name for name in TEXT_FIELDS if isinstance(fields.get(name), str)), "")
    others = {
        name: value
        for name, value in fields.items()
        if name != text_field and not is_shown_before(name, value, line)
    }
    style = LINE_STYLES.get(line.level, "")
    blocks = {name: v for name, v in others.items() if isinstance(v, str) and "\n" in v.strip()}
    parts = [
        Text(strip_to_one_line(line.logged_at), style="quiet"),
        Text(f"[{line.level}]" if line.level else "", style=f"level.{line.level}"),
        Text(strip_to_one_line(str(fields.get(text_field, ""))), style=style),
    ]
    text = Text(" ").join(filter(None, parts))
    if rest := format_fields({name: v for name, v in others.items() if name not in blocks}):
        text.append("  " if text else "").append(rest, style="quiet")
    append_blocks(text, blocks, style)
    return text


def flatten(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a JSON line with those that are nested in one of them."""
    nested = fields.get(NESTED_FIELD)
    if not isinstance(nested, dict):
        return dict(fields)
    own = {name: value for name, value in fields.items() if name != NESTED_FIELD}
    return own | {
        f"{NESTED_FIELD}.{name}" if name in own else name: value for name, value in nested.items()
    }


def is_shown_before(name: str, value: object, line: LogLineBody) -> bool:
    """Return whether a field tells only the level or the time of its line."""
    if name in LEVEL_FIELDS:
        return bool(line.level) and parse_level_field(name, value) == line.level
    if name in TIME_FIELDS:
        return bool(line.logged_at) and parse_time_field(value) == line.logged_at
    return False


def without_date(text: Text) -> Text:
    """Return a line whose time at the beginning has no date, fraction and offset."""
    time = TIME_RE.match(text.plain[:MAX_HEAD_CHARS])
    if time is None:
        return text
    offsets = [time.start(1), time.start(5), time.end(5), time.end()]
    before, _, clock, _, after = text.divide(offsets)
    return before + clock + after


def append_blocks(text: Text, blocks: Mapping[str, str], style: str) -> None:
    """Append values with more than one line, each below its name."""
    for name, value in blocks.items():
        text.append(f"\n{WRAP_INDENT}{strip_to_one_line(name)}:", style="quiet")
        for row in value.strip("\n").splitlines():
            text.append(f"\n{BLOCK_INDENT}{strip_controls(row)}", style=style)


def wrap(text: Text, console: Console, label: Text) -> Text:
    """Wrap a text between words into rows of the console's width, behind a label."""
    text.expand_tabs(8)
    room = max(1, console.width - label.cell_len)
    rows: list[Text] = []
    for row in text.split("\n", allow_blank=True):
        if row.cell_len <= room:
            rows.append(row)
            continue
        first, *others = row.wrap(console, max(1, room - len(WRAP_INDENT)))
        rows += [first, *(Text(WRAP_INDENT).append_text(other) for other in others)]
    blank = Text(" " * label.cell_len)
    return Text("\n").join(
        (blank if index else label) + strip_end(row) for index, row in enumerate(rows)
    )


def strip_end(row: Text) -> Text:
    """Remove blanks at the end of a row."""
    row.rstrip()
    return row
