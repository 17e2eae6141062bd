"""Pure bytes and values: no asyncio, no sockets, no aiohttp."""
