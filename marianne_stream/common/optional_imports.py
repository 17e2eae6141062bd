"""Imports of modules that need a library of an extra."""

from importlib import import_module
from typing import Any

from marianne_stream.errors import SettingsError


def load_with_extra(module: str, name: str, *, extra: str, library: str) -> Any:
    """Return a class or function of a module that needs a library.

    Args:
        module: full name of the module.
        name: the class or function.
        extra: the extra of this package that installs the library.
        library: name by which the library is imported.

    Raises:
        SettingsError: the library is not installed.
    """
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise SettingsError(
            f"these settings need {library}, which is not installed: "
            f"pip install 'marianne-stream[{extra}]'"
        ) from error
