# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole or not at all, digests of them, and text that a terminal shows as it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xxhash

_CHUNK = 1 << 20


def unfinished_path(path: str | os.PathLike) -> Path:
    """Returns where `path` is written before it is whole: beside it, under a name that nothing else has."""
    path = Path(path)
    return path.with_name(f".{path.name}-unfinished")


@contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """
    Yields the path of a file to write beside `path`. It takes the place of `path` once it is on the disk; where
    writing it failed, nothing of it is left, and what was at `path` stays.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(path)
    beside = unfinished_path(path)
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all. Raises OSError where it cannot be written."""
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def digest(path: str | os.PathLike) -> str:
    """Returns a digest of all that is in a file: XXH3 of 128 bits, which shows damage, not forgery."""
    found = xxhash.xxh3_128()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def printable(text: str) -> str:
    """Returns a text without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else "�" for character in text)
