"""Output of log lines: laid out on a terminal, elsewhere as they are."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.log_layout import lay_out
from marianne_stream.client.output import Output, pad, truncate_middle
from marianne_stream.client.sanitize import strip_to_one_line

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
        self._label_columns = self._choose_label_columns(job_ids)
        self._labels: dict[str, Text] = {}
        for job_id in job_ids:
            self.add_job(job_id)

    def add_job(self, job_id: str) -> None:
        """Give a job a label: its name in the width of the others, and in another colour."""
        columns = self._label_columns
        style = LABEL_STYLES[len(self._labels) % len(LABEL_STYLES)]
        name = strip_to_one_line(job_id)
        text = pad(truncate_middle(name, columns) if self._output.can_redraw else name, columns)
        label = Text().append(text, style=style if self._output.has_colours else "none")
        self._labels[job_id] = label.append(LABEL_END)

    def label_text(self, job_id: str) -> str:
        """Return the text of a job's label."""
        return self._labels[job_id].plain

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
        prefix = "" if label is None else label.plain
        self._output.write(prefix + self._output.sanitize(line.line) for line in lines)

    def write_separator(self) -> None:
        """Write the line between two groups of lines; raises as `write` does."""
        self._output.write([GROUP_SEPARATOR])

    def _choose_label_columns(self, job_ids: Sequence[str]) -> int:
        """Return the width of the longest name, which a terminal limits."""
        columns = max((cell_len(strip_to_one_line(job_id)) for job_id in job_ids), default=0)
        if not self._output.can_redraw:
            return columns
        return min(columns, max(MIN_LABEL_COLUMNS, self._output.console.width // MAX_LABEL_SHARE))
