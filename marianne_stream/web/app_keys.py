"""Keys of the components that handlers find in their application."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from marianne_stream.auth.authenticator import Authenticator
from marianne_stream.feeds.log_feeds import LogFeedProvider
from marianne_stream.feeds.log_locator import LogLocator
from marianne_stream.files.workspaces import Workspaces
from marianne_stream.history.history import History
from marianne_stream.jobs.hub import JobHub
from marianne_stream.web.limits import DownloadLimiter
from marianne_stream.web.metrics import Metrics
from marianne_stream.web.stream_registry import StreamRegistry

# None if no token is required.
AUTHENTICATOR: web.AppKey[Authenticator | None] = web.AppKey("AUTHENTICATOR")
DOWNLOAD_LIMITER = web.AppKey("DOWNLOAD_LIMITER", DownloadLimiter)
HISTORY: web.AppKey[History | None] = web.AppKey("HISTORY")
# Returns the history that has a job, or all jobs for None; raises HistoryUnavailableError.
FIND_HISTORY: web.AppKey[Callable[[str | None], History]] = web.AppKey("FIND_HISTORY")
JOB_HUB = web.AppKey("JOB_HUB", JobHub)
LOG_FEEDS: web.AppKey[LogFeedProvider] = web.AppKey("LOG_FEEDS")
LOG_LOCATOR: web.AppKey[LogLocator] = web.AppKey("LOG_LOCATOR")
MAX_DOWNLOAD_BYTES = web.AppKey("MAX_DOWNLOAD_BYTES", int)
METRICS = web.AppKey("METRICS", Metrics)
# Returns sentences about what is not served although the rest is.
NOT_SERVED: web.AppKey[Callable[[], list[str]]] = web.AppKey("NOT_SERVED")
# Returns the OpenAPI document.
OPENAPI: web.AppKey[Callable[[], Awaitable[bytes]]] = web.AppKey("OPENAPI")
# Names of an edge's sources, if there are several.
SOURCE_NAMES: web.AppKey[tuple[str, ...]] = web.AppKey("SOURCE_NAMES")
# None if the settings turn files off.
WORKSPACES: web.AppKey[Workspaces | None] = web.AppKey("WORKSPACES")
STREAM_REGISTRY = web.AppKey("STREAM_REGISTRY", StreamRegistry)
