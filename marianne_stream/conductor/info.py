"""Information about the conductor, from several of its methods in one visit.

It is only shown, so nothing here is required: a method or field that an older conductor lacks, or
that has an unexpected shape, is left out.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import msgspec

from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.conductor.client import ConductorClient
from marianne_stream.conductor.daemon_config import ABSENT, DaemonConfig, DaemonConfigCache
from marianne_stream.conductor_models import ConductorInfo, ConductorLimits, RateLimit
from marianne_stream.errors import ConductorProtocolError, ConductorRpcError
from marianne_stream.value_limits import MAX_COUNT, MAX_LABEL_CHARS, MAX_RATE_LIMITS
from marianne_stream.wire import json_text

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A larger answer is left out: decoding 256 KiB of rate limits takes 20 ms.
MAX_ANSWER_BYTES = 128 * 1024

# Rate limits are published to Redis, in a value of at most 8 KiB.
MAX_INSTRUMENT_BYTES = 80
MAX_RATE_LIMIT_S = 366 * 86_400.0

# Times are computed from durations that the conductor rounds; a difference up to this is none.
SAME_TIME_S = 2.0


class StatusResult(msgspec.Struct, frozen=True):
    """The fields of `daemon.status`."""

    version: msgspec.Raw = ABSENT
    uptime_seconds: msgspec.Raw = ABSENT
    running_jobs: msgspec.Raw = ABSENT
    memory_usage_mb: msgspec.Raw = ABSENT


class ReadyResult(msgspec.Struct, frozen=True):
    """The fields of `daemon.ready`."""

    accepting_work: msgspec.Raw = ABSENT
    shutting_down: msgspec.Raw = ABSENT


class TopResult(msgspec.Struct, frozen=True):
    """The fields of `daemon.top`."""

    system_memory_total_mb: msgspec.Raw = ABSENT
    system_memory_available_mb: msgspec.Raw = ABSENT
    load_avg_1: msgspec.Raw = ABSENT
    load_avg_5: msgspec.Raw = ABSENT
    load_avg_15: msgspec.Raw = ABSENT
    pressure_level: msgspec.Raw = ABSENT


class RateLimitsResult(msgspec.Struct, frozen=True):
    """The fields of `daemon.rate_limits`."""

    backends: msgspec.Raw = ABSENT


class BackendLimit(msgspec.Struct, frozen=True):
    """The rate limit of one instrument."""

    seconds_remaining: float


class InfoReader:
    """Reads information about the conductor.

    Args:
        client: client of the conductor.
        daemon_config: its configuration, which has the limits.
    """

    def __init__(self, client: ConductorClient, daemon_config: DaemonConfigCache) -> None:
        self._client = client
        self._daemon_config = daemon_config
        self._last = ConductorInfo()
        # By method or field.
        self._warnings: defaultdict[str, WarnOnce] = defaultdict(
            lambda: WarnOnce(logger, logging.INFO)
        )

    async def read(self) -> ConductorInfo:
        """Ask all methods in one visit.

        Raises:
            ConductorUnavailableError: the conductor could not be asked.
        """
        # Concurrent requests share a connection.
        status, ready, top, rate_limits, _ = await asyncio.gather(
            self._call("daemon.status", StatusResult),
            self._call("daemon.ready", ReadyResult),
            self._call("daemon.top", TopResult),
            self._call("daemon.rate_limits", RateLimitsResult),
            self._daemon_config.refresh(),
        )
        field = self._read_field
        info = ConductorInfo(
            version=field("version", to_text, status.version),
            started_at=field("uptime_seconds", to_past, status.uptime_seconds),
            shutting_down=field("shutting_down", to_flag, ready.shutting_down),
            accepting_work=field("accepting_work", to_flag, ready.accepting_work),
            running_jobs=field("running_jobs", to_count, status.running_jobs),
            limits=self._read_limits(),
            pressure_level=field("pressure_level", to_text, top.pressure_level),
            rate_limits=field("backends", to_rate_limits, rate_limits.backends),
            memory_mb=field("memory_usage_mb", to_size, status.memory_usage_mb),
            host_memory_total_mb=field(
                "system_memory_total_mb", to_size, top.system_memory_total_mb
            ),
            host_memory_available_mb=field(
                "system_memory_available_mb", to_size, top.system_memory_available_mb
            ),
            load_averages=self._read_load_averages(top),
        )
        self._last = keep_times(info, self._last)
        return self._last

    def _read_limits(self) -> ConductorLimits | None:
        """Return the limits of the configuration; None if it has none."""
        config = self._daemon_config.value or DaemonConfig()
        socket = self._read_field("socket", to_object, config.socket) or {}
        field = self._read_field
        limits = ConductorLimits(
            connections=field("backlog", to_count, socket.get("backlog", ABSENT)),
            max_concurrent_jobs=field("max_concurrent_jobs", to_count, config.max_concurrent_jobs),
            max_concurrent_sheets=field(
                "max_concurrent_sheets", to_count, config.max_concurrent_sheets
            ),
        )
        return limits if limits != ConductorLimits() else None

    def _read_load_averages(self, top: TopResult) -> tuple[float, float, float] | None:
        """Return the load averages; None unless all are known. An idle host has zeros."""
        one = self._read_field("load_avg_1", to_amount, top.load_avg_1)
        five = self._read_field("load_avg_5", to_amount, top.load_avg_5)
        fifteen = self._read_field("load_avg_15", to_amount, top.load_avg_15)
        if one is None or five is None or fifteen is None:
            return None
        return one, five, fifteen

    def _read_field(
        self, name: str, convert: Callable[[msgspec.Raw], T | None], raw: msgspec.Raw
    ) -> T | None:
        """Return the value of a field; None if it is missing or cannot be used."""
        if raw == ABSENT:
            return None
        try:
            value = convert(raw)
        except ValueError as error:
            self._warnings[name].warn("conductor info left out field=%s error=%s", name, error)
            return None
        self._warnings[name].recover()
        return value

    async def _call(self, method: str, result_type: type[T]) -> T:
        """Return the result of a method, without fields if it cannot be used."""
        warning = self._warnings[method]
        try:
            answer = (await self._client.call(method, None, msgspec.Raw)).result
            result = decode_answer(answer, result_type)
        except (ConductorRpcError, ConductorProtocolError, ValueError) as error:
            # An older conductor lacks the method.
            warning.warn("conductor info left out method=%s error=%s", method, error)
            return result_type()
        warning.recover()
        return result


def decode_answer(answer: msgspec.Raw, result_type: type[T]) -> T:
    """Decode an answer; raise ValueError if it is too large or of another shape."""
    if (size_bytes := len(memoryview(answer))) > MAX_ANSWER_BYTES:
        raise ValueError(f"got {size_bytes} bytes, at most {MAX_ANSWER_BYTES} are read")
    return json_text.decode(answer, result_type)


def keep_times(info: ConductorInfo, last: ConductorInfo) -> ConductorInfo:
    """Return a value with the times of the last one, if they are the same but for rounding."""
    started_at = info.started_at
    if is_close(started_at, last.started_at):
        started_at = last.started_at
    known = {limit.instrument: limit for limit in last.rate_limits or ()}
    rate_limits = info.rate_limits and tuple(
        known[limit.instrument]
        if limit.instrument in known and is_close(limit.until, known[limit.instrument].until)
        else limit
        for limit in info.rate_limits
    )
    return replace(info, started_at=started_at, rate_limits=rate_limits)


def is_close(one: float | None, other: float | None) -> bool:
    """Return whether two computed times are the same but for rounding."""
    return one is not None and other is not None and abs(one - other) <= SAME_TIME_S


def to_rate_limits(raw: msgspec.Raw) -> tuple[RateLimit, ...]:
    """Return the rate limits that are in force, by instrument, without invalid ones."""
    now = time.time()
    found = []
    for instrument, value in sorted(to_object(raw).items()):
        try:
            left_s = json_text.decode(value, BackendLimit).seconds_remaining
        except ValueError:
            continue
        if is_instrument(instrument) and 0 < left_s <= MAX_RATE_LIMIT_S:
            found.append(RateLimit(instrument, round(now + left_s, 3)))
    return tuple(found[:MAX_RATE_LIMITS])


def is_instrument(name: str) -> bool:
    """Return whether a text can be the name of an instrument."""
    return name.isprintable() and 0 < len(name.encode()) <= MAX_INSTRUMENT_BYTES


def to_object(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return the fields of an object; raise ValueError for anything else."""
    return json_text.decode(raw, dict[str, msgspec.Raw])


def to_text(raw: msgspec.Raw) -> str:
    """Return a short text; raise ValueError for anything else."""
    text = json_text.decode(raw, str)
    if not 0 < len(text) <= MAX_LABEL_CHARS or not text.isprintable():
        raise ValueError(f"not a text of 1 to {MAX_LABEL_CHARS} printable characters")
    return text


def to_flag(raw: msgspec.Raw) -> bool:
    """Return a flag; raise ValueError for anything else."""
    return json_text.decode(raw, bool)


def to_count(raw: msgspec.Raw) -> int:
    """Return a count; raise ValueError for anything else."""
    count = json_text.decode(raw, int)
    if not 0 <= count <= MAX_COUNT:
        raise ValueError(f"not a count from 0 to {MAX_COUNT}")
    return count


def to_amount(raw: msgspec.Raw) -> float:
    """Return a number from 0 on; raise ValueError for anything else."""
    amount = json_text.decode(raw, float)
    if not 0 <= amount <= MAX_COUNT:
        raise ValueError(f"not an amount from 0 to {MAX_COUNT}")
    return amount


def to_size(raw: msgspec.Raw) -> float | None:
    """Return a size, or None for 0, which means that it was not measured."""
    return to_amount(raw) or None


def to_past(raw: msgspec.Raw) -> float:
    """Convert a duration until now to the time of its beginning, in epoch seconds."""
    duration_s, now = to_amount(raw), time.time()
    if duration_s >= now:
        raise ValueError("the time is before 1970")
    return round(now - duration_s, 3)
