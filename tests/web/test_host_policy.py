"""Host names, security headers and CORS."""

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.web.host_policy import parse_host_name
from marianne_stream.web.proxy_headers import parse_ip
from tests.web.conftest import BEARER, Start, read_error_code


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8765", 200),
        ("a.localhost.", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8765", 200),
        ("watch.example.org", 200),
        ("a.below.example.org:443", 200),
        ("example.org", 421),
        ("attacker.example", 421),
        ("localhost.attacker.example", 421),
        ("below.example.org", 421),
        ("not a host", 421),
    ],
)
async def test_unknown_host_is_rejected(start: Start, host: str, status: int) -> None:
    client = await start(allowed_hosts=("watch.example.org", "*.below.example.org"))
    async with client.get("/health", headers={"Host": host}) as response:
        assert response.status == status


async def test_long_host_and_address_are_not_cached(start: Start) -> None:
    client = await start(trusted_proxies=("127.0.0.1",))
    before = parse_host_name.cache_info().currsize, parse_ip.cache_info().currsize
    for number in range(20):
        name = f"{number}".ljust(300, "a")
        headers = {"Host": f"{name}.localhost", "X-Forwarded-For": name}
        async with client.get("/health", headers=headers) as response:
            assert await read_error_code(response) == (421, "host_not_allowed")
    after = parse_host_name.cache_info().currsize, parse_ip.cache_info().currsize
    assert after[0] == before[0]
    # The client's own address.
    assert after[1] - before[1] <= 1


async def test_every_response_has_security_headers(
    start: Start, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 1)
    client = await start()
    paths = ("/api/jobs", "/health", "/none", "/login", "/api/roster/stream")
    for path in paths:
        async with client.get(path, headers=BEARER) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff", path
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_cors_allows_configured_origins_only(start: Start) -> None:
    client = await start(cors_origins=("https://grafana.example.org",))
    asks = {"Access-Control-Request-Method": "GET"}
    for origin, allowed in (("https://grafana.example.org", True), ("https://a.example", False)):
        head = {"Origin": origin}
        async with client.options("/api/jobs", headers={**asks, **head}) as response:
            assert (response.status == 204) == allowed
        async with client.get("/api/jobs", headers={**BEARER, **head}) as response:
            shown = response.headers.get("Access-Control-Allow-Origin")
            assert shown == (origin if allowed else None)
            assert "Access-Control-Allow-Credentials" not in response.headers
            assert "Origin" in response.headers["Vary"]
