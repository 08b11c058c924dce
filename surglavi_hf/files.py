# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole or not at all, digests of them, and text that a terminal shows as it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

if TYPE_CHECKING:
    import numpy as np

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


@contextmanager
def reading(what: str, remedy: str) -> Iterator[None]:
    """
    Within it, whatever a library raises becomes a ValueError that names what is read; an OSError stays one.

    Args:
        what: What is read: its path or name, and what it is.
        remedy: What to do where it cannot be read.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None or what in str(error):  # it names the file, or the caller's words do
            raise
        raise OSError(f"{what} cannot be read ({_first_line(error)}); {remedy}") from error
    except Exception as error:
        raise ValueError(f"{what} cannot be read ({type(error).__name__}: {_first_line(error)}); {remedy}") from error


def digest(path: str | os.PathLike) -> str:
    """Returns a digest of all that is in a file: XXH3 of 128 bits, which shows damage, not forgery."""
    found = xxhash.xxh3_128()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def digest_of(*parts: "str | np.ndarray") -> str:
    """Returns a digest as `digest` does, of texts and arrays in order: of their bytes and lengths, not of shapes."""
    found = xxhash.xxh3_128()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(memoryview(data).nbytes.to_bytes(8, "little"))
        found.update(data)
    return found.hexdigest()


def printable(text: str) -> str:
    """Returns a text without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]
