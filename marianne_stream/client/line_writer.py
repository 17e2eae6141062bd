"""Output of log lines: laid out on a terminal, elsewhere as they are."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.log_layout import lay_out
from marianne_stream.client.output import Output, pad, truncate_middle
from marianne_stream.client.sanitize import (
    strip_all_but_colours,
    strip_controls,
    strip_to_one_line,
)

# Separator of groups of adjacent lines, as grep prints it.
GROUP_SEPARATOR = "--"

# Between the name of a job and its line.
LABEL_END = " | "
LABEL_STYLES = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta")
# Part of a terminal's width that names get at most, if it is more than the minimum.
MAX_LABEL_SHARE = 4
MIN_LABEL_COLUMNS = 8


class LineWriter:
    """Writer of log lines. With several `job_ids`, each line begins with the name of its job."""

    def __init__(self, output: Output, job_ids: Sequence[str] = ()) -> None:
        self._output = output
        self._labels = make_labels(job_ids, output)

    def write(self, lines: Iterable[LogLineBody], job_id: str = "") -> None:
        """Write lines, and flush.

        Raises:
            BrokenPipeError: the reader has closed the pipe.
        """
        label = self._labels.get(job_id)
        if self._output.can_redraw:
            texts = [lay_out(line, self._output, label) for line in lines]
            if texts:
                self._output.console.print(Text("\n").join(texts), soft_wrap=True)
            return
        sanitize = strip_all_but_colours if self._output.has_colours else strip_controls
        prefix = "" if label is None else label.plain
        self._output.write(prefix + sanitize(line.line) for line in lines)

    def write_separator(self) -> None:
        """Write the line between two groups of lines; raises as `write` does."""
        self._output.write([GROUP_SEPARATOR])


def make_labels(job_ids: Sequence[str], output: Output) -> dict[str, Text]:
    """Return the names of jobs in one width, which a terminal limits, and in different colours."""
    names = [strip_to_one_line(job_id) for job_id in job_ids]
    columns = max(map(cell_len, names), default=0)
    if output.can_redraw:
        columns = min(columns, max(MIN_LABEL_COLUMNS, output.console.width // MAX_LABEL_SHARE))
    labels = {}
    for index, (job_id, name) in enumerate(zip(job_ids, names, strict=True)):
        style = LABEL_STYLES[index % len(LABEL_STYLES)] if output.has_colours else "none"
        text = pad(truncate_middle(name, columns), columns)
        labels[job_id] = Text(text, style=style).append(LABEL_END)
    return labels
