"""Progress of a job: bar and sheet count."""

from rich.progress_bar import ProgressBar

# Minimum width of a terminal for bars.
MIN_COLUMNS_FOR_BAR = 64


def make_progress_bar(completed: int | None, total: int | None, style: str) -> ProgressBar:
    """Return a bar as wide as its column, in the colour of the status."""
    return ProgressBar(
        total=max(1, total or 0),
        completed=completed or 0,
        style="quiet",
        complete_style=style or "none",
        finished_style=style or "none",
    )


def format_sheet_count(completed: int | None, total: int | None) -> str:
    """Format completed and total sheets; "" if they are unknown."""
    if not total:
        return ""
    return f"{'?' if completed is None else completed}/{total}"
