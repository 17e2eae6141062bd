"""Which lines of a log a viewer wants, from what it asked for. It must not know how it asks."""

from marianne_stream.logs.filters import (
    AllFilters,
    LevelFilter,
    LineFilter,
    RegexFilter,
    TextFilter,
)
from marianne_stream.wire.log_levels import parse_level_name


def make_line_filter(
    *, contains: str | None, regex: str | None, level: str | None
) -> LineFilter | None:
    """A filter of all that is given; None where nothing is.

    Raises:
        BadParameterError: the regular expression cannot be used.
    """
    filters: list[LineFilter] = []
    if contains:
        filters.append(TextFilter(contains))
    if level:
        filters.append(LevelFilter(parse_level_name(level)))
    if regex:
        filters.append(RegexFilter(regex))
    if not filters:
        return None
    return filters[0] if len(filters) == 1 else AllFilters(tuple(filters))
