"""Redis ACL users of a relay and an edge as documented, as arguments of ACL SETUSER."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference" / "relay.md"
GUIDE = DOCS / "how-to" / "more-than-one-machine.md"

# The prefix of all keys, and the password of both users.
PREFIX, PASSWORD = "marianne-stream", "secret"


def relay_acl(source: str) -> list[str]:
    """Return the user `relay-SOURCE`."""
    text = read_acl_user(REFERENCE, "relay-S")
    return fill_placeholders(
        text.replace("{S}", f"{{{source}}}").replace("relay-S", f"relay-{source}")
    )


def edge_acl() -> list[str]:
    """Return the user `edge`."""
    return fill_placeholders(read_acl_user(GUIDE, "edge"))


def read_acl_user(document: Path, name: str) -> str:
    """Return the definition of a user in a document."""
    found = re.search(rf"```(?:text)?\nuser ({name} .*?)\n```", document.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def fill_placeholders(text: str) -> list[str]:
    """Split a definition into words and fill its placeholders."""
    return text.replace("PREFIX", PREFIX).replace(">PASSWORD", f">{PASSWORD}").split()
