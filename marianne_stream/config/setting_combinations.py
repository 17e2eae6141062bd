"""Combinations of settings: what they require and exclude of each other.

Each function raises ValueError, which names the settings and what to do.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from marianne_stream.config.setting_types import RESERVED_HEADERS
from marianne_stream.notify.rules import rules_by_name

if TYPE_CHECKING:
    from marianne_stream.config.settings import Settings


def check_combinations(settings: "Settings") -> None:
    """Check all that two settings or more have to do with each other."""
    check_backend(settings)
    check_sign_on(settings)
    check_public_url(settings)
    check_notifications(settings)


def check_backend(settings: "Settings") -> None:
    """Check where the state is read, and what is published."""
    if settings.state_backend == "json" and settings.checkpoint_dir is None:
        raise ValueError(
            "state_backend json needs checkpoint_dir, the folder of the JSON checkpoints"
        )
    if settings.state_backend == "redis" and settings.redis_url is None:
        raise ValueError("state_backend redis needs redis_url, the URL of the Redis to read from")
    if settings.state_backend == "redis" and not settings.sources:
        raise ValueError(
            "state_backend redis needs sources, the source_name of each origin to serve"
        )
    if len(set(settings.sources)) < len(settings.sources):
        raise ValueError(f"sources must name each source once, got {','.join(settings.sources)}")
    if settings.state_backend == "redis" and settings.publish_url is not None:
        raise ValueError("state_backend redis excludes publish_url: set publish_url on the origin")
    if settings.workers > 1 and settings.state_backend != "redis":
        raise ValueError(
            "workers above 1 needs state_backend redis: each worker would take two slots of "
            "the conductor"
        )
    if settings.workers > 1 and (settings.port is None or settings.uds is not None):
        raise ValueError(
            "workers above 1 share a TCP port: set port to a number, and leave out uds"
        )
    if settings.publish_url is not None and settings.source_name is None:
        raise ValueError("publish_url needs source_name, the name of this conductor in Redis")


def check_sign_on(settings: "Settings") -> None:
    """Check the settings of single sign-on."""
    user, jobs = settings.auth_user_header, settings.auth_jobs_header
    if user is None and (jobs or settings.auth_header_secret_file or settings.auth_sign_out_url):
        raise ValueError("the other settings of a proxy's users need auth_user_header")
    if user is not None and settings.no_auth:
        raise ValueError("no_auth excludes auth_user_header: everybody may see everything")
    names = [name.lower() for name in (user, jobs) if name is not None]
    if len(set(names)) < len(names):
        raise ValueError("auth_user_header and auth_jobs_header must differ")
    if not RESERVED_HEADERS.isdisjoint(names):
        reserved = ", ".join(sorted(RESERVED_HEADERS))
        raise ValueError(
            f"auth_user_header and auth_jobs_header must not be one of {reserved}, got "
            f"{' and '.join(names)}"
        )


def check_public_url(settings: "Settings") -> None:
    """Check that links from outside lead to the path at which the proxy serves the page."""
    if settings.public_url is None:
        return
    path, root_path = urlsplit(settings.public_url).path.rstrip("/"), settings.root_path
    if path != root_path:
        raise ValueError(
            f"public_url has the path {path or '/'}, and root_path is {root_path or '/'}: both "
            "must be the path below which the proxy serves this server"
        )


def check_notifications(settings: "Settings") -> None:
    """Check that there is a history for messages to wait in, and that rules can be told."""
    if settings.notifications and settings.state_backend == "redis":
        raise ValueError("state_backend redis excludes notifications: set them on the origin")
    if settings.notifications and settings.history == "none":
        raise ValueError("notifications need the history, in which they wait: set history auto")
    is_told_away = any("conductor_away" in rule.on for rule in settings.notifications)
    if is_told_away and settings.state_backend not in ("auto", "conductor"):
        raise ValueError(
            "conductor_away needs state_backend auto or conductor: the others ask no conductor"
        )
    if len(rules_by_name(settings.notifications)) < len(settings.notifications):
        raise ValueError("rules of notifications must have different names")
