"""Base class of all payloads, and fields that several have."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


def is_empty(value: object) -> bool:
    """Return whether a list is left out of the JSON."""
    return value == ()


def is_zero(value: object) -> bool:
    """Return whether a number is left out of the JSON."""
    return value == 0


class Payload(BaseModel):
    """Base class: frozen, without undocumented fields."""

    # A schema is compiled when it is first used: all of them would take 20 ms at each start.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def json_bytes(self) -> bytes:
        """Return the model as one line of UTF-8 JSON."""
        return self.model_dump_json().encode()


IsoTime = Annotated[str | None, Field(description="ISO 8601.")]
