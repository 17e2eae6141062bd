"""The ACL file of docs/how-to/more-than-one-machine.md: Redis starts with it."""

import re
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from tests.support.redis_acl import GUIDE, PASSWORD, PREFIX
from tests.support.redis_server import run_redis

SOURCE = "oak"


def acl_lines() -> list[str]:
    """Return the users of the guide, one a line as it has them, with its placeholders replaced."""
    blocks = re.findall(r"^```text\n(user .*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    text = "".join(blocks).replace("PREFIX", PREFIX).replace("PASSWORD", PASSWORD)
    return text.replace("relay-S", f"relay-{SOURCE}").replace("{S}", f"{{{SOURCE}}}").splitlines()


async def test_redis_starts_with_the_acl_file_of_the_guide(tmp_path: Path) -> None:
    (acl_file := tmp_path / "users.acl").write_text("\n".join(acl_lines()) + "\n")
    async with run_redis(tmp_path, options=("--aclfile", acl_file)) as redis:
        for user in (f"relay-{SOURCE}", "edge"):
            async with Redis(port=redis.port, username=user, password=PASSWORD) as client:
                ping: Any = client.ping()
                assert await ping
                with pytest.raises(NoPermissionError):
                    await client.flushall()
