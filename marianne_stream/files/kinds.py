"""Kinds of files by the endings of their names, and the media types under which they are sent."""

from os.path import splitext
from typing import Literal

FileKind = Literal["folder", "text", "markdown", "json", "image", "other"]

TEXT_TYPE = "text/plain"
BINARY_TYPE = "application/octet-stream"

# Pictures that can hold no script, as SVG can.
IMAGE_TYPES = {
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}

# All other endings are text: most files of a job are, and many have endings of their own or none.
BINARY_ENDINGS = frozenset(
    """
    .7z .a .bin .bmp .bz2 .class .dat .db .dll .dmg .doc .docx .dylib .eot .exe .flac .gz .h5 .ico
    .iso .jar .mkv .mov .mp3 .mp4 .npy .npz .o .odp .ods .odt .ogg .onnx .otf .parquet .pdf .pickle
    .pkl .ppt .pptx .pt .pyc .rar .safetensors .so .sqlite .sqlite3 .tar .tgz .tif .tiff .ttf .wasm
    .wav .webm .whl .woff .woff2 .xls .xlsx .xz .zip .zst
    """.split()  # noqa: SIM905 - a list would take a line for each
)


def find_ending(name: str) -> str:
    """Return the last dot of a name and what is behind it, in lower case; "" without a dot."""
    return splitext(name)[1].lower()  # noqa: PTH122 - a list has 20,000, a Path is much slower


def find_kind(name: str) -> FileKind:
    """Return the kind of a file with a name."""
    ending = find_ending(name)
    if ending in (".md", ".markdown"):
        return "markdown"
    if ending == ".json":
        return "json"
    if ending in IMAGE_TYPES:
        return "image"
    return "other" if ending in BINARY_ENDINGS else "text"


def find_media_type(name: str) -> str:
    """Return the media type of a file with a name; nothing that a browser would execute."""
    kind = find_kind(name)
    if kind == "image":
        return IMAGE_TYPES[find_ending(name)]
    return BINARY_TYPE if kind == "other" else TEXT_TYPE
