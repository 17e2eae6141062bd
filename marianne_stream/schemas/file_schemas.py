"""Response of the list of a job's files."""

from typing import Literal

from pydantic import Field

from marianne_stream.schemas.payload import IsoTime, Payload


class FileEntry(Payload):
    """A file, or a folder whose content is not listed."""

    path: str = Field(description=r"Path below the workspace; a byte that is not UTF-8 is `\xff`.")
    url_path: str = Field(description="The path percent-encoded, for the addresses of the file.")
    kind: Literal["folder", "text", "markdown", "json", "image", "other"] = Field(
        description="Kind by the ending of the name; folder: its content is not listed."
    )
    size_bytes: int | None = Field(description="Size; null for a folder.")
    modified_at: IsoTime = Field(description="Time of the last change, ISO 8601.")
    sheets: list[int] = Field(
        description="Numbers of the sheets of the current run that were at work then, at most 20."
    )


class FileListData(Payload):
    """Response of `GET /api/jobs/{job_id}/files`."""

    job_id: str
    entries: list[FileEntry]
    truncated: bool = Field(
        description="Whether there are more: the list ends at a limit of entries, paths or time."
    )
