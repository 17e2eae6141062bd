"""Redis with TLS, Valkey, and a primary with a replica and a Sentinel, on loopback."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.support.external import require_valkey
from tests.support.redis_server import RedisServer, run_redis
from tests.support.waiting import wait_for_value

# The service name of the Sentinel.
SENTINEL_SERVICE = "marianne"

PASSWORD = "as-Secret,as:can/be"

# A server is considered down after this many milliseconds.
DOWN_AFTER_MS = 300


@dataclass(frozen=True, slots=True)
class RedisDeployment:
    """One or more servers that act as one Redis.

    Attributes:
        url: the URL for a relay.
        servers: all servers with data.
        replica: the server that is promoted on failure.
        sentinel: the Sentinel, or None.
        password: the password, or empty.
    """

    url: str
    servers: tuple[RedisServer, ...]
    replica: RedisServer
    sentinel: RedisServer | None = None
    password: str = ""

    @property
    def primary(self) -> RedisServer:
        """Return the initial primary."""
        return self.servers[0]


@asynccontextmanager
async def run_tls_redis(folder: Path) -> AsyncIterator[RedisDeployment]:
    """Run a server that accepts only TLS and requires a password."""
    folder.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    own = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    own.write_to_path(str(folder / "own.pem"))
    options = (
        *("--tls-cert-file", folder / "own.pem", "--tls-key-file", folder / "own.pem"),
        *("--tls-ca-cert-file", folder / "ca.pem", "--tls-auth-clients", "no"),
        *("--requirepass", PASSWORD),
    )
    tls = {"host": "127.0.0.1", "ssl": True, "ssl_ca_certs": str(folder / "ca.pem")}
    async with run_redis(
        folder, options=options, client_options=tls | {"password": PASSWORD}
    ) as server:
        url = f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={folder}/ca.pem"
        yield RedisDeployment(url, (server,), server, password=PASSWORD)


@asynccontextmanager
async def run_valkey(folder: Path) -> AsyncIterator[RedisDeployment]:
    """Run Valkey."""
    async with run_redis(folder, command=require_valkey()) as server:
        assert "valkey_version" in await server.call("INFO", "server")
        yield RedisDeployment(server.url, (server,), server)


@asynccontextmanager
async def run_sentinel(folder: Path) -> AsyncIterator[RedisDeployment]:
    """Run a primary, its replica, and a Sentinel that fails over to it."""
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(run_redis(folder / "primary"))
        replica = await stack.enter_async_context(
            run_redis(folder / "replica", options=("--replicaof", "127.0.0.1", primary.port))
        )
        await wait_for_value(lambda: primary.call("WAIT", 1, 100), lambda count: count == 1)
        config = folder / "sentinel.conf"
        config.write_text(
            f"sentinel monitor {SENTINEL_SERVICE} 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds {SENTINEL_SERVICE} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SENTINEL_SERVICE} 2000\n"
        )
        sentinel = await stack.enter_async_context(
            run_redis(folder / "sentinel", config=config, options=("--sentinel",))
        )
        # The Sentinel learns of replicas from their primary.
        await wait_for_value(
            lambda: sentinel.call("SENTINEL", "REPLICAS", SENTINEL_SERVICE),
            lambda replicas: replicas,
        )
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/{SENTINEL_SERVICE}"
        yield RedisDeployment(url, (primary, replica), replica, sentinel)
