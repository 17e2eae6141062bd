"""What the handlers find in their application."""

from aiohttp import web

from marianne_stream.feeds.followed import FollowedLogs
from marianne_stream.feeds.job_logs import JobLogs
from marianne_stream.jobs.watches import Watches
from marianne_stream.web.downloads import Downloads
from marianne_stream.web.metrics import Metrics
from marianne_stream.web.stream import Streams

WATCHES = web.AppKey("WATCHES", Watches)
METRICS = web.AppKey("METRICS", Metrics)
STREAMS = web.AppKey("STREAMS", Streams)
OPENAPI = web.AppKey("OPENAPI", bytes)
JOB_LOGS = web.AppKey("JOB_LOGS", JobLogs)
FOLLOWED_LOGS = web.AppKey("FOLLOWED_LOGS", FollowedLogs)
DOWNLOADS = web.AppKey("DOWNLOADS", Downloads)
DOWNLOAD_LIMIT_BYTES = web.AppKey("DOWNLOAD_LIMIT_BYTES", int)
