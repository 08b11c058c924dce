# SPDX-License-Identifier: Apache-2.0
"""Which videos a library should have, and where on the web they are."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_YOUTUBE_ID = re.compile(r"[\w-]{11}", re.ASCII)
_YOUTUBE_HOSTS = ("youtube.com", "youtu.be", "youtube-nocookie.com")


@dataclass(frozen=True)
class VideoSource:
    """
    A video that a library should have.

    Args:
        name: In the library.
        youtube_id: If it is on YouTube.
        url: Where else it is, or the YouTube address.
        duration: In seconds, if it is known.
    """

    name: str
    youtube_id: str | None = None
    url: str | None = None
    duration: float | None = None

    @property
    def address(self) -> str | None:
        """
        Where to download it: `url` where that is not YouTube's, else YouTube's address of `youtube_id`, else `url`;
        `None` where neither is an address.
        """
        url = self.url if self.url and _host(self.url) else None
        if url and not is_youtube(url):
            return url
        if self.youtube_id and _YOUTUBE_ID.fullmatch(self.youtube_id):
            return f"https://www.youtube.com/watch?v={self.youtube_id}"
        return url


def is_youtube(address: str) -> bool:
    """Whether an address is YouTube's."""
    host = _host(address)
    return any(host == youtube or host.endswith(f".{youtube}") for youtube in _YOUTUBE_HOSTS)


def _host(address: str) -> str:
    try:
        parts = urlsplit(address)
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def shard(sources: Sequence[VideoSource], index: int, count: int) -> list[VideoSource]:
    """
    Returns the `index`-th (from 1) of `count` equal parts of the videos, the same on every machine.

    Raises:
        ValueError: `index` is not within 1 and `count`.
    """
    if not 1 <= index <= count:
        raise ValueError(f"shard {index}/{count}, expected 1/{max(count, 1)} to {max(count, 1)}/{max(count, 1)}")
    return list(sources[index - 1 :: count])


def select_sources(sources: Sequence[VideoSource], ids: Sequence[str]) -> list[VideoSource]:
    """
    Returns the videos of these YouTube ids or names, in their order.

    Raises:
        ValueError: one is none of them.
    """
    known = {key: source for source in reversed(sources) for key in (source.youtube_id, source.name) if key}
    if unknown := [id_ for id_ in ids if id_ not in known]:
        raise ValueError(f"{len(unknown)} of {len(ids)} ids are not in the database, {unknown[0]!r} first")
    return list(dict.fromkeys(known[id_] for id_ in ids))


def read_ids(path: str | os.PathLike) -> list[str]:
    """Returns the ids in a text file, one a line; empty lines and those that start with `#` do not count."""
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
