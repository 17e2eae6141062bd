"""Classes of the package's errors."""

from marianne_stream.errors import MarianneStreamError


def error_classes(
    root: type[MarianneStreamError] = MarianneStreamError,
) -> set[type[MarianneStreamError]]:
    """Return an error's class and all of its subclasses."""
    return {root}.union(*map(error_classes, root.__subclasses__()))
