# SPDX-License-Identifier: Apache-2.0
"""Which videos a library should have, and where on the web they are."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .identity import YOUTUBE_ID, find_youtube_id, is_youtube, video_identity

YOUTUBE = "youtube.com"


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
        Where to download it: `url` where that leads elsewhere than to YouTube, else YouTube's address of the id that
        `youtube_id` or `url` holds, else `url`; `None` where neither is an address.
        """
        url = self.url if self.url and _is_of_the_web(self.url) else None
        if url and not is_youtube(url) and not find_youtube_id(None, url):
            return url
        found = find_youtube_id(self.youtube_id, self.url)
        return f"https://www.youtube.com/watch?v={found}" if found and YOUTUBE_ID.fullmatch(found) else url

    @property
    def identity(self) -> str:
        """What is equal for all rows of one video, as [`video_identity`]."""
        return video_identity(self.youtube_id, self.url, self.name)


def place_of(address: str) -> str:
    """Returns the host of an address; one name for all of YouTube's, and for what is a YouTube id."""
    if YOUTUBE_ID.fullmatch(address) or is_youtube(address):
        return YOUTUBE
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _is_of_the_web(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.scheme in ("http", "https")
    except ValueError:
        return False


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
    Returns the videos of these YouTube ids, addresses or names, in their order.

    Raises:
        ValueError: one is none of them.
    """
    known = {key: source for source in reversed(sources) for key in (source.identity, source.name) if key}
    found = [known.get(id_) or known.get(video_identity(id_, None, None)) for id_ in ids]
    if unknown := [id_ for id_, source in zip(ids, found, strict=True) if source is None]:
        raise ValueError(f"{len(unknown)} of {len(ids)} ids are not in the database, {unknown[0]!r} first")
    return list(dict.fromkeys(found))


def read_ids(path: str | os.PathLike) -> list[str]:
    """Returns the ids in a text file, one a line; empty lines and those that start with `#` do not count."""
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
