# SPDX-License-Identifier: Apache-2.0
"""The videos of a database: which there are, and what captions hang on them."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..media import Manifest, VideoLibrary, VideoSource
from .database import Level, open_database, read_captions, read_levels, read_videos
from .locate import find_database
from .validation import SOUND, find_problems, level_values

if TYPE_CHECKING:
    from ..media import DownloadPlan

# Laparoscopic video in H.264: five clips of Cholec80 at 480p have 0.86 Mbit/s, one of AutoLaparo at 1080p has 2.3.
BITRATE_480P, BITRATE_EXPONENT = 0.86e6, 1.2
_ENOUGH_DOWNLOADS = 5


@dataclass(frozen=True)
class DatabaseVideos:
    """
    The videos of a database.

    Args:
        library: Where they belong: the folder of the database.
        sources: In the order of their ids, those without a name left out.
        database: The file.
    """

    library: VideoLibrary
    sources: list[VideoSource]
    database: Path

    @cached_property
    def captions(self) -> dict[str, Counter]:
        """Of each video's name the number of captions that can be loaded, by level; read when it is asked for."""
        with open_database(self.database) as connection:
            levels, videos, captions = read_levels(connection), read_videos(connection), read_captions(connection)
        sound = find_problems(captions, videos, levels) == SOUND
        names = dict(zip(videos["video_id"].to_pylist(), videos["name"].to_pylist(), strict=True))
        video_ids, found = captions["video_id"].filter(sound).to_pylist(), level_values(captions, levels)[sound]
        counts: dict[str, Counter] = {}
        for video_id, level in zip(video_ids, found.tolist(), strict=True):
            counts.setdefault(names[video_id], Counter())[Level(level)] += 1
        return counts

    def count_captions(self, names: Iterable[str]) -> dict[str, int]:
        """Returns how many captions hang on these videos, by level."""
        total = sum((self.captions.get(name, Counter()) for name in names), Counter())
        return {level.name.lower(): total[level] for level in reversed(Level)}


@dataclass(frozen=True)
class DownloadEstimate:
    """
    What a download will take.

    Args:
        videos: To be tried.
        there: That are there already.
        hours: Of video, the mean taken for those of unknown duration.
        size: In bytes.
        measured: How many earlier downloads `size` is supposed from; 0 where it is from typical bitrates.
        captions: That the videos cover, by level.
        download_hours: At least, at the pace of a guest at YouTube.
        free: Bytes of the disk that are free.
    """

    videos: int
    there: int
    hours: float
    size: float
    measured: int
    captions: dict[str, int]
    download_hours: float
    free: int


def read_database_videos(data_dir: str | os.PathLike) -> DatabaseVideos:
    """
    Reads the videos of the database in a folder.

    Raises:
        FileNotFoundError, OSError, ValueError: it cannot be read, as [`open_database`].
    """
    database = find_database(data_dir)
    with open_database(database) as connection:
        rows = read_videos(connection).select(["name", "youtube_id", "url", "duration"]).to_pylist()
    return DatabaseVideos(
        library=VideoLibrary(database.parent),
        sources=[VideoSource(**row) for row in rows if row["name"]],
        database=database,
    )


def estimate_download(videos: DatabaseVideos, plan: "DownloadPlan", max_height: int) -> DownloadEstimate:
    """Returns what a plan will take, as far as can be known before."""
    from ..media import YOUTUBE_PACE_S

    durations = [source.duration for source in plan.todo if source.duration and source.duration > 0]
    mean = sum(durations) / len(durations) if durations else 0.0
    seconds = sum(durations) + mean * (len(plan.todo) - len(durations))
    earlier = [
        attempt
        for attempt in Manifest(videos.library.manifest_path)
        if attempt.size and attempt.duration and attempt.status == "ok" and attempt.seconds is not None  # not adopted
    ]
    if len(earlier) >= _ENOUGH_DOWNLOADS:
        rate = sum(attempt.size for attempt in earlier) / sum(attempt.duration for attempt in earlier)
    else:
        earlier, rate = [], BITRATE_480P * (max_height / 480) ** BITRATE_EXPONENT / 8
    return DownloadEstimate(
        videos=len(plan.todo),
        there=sum(status == "ok" for status in plan.statuses.values()),
        hours=seconds / 3600,
        size=seconds * rate,
        measured=len(earlier),
        captions=videos.count_captions(source.name for source in plan.todo),
        download_hours=plan.at_youtube * YOUTUBE_PACE_S / 3600,
        free=videos.library.free_space(),
    )
