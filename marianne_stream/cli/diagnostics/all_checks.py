"""Sequence of all checks, depending on the settings."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

from marianne_stream.cli.diagnostics import (
    auth_checks,
    backend_checks,
    conductor_checks,
    log_checks,
)
from marianne_stream.cli.diagnostics.conductor_checks import ConductorReport
from marianne_stream.cli.diagnostics.finding import Finding, pluralize
from marianne_stream.config.loading import is_readable_by_others
from marianne_stream.config.settings import Settings
from marianne_stream.errors import ConductorUnavailableError, MarianneStreamError, SettingsError
from marianne_stream.models import Roster
from marianne_stream.notify.notifications import open_targets
from marianne_stream.notify.rules import Rule, rules_by_name
from marianne_stream.relay.setup import load_with_redis, read_redis_password
from marianne_stream.wire.redis_urls import redact_url

# Takes the URL and the password.
RedisCheck = Callable[[str, str | None], Awaitable[None]]


async def run_checks(settings: Settings, config: Path | None) -> AsyncGenerator[Finding, None]:
    """Yield the finding of each check as soon as it is known. Cancelling is safe."""
    text = f"valid, with {config}" if config is not None else "valid, without a file"
    yield Finding("ok", "settings", text)
    if settings.state_backend != "redis":
        async for finding in check_sources(settings):
            yield finding
    own_token = settings.token_file is None and not settings.no_auth
    yield await asyncio.to_thread(
        auth_checks.check_data_dir, settings.data_dir, stores_token=own_token
    )
    yield await asyncio.to_thread(
        auth_checks.check_tokens,
        settings.token_file,
        settings.data_dir,
        no_auth=settings.no_auth,
    )
    if settings.auth_header_secret_file is not None:
        yield await asyncio.to_thread(
            auth_checks.check_proxy_secret, settings.auth_header_secret_file
        )
    for name, url in (("publish_url", settings.publish_url), ("redis_url", settings.redis_url)):
        if url is not None:
            yield await check_redis(name, url, settings)
    if settings.notifications:
        yield await asyncio.to_thread(check_notifications, settings.notifications, config)


async def check_sources(settings: Settings) -> AsyncGenerator[Finding, None]:
    """Yield the findings about backends and logs."""
    report: ConductorReport | None = None
    if settings.state_backend in ("auto", "conductor"):
        try:
            report = await conductor_checks.query_conductor(settings.conductor_socket)
            yield conductor_checks.report_finding(report, settings.conductor_socket)
        except ConductorUnavailableError as error:
            is_alone = settings.state_backend == "conductor"
            yield conductor_checks.error_finding(error, is_only_source=is_alone)
    roster: Roster | None = None
    if settings.state_backend in ("auto", "registry"):
        reported = report.config.state_db_path if report is not None else None
        finding, roster = await backend_checks.check_registry(
            settings.registry_path,
            reported,
            socket=settings.conductor_socket,
            is_only_source=report is None,
        )
        yield finding
    elif settings.state_backend == "json" and settings.checkpoint_dir is not None:
        finding, roster = await backend_checks.check_checkpoints(settings.checkpoint_dir)
        yield finding
    log = conductor_log_path(settings, report)
    log_finding = await asyncio.to_thread(log_checks.check_conductor_log, log)
    yield log_finding
    workspaces = job_workspaces(report, roster)
    has_log = log_finding.level == "ok"
    yield await asyncio.to_thread(log_checks.check_job_logs, workspaces, has_conductor_log=has_log)


def conductor_log_path(settings: Settings, report: ConductorReport | None) -> str | None:
    """Return the path of the conductor's log, or None if it is unknown."""
    if settings.conductor_log is not None:
        return str(settings.conductor_log)
    return report.config.log_file if report is not None else None


def job_workspaces(report: ConductorReport | None, roster: Roster | None) -> list[str | None]:
    """Return the workspace of each job, from the conductor if it answered."""
    if report is not None:
        return [job.workspace for job in report.jobs]
    entries = roster.entries.values() if roster is not None else ()
    return [entry.workspace for entry in entries]


async def check_redis(name: str, url: str, settings: Settings) -> Finding:
    """Check that the Redis of a setting answers."""
    try:
        check_reachable: RedisCheck = load_with_redis("redis_client", "check_reachable")
        await check_reachable(url, read_redis_password(settings.redis_password_file))
    except MarianneStreamError as error:
        advice = f"start Redis, or correct {name} and its password"
        return Finding("error", name, str(error), advice)
    return Finding("ok", name, f"{redact_url(url)} answers")


def check_notifications(rules: Sequence[Rule], config: Path | None) -> Finding:
    """Check the targets of the rules, and who may read them. Sends nothing, and blocks."""
    try:
        targets = open_targets(rules_by_name(rules))
    except SettingsError as error:
        return Finding("error", "notifications", str(error), "correct the rule")
    if config is not None and is_readable_by_others(config):
        text = f"others may read {config}, whose targets hold passwords"
        return Finding("warning", "notifications", text, f"chmod 600 {config}")
    text = f"{pluralize(len(rules), 'rule')}, {pluralize(len(targets), 'target')}"
    return Finding("ok", "notifications", text)
