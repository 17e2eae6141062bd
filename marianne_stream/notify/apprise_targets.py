"""Targets of notifications: services that Apprise sends to. Imported only if there is a rule."""

import logging
import re
from collections.abc import Mapping

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat

from marianne_stream.errors import SettingsError
from marianne_stream.notify.rules import Rule, target_digest

# Limit of a connect and of a read. Apprise's own is 4 s, 15 s for mail.
SOCKET_TIMEOUT_S = 30.0

# They write URLs with their passwords, keys, and messages.
SECRET_LOGGERS = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib", "paho")

# Above all levels that Apprise and logging define.
NO_LEVEL = 2 * logging.CRITICAL

SCHEMA = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}(?=://)")


class AppriseTarget:
    """A service that messages are sent to.

    Attributes:
        schema: first part of its URL, such as `mailto`.
    """

    def __init__(self, service: NotifyBase) -> None:
        # Apprise would wait up to 5.5 s between two messages; `max_per_hour` limits them here.
        service.request_rate_per_sec = 0
        # Delivery tries again by itself. A redirect could take a header's credentials elsewhere.
        service.retry = 0
        service.redirects = False
        service.socket_connect_timeout = service.socket_read_timeout = SOCKET_TIMEOUT_S
        self.schema: str = service.schema
        self._service = service

    def send(self, title: str, body: str) -> bool:
        """Send plain text, and return whether the service has accepted it. Blocks.

        Text of a job has no markup: see `message.clean_line`.
        """
        # Not Apprise.notify(): it may use a ThreadPoolExecutor, which is joined at exit, and
        # reports success for a target with `optional=yes` in any case.
        try:
            return bool(self._service.notify(body, title=title, body_format=NotifyFormat.TEXT))
        except Exception:  # noqa: BLE001 - of any of a hundred services, perhaps with a password
            return False


def open_targets(rules: Mapping[str, Rule]) -> dict[str, AppriseTarget]:
    """Return the targets of named rules by their digests.

    Raises:
        SettingsError: Apprise does not know a target. The message leaves its URL out.
    """
    for name in SECRET_LOGGERS:
        logging.getLogger(name).setLevel(NO_LEVEL)
    asset = AppriseAsset(app_id="marianne-stream", pgp_autogen=False, pem_autogen=False)
    found = {}
    for name, rule in rules.items():
        for url in rule.targets:
            service = Apprise.instantiate(url, asset=asset)
            if service is None:
                schema = SCHEMA.match(url)
                raise SettingsError(
                    f"notifications: a target of rule {name} must be a URL of Apprise, got one "
                    f"that begins with {schema[0] if schema else 'no schema'}, or the service "
                    "needs another library; see https://appriseit.com/services/"
                )
            found[target_digest(url)] = AppriseTarget(service)
    return found
