"""What the handlers find in their application."""

from aiohttp import web

from marianne_stream.jobs.watches import Watches
from marianne_stream.web.stream import Streams

WATCHES = web.AppKey("WATCHES", Watches)
STREAMS = web.AppKey("STREAMS", Streams)
OPENAPI = web.AppKey("OPENAPI", bytes)
