"""Which lines of a log a viewer wants, from what it asked for. It must not know how it asks."""

from marianne_stream.logs.filters import AllOf, AtLeast, Contains, LineFilter, Matches
from marianne_stream.wire.log_levels import level_named


def log_filter(*, contains: str | None, regex: str | None, level: str | None) -> LineFilter | None:
    """A filter of all that is given; None where nothing is.

    Raises:
        BadParameterError: the regular expression cannot be used.
    """
    filters: list[LineFilter] = []
    if contains:
        filters.append(Contains(contains))
    if level:
        filters.append(AtLeast(level_named(level)))
    if regex:
        filters.append(Matches(regex))
    if not filters:
        return None
    return filters[0] if len(filters) == 1 else AllOf(tuple(filters))
