"""`conductor`: version, load and limits of the conductor, and the jobs that wait."""

from typing import Any

import msgspec
from rich.text import Text

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import ConductorBody, RateLimitBody
from marianne_stream.client.facts import format_moment, format_wait, plain, print_facts
from marianne_stream.client.output import Output


async def print_conductor(client: ApiClient, output: Output, *, as_json: bool) -> int:
    """Print what the conductor tells of itself, and the jobs that wait; return the exit code.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    body = await client.get_json_with_retry("/api/conductor", {}, dict[str, Any])
    if as_json:
        output.write_objects([body])
        return 0
    facts = conductor_facts(msgspec.convert(body, ConductorBody))
    if not facts:
        client.reporter.report("the conductor tells nothing of itself")
    print_facts(output, facts)
    return 0


def conductor_facts(conductor: ConductorBody) -> list[tuple[str, Text]]:
    """Return the names and values of what is known of a conductor."""
    limits = conductor.limits
    facts = [
        ("version", plain(conductor.version)),
        ("started", plain(format_moment(conductor.started_at))),
        ("running jobs", plain(format_limited(conductor.running_jobs, limits.max_concurrent_jobs))),
        ("sheets at once", plain(format_count(limits.max_concurrent_sheets))),
        ("connections", plain(format_count(limits.connections))),
        ("pressure", plain(conductor.pressure_level)),
        ("memory", plain(format_memory(conductor))),
        ("load", plain(" ".join(f"{value:.2f}" for value in conductor.load_averages))),
    ]
    if conductor.shutting_down:
        facts.append(("state", plain("is shutting down", "fault")))
    elif conductor.accepting_work is False:
        facts.append(("state", plain("starts no new jobs", "fault")))
    facts += [("rate limit", plain(format_rate_limit(limit))) for limit in conductor.rate_limits]
    facts += [
        ("waits", plain(f"{job.job_id}: {format_wait(job.waiting, None)}"))
        for job in conductor.waiting
    ]
    return [(name, value) for name, value in facts if value.plain]


def format_rate_limit(limit: RateLimitBody) -> str:
    """Format the instrument of a rate limit, and its end if that is known."""
    until = format_moment(limit.until)
    return f"{limit.instrument}, until {until}" if until else limit.instrument


def format_count(value: int | None) -> str:
    """Format a count; "" if it is unknown."""
    return "" if value is None else str(value)


def format_limited(value: int | None, limit: int | None) -> str:
    """Format a count and its limit, as far as they are known."""
    if value is None:
        return ""
    if limit is None:
        return str(value)
    # A conductor may count jobs that wait for a place.
    return f"{value} of at most {limit}" if value < limit else f"{value}, all {limit} places in use"


def format_memory(conductor: ConductorBody) -> str:
    """Format the memory of the conductor, and that of its host; "" if it is unknown."""
    parts = []
    if conductor.memory_mb is not None:
        parts.append(f"{conductor.memory_mb:,.0f} MiB")
    if conductor.host_memory_available_mb is not None:
        parts.append(f"{conductor.host_memory_available_mb:,.0f} MiB free on the host")
    return ", ".join(parts)
