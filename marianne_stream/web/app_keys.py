"""What the handlers find in their application."""

from collections.abc import Callable

from aiohttp import web

from marianne_stream.feeds.log_feeds import LogFeedProvider
from marianne_stream.feeds.log_locator import LogLocator
from marianne_stream.jobs.hub import JobHub
from marianne_stream.web.download_limiter import DownloadLimiter
from marianne_stream.web.metrics import Metrics
from marianne_stream.web.stream_registry import StreamRegistry

JOB_HUB = web.AppKey("WATCHES", JobHub)
METRICS = web.AppKey("METRICS", Metrics)
STREAM_REGISTRY = web.AppKey("STREAMS", StreamRegistry)
OPENAPI = web.AppKey("OPENAPI", bytes)
LOG_LOCATOR: web.AppKey[LogLocator] = web.AppKey("JOB_LOGS")
LOG_FEEDS: web.AppKey[LogFeedProvider] = web.AppKey("LOG_STREAMS")
# Sentences about what is not served although the rest is.
NOT_SERVED: web.AppKey[Callable[[], list[str]]] = web.AppKey("NOT_SERVED")
DOWNLOAD_LIMITER = web.AppKey("DOWNLOADS", DownloadLimiter)
MAX_DOWNLOAD_BYTES = web.AppKey("DOWNLOAD_LIMIT_BYTES", int)
