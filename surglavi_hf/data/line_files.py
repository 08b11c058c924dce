# SPDX-License-Identifier: Apache-2.0
"""Text files that several processes add lines to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_LONGEST_WAIT = 30.0  # s; who holds the lock writes one line
_POLL = 0.01  # s


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """
    Keeps other processes, and other threads, from adding lines to a file meanwhile.

    Raises:
        OSError: another one has held the lock for 30 s, or it cannot be made.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        with FileLock(lock, timeout=_LONGEST_WAIT, poll_interval=_POLL):
            yield
    except Timeout as error:
        raise BlockingIOError(
            f"{path} is locked by another process since {_LONGEST_WAIT:.0f} s ({lock.name}); stop that process"
        ) from error


def append_line(path: Path, line: str) -> None:
    """
    Adds a line, on disk when this returns; to be called with the file [`locked`]. A line that a crash cut short is
    ended first.
    """
    content = f"{line}\n".encode()
    with path.open("ab+", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            content = content if file.read(1) == b"\n" else b"\n" + content
        rest = memoryview(content)
        while rest:  # a disk that fills up takes a part, then raises
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
