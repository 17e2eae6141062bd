"""The times on the page Operate are those of the code and of the examples."""

import re
from dataclasses import fields

from marianne_stream import app
from marianne_stream.auth import authenticator, login_throttle
from marianne_stream.backends import reader_thread, registry
from marianne_stream.cli import health
from marianne_stream.client import api_client, retry
from marianne_stream.conductor import client, connect, monitor
from marianne_stream.config.settings import Settings
from marianne_stream.files import listing, markdown
from marianne_stream.history import database_thread, history_reader, recorder
from marianne_stream.jobs.stalled import MAX_STALLED_AFTER_S, MIN_STALLED_AFTER_S
from marianne_stream.logs import log_pager, scans
from marianne_stream.notify import delivery, outbox
from marianne_stream.notify.rules import Rule
from marianne_stream.relay import redis_client
from marianne_stream.server import signals
from marianne_stream.web import http_server, stream_monitor, stream_registry
from tests.support.nginx_server import EXAMPLES

PAGE = EXAMPLES.parent / "how-to" / "operate.md"
UNIT = (EXAMPLES / "marianne-stream.service").read_text(encoding="utf-8")

UNITS = {"s": 1, "min": 60, "h": 3600, "day": 86400, "days": 86400}


AWAY_AFTER_S = next(each.default for each in fields(Rule) if each.name == "away_after_s")


def default(name: str) -> float:
    """Return the default of a setting."""
    return float(Settings.model_fields[name].default)


def unit_time(name: str) -> float:
    """Return a time of the example of a unit, in seconds."""
    found = re.search(rf"^{name}=(\d+)$", UNIT, re.MULTILINE)
    assert found
    return float(found[1])


# The rows of the table by their first cell, and the times in them, in seconds.
TIMES = {
    "a connection without a complete request header": [default("idle_timeout_s")],
    "the body of the login form": [app.FORM_TIMEOUT_S],
    "an idle stream gets a comment as a sign of life": [stream_monitor.COMMENT_AFTER_IDLE_S],
    "a client that takes no data is disconnected": [stream_monitor.STALL_TIMEOUT_S],
    "a browser stays signed in": [default("session_max_age_s")],
    "streams of a user whom a proxy has signed in end, at most 10 % earlier": [
        default("auth_header_max_age_s")
    ],
    "the login link that `serve` prints": [authenticator.LOGIN_LINK_MAX_AGE_S],
    # Revoked, noticed and flushed: docs/reference/conventions.md.
    "a revoked token's streams end within": [5.0],
    "a failed sign-in is answered after": [login_throttle.MIN_DELAY_S, login_throttle.MAX_DELAY_S],
    "a search in a log answers with what it has found": [scans.SEARCH_TIMEOUT_S],
    "a line or time is looked for in a log": [log_pager.FIND_TIMEOUT_S],
    "a list of files ends with what it has found": [listing.TIME_LIMIT_S],
    "a Markdown file is rendered: in all, processor time": [
        markdown.RENDER_TIMEOUT_S,
        markdown.MAX_CPU_S,
    ],
    "connecting to the conductor": [connect.CONNECT_TIMEOUT_S],
    "a request to the conductor": [client.CALL_TIMEOUT_S],
    "the next attempt to subscribe": [1.0, monitor.MAX_RETRY_DELAY_S],
    "a connection whose request was not answered is closed": [client.PENDING_TIMEOUT_S],
    "a read of the registry, also with those before it": [
        reader_thread.READ_TIMEOUT_S,
        registry.QUEUE_TIMEOUT_S,
    ],
    "records are written within": [recorder.FLUSH_INTERVAL_S],
    "reading the history": [history_reader.READ_TIMEOUT_S],
    "records are kept": [default("history_max_age_s")],
    "a target answers": [delivery.SEND_TIMEOUT_S],
    "the next attempt to send": [delivery.FIRST_RETRY_S, delivery.MAX_RETRY_S],
    "a message is given up": [outbox.MAX_AGE_S],
    "`conductor_away` is told": [AWAY_AFTER_S],
    "connecting to Redis": [redis_client.CONNECT_TIMEOUT_S],
    "a command of Redis": [redis_client.RESPONSE_TIMEOUT_S],
    "a log is kept in Redis": [default("redis_log_ttl_s")],
    "streams end, spread over": [default("drain_timeout_s")],
    "clients take the rest of their streams": [stream_registry.DRAIN_FLUSH_TIMEOUT_S],
    "other requests end": [http_server.SHUTDOWN_TIMEOUT_S],
    "the history is closed": [recorder.CLOSE_TIMEOUT_S, database_thread.CLOSE_TIMEOUT_S],
    "a second SIGTERM cuts all connections after": [signals.FORCE_GRACE_S],
    "systemd kills a server that does not stop": [unit_time("TimeoutStopSec")],
    "systemd restarts a server that hangs": [unit_time("WatchdogSec")],
    "`marianne-stream health` fails": [health.TIMEOUT_S],
    "a command connects": [api_client.CONNECT_TIMEOUT_S],
    "a command waits for a response": [api_client.RESPONSE_TIMEOUT_S],
    "a command's stream has no data": [api_client.READ_TIMEOUT_S],
    "a command reconnects": [retry.RetryPolicy().reconnect_timeout_s],
}


def read_times() -> dict[str, list[float]]:
    """Return the times of the page by row, in seconds."""
    section = PAGE.read_text(encoding="utf-8").partition("## Timeouts\n")[2]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", section, re.MULTILINE)[2:]
    return {what: parse_times(text) for what, text in rows if text.strip()}


def parse_times(text: str) -> list[float]:
    """Return the times in a cell in seconds; "0.25 s to 8 s" has two."""
    found = re.findall(r"([\d.]+) (s|min|h|days?)\b", text)
    return [float(number) * UNITS[unit] for number, unit in found]


def test_every_time_is_that_of_the_code() -> None:
    stated = read_times()
    stalled = stated.pop("a sheet without a sign of life is stalled")
    assert stalled == [MIN_STALLED_AFTER_S, MAX_STALLED_AFTER_S]
    assert stated == TIMES
