"""What the handlers find in their application."""

from collections.abc import Callable

from aiohttp import web

from marianne_stream.feeds.job_logs import LogLocator
from marianne_stream.feeds.log_streams import LogFeedProvider
from marianne_stream.jobs.watches import JobHub
from marianne_stream.web.downloads import Downloads
from marianne_stream.web.metrics import Metrics
from marianne_stream.web.stream import Streams

WATCHES = web.AppKey("WATCHES", JobHub)
METRICS = web.AppKey("METRICS", Metrics)
STREAMS = web.AppKey("STREAMS", Streams)
OPENAPI = web.AppKey("OPENAPI", bytes)
JOB_LOGS: web.AppKey[LogLocator] = web.AppKey("JOB_LOGS")
LOG_STREAMS: web.AppKey[LogFeedProvider] = web.AppKey("LOG_STREAMS")
# Sentences about what is not served although the rest is.
NOT_SERVED: web.AppKey[Callable[[], list[str]]] = web.AppKey("NOT_SERVED")
DOWNLOADS = web.AppKey("DOWNLOADS", Downloads)
DOWNLOAD_LIMIT_BYTES = web.AppKey("DOWNLOAD_LIMIT_BYTES", int)
