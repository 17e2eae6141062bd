"""Loads what needs redis-py, for those who were told to use it.

redis-py is an extra: a server that neither publishes nor reads Redis starts without it, and so
nothing that such a server imports may import it. Here alone a module of this room is imported when
it is wanted rather than at the top.
"""

from importlib import import_module
from types import ModuleType

from marianne_stream.errors import SettingsError


def loaded(name: str) -> ModuleType:
    """A module of this room that needs redis-py.

    Args:
        name: the module's, as it is named below this room, as `publish.publisher`.

    Raises:
        SettingsError: redis-py is not installed.
    """
    try:
        return import_module(f"marianne_stream.relay.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise SettingsError(
            "the relay needs redis-py, which is not installed: pip install 'marianne-stream[redis]'"
        ) from error
