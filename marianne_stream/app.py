"""Application of a server: its components, what handlers need of them, and the shutdown."""

import asyncio

from aiohttp import web

from marianne_stream.components import Components
from marianne_stream.config.settings import Settings
from marianne_stream.history.history import make_history_finder
from marianne_stream.server.tasks import TaskSupervisor
from marianne_stream.web import app_keys, openapi
from marianne_stream.web.auth_middleware import AuthMiddleware
from marianne_stream.web.frontend import add_frontend
from marianne_stream.web.host_policy import Cors, TrustedHosts, add_security_headers
from marianne_stream.web.http_server import LimitedAppRunner
from marianne_stream.web.limits import ClientLimiter
from marianne_stream.web.middleware import (
    add_response_headers,
    errors_as_json,
    make_request_context,
    reject_while_draining,
)
from marianne_stream.web.params import JOB_ID_RESOLVER
from marianne_stream.web.proxy_headers import TrustedProxies
from marianne_stream.web.root_path import ROOT_PATH
from marianne_stream.web.routes import add_routes

TASKS = web.AppKey("TASKS", TaskSupervisor)

# The login form is the only request with a body.
MAX_FORM_BYTES = 16 * 1024
FORM_TIMEOUT_S = 10.0

# Allowance for connections that carry no stream: in total, and for each address.
NON_STREAM_CONNECTIONS = 128


def create_app(settings: Settings) -> web.Application:
    """Build the application of a server.

    `app[TASKS].failed` is set when a background task has failed: the process should then end.

    Raises:
        SettingsError: a component cannot be built from these settings.
    """
    components = Components(settings)
    cors = Cors(settings.cors_origins)
    optional_paths = {"/ready": settings.public_ready, "/metrics": settings.public_metrics}
    auth = AuthMiddleware(
        components.authenticator,
        trusted_hosts=TrustedHosts(settings.allowed_hosts),
        cors=cors,
        proxies=TrustedProxies(settings.trusted_proxies),
        sign_on=components.sign_on,
        public_paths=[path for path, is_public in optional_paths.items() if is_public],
    )
    app = web.Application(
        middlewares=[
            make_request_context(components.metrics),
            errors_as_json,
            auth.check,
            reject_while_draining,
        ],
        client_max_size=MAX_FORM_BYTES,
    )
    app.on_response_prepare.extend((add_security_headers, cors.add_headers, add_response_headers))
    set_app_keys(app, components, settings)
    add_routes(app.router)
    add_frontend(
        app,
        auth,
        root_path=settings.root_path,
        session_max_age_s=settings.session_max_age_s,
        form_timeout_s=min(FORM_TIMEOUT_S, settings.idle_timeout_s),
        sign_out_url=settings.auth_sign_out_url or "",
    )
    app.cleanup_ctx.append(components.lifespan)
    app.on_shutdown.append(components.close_streams)
    return app


def set_app_keys(app: web.Application, components: Components, settings: Settings) -> None:
    """Store what the handlers need in the application."""
    edge = components.edge
    app[app_keys.AUTHENTICATOR] = components.authenticator
    app[app_keys.DOWNLOAD_LIMITER] = components.download_limiter
    app[app_keys.HISTORY] = components.history
    app[app_keys.FIND_HISTORY] = make_history_finder(components.history, edge)
    app[app_keys.JOB_HUB] = components.job_hub
    app[JOB_ID_RESOLVER] = edge.public_job_id if edge is not None else str
    app[app_keys.LOG_FEEDS] = components.log_feeds
    app[app_keys.LOG_LOCATOR] = components.log_locator
    app[app_keys.MAX_DOWNLOAD_BYTES] = settings.max_download_bytes
    app[app_keys.METRICS] = components.metrics
    app[app_keys.NOT_SERVED] = edge.version_mismatches if edge is not None else list
    app[app_keys.OPENAPI] = lambda: openapi.load_openapi_document(settings.root_path)
    app[ROOT_PATH] = settings.root_path
    app[app_keys.SOURCE_NAMES] = edge.public_names if edge is not None else ()
    app[app_keys.STREAM_REGISTRY] = components.stream_registry
    app[app_keys.WORKSPACES] = components.workspaces
    app[TASKS] = components.tasks


def make_runner(app: web.Application, settings: Settings) -> LimitedAppRunner:
    """Return a runner of the application, with the connection limits of the settings."""
    limiter = ClientLimiter(
        settings.max_streams + NON_STREAM_CONNECTIONS,
        settings.max_streams_per_address + NON_STREAM_CONNECTIONS,
    )
    return LimitedAppRunner(
        app,
        limiter,
        is_exempt=TrustedProxies(settings.trusted_proxies).is_trusted,
        idle_timeout_s=settings.idle_timeout_s,
        max_header_bytes=settings.max_header_bytes,
    )


async def shutdown(app: web.Application, *, drain_timeout_s: float, force: asyncio.Event) -> None:
    """Close the conductor's connections and the history, then drain the streams.

    The sockets no longer listen, and another process may record from now on. The streams end over
    `drain_timeout_s`, so that their clients do not reconnect all at once. If `force` is set, the
    remaining streams end at once.
    """
    stream_registry, tasks = app[app_keys.STREAM_REGISTRY], app[TASKS]
    stream_registry.begin_drain(drain_timeout_s)
    app[app_keys.JOB_HUB].begin_shutdown()
    # The relay's goodbye comes first: edges then report that the origin is gone.
    await tasks.cancel("relay")
    await tasks.cancel("notifications", "conductor", "jobs", "history")
    if (history := app[app_keys.HISTORY]) is not None:
        await history.close()
    await stream_registry.drain(force)


def abort(app: web.Application, runner: LimitedAppRunner) -> None:
    """Abort all streams and connections at once; unsent data is lost."""
    app[app_keys.STREAM_REGISTRY].abort_all()
    runner.abort()


def status_line(app: web.Application) -> str:
    """Return a summary of the server's activity in one line."""
    streams, job_hub = app[app_keys.STREAM_REGISTRY], app[app_keys.JOB_HUB]
    if streams.is_draining:
        return f"draining; {len(streams)} streams still open"
    return (
        f"{len(streams)} streams open; {job_hub.watched_job_count} jobs watched; "
        f"conductor events {'live' if job_hub.events.is_live else 'not live'}"
    )
