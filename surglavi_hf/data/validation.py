# SPDX-License-Identifier: Apache-2.0
"""Which rows of a database cannot be used, and why."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .database import Level, State

_TIMES = ("start_time", "end_time", "duration")
_TEXTS = ("caption", "raw_narration")
# Each reason with the columns that show it. The first that applies counts.
REASONS = {
    "caption_id is not an integer": ("caption_id",),
    "caption_id repeated": ("caption_id",),
    "orphan video_id": ("video_id",),
    "video without a name": ("video_id",),
    "unknown level": ("level_id",),
    "time missing or not a finite number": _TIMES,
    "negative start_time": _TIMES,
    "end_time not after start_time": _TIMES,
    "duration not positive": _TIMES,
    "caption is not text": _TEXTS,
    "empty text": _TEXTS,
}
SOUND = -1


def find_problems(
    captions: pa.Table, videos: pa.Table, levels: dict[int, Level], narrations: bool = False
) -> np.ndarray:
    """
    Returns for each caption the index of its reason in `REASONS`, or `SOUND`.

    Args:
        captions: As [`read_captions`] returns them.
        videos: As [`read_videos`] returns them.
        levels: As [`read_levels`] returns them.
        narrations: The text to use is the narration, whatever the enriched caption.
    """
    caption_id, valid_id = numbers(captions["caption_id"]), ~_is_null(captions["caption_id"])
    repeated = np.zeros(captions.num_rows, dtype=bool)
    repeated[1:] = (caption_id[1:] == caption_id[:-1]) & valid_id[1:] & valid_id[:-1]  # they are in order
    video_row = pc.index_in(captions["video_id"], videos["video_id"])
    start, end, duration = (numbers(captions[name]) for name in ("start_time", "end_time", "duration"))
    found = (
        ~valid_id,
        repeated,
        _is_null(captions["video_id"]) | _is_null(video_row),
        _is_blank(videos["name"]).take(video_row).fill_null(True).to_numpy(),
        level_values(captions, levels) == 0,
        ~(np.isfinite(start) & np.isfinite(end) & np.isfinite(duration)),
        start < 0,
        end <= start,
        duration <= 0,
        has_state(captions, State.NOT_TEXT) & (not narrations),
        has_state(captions, State.SILENT if narrations else State.EMPTY),
    )
    problems = np.full(captions.num_rows, SOUND, dtype=np.int8)
    for reason, rows in reversed(list(enumerate(found))):
        problems[rows] = reason
    return problems


def count_reasons(problems: np.ndarray) -> dict[str, int]:
    """Returns how many rows were left out for each reason, the most frequent first."""
    counts = np.bincount(problems[problems != SOUND], minlength=len(REASONS))
    names = list(REASONS)
    return {names[reason]: int(counts[reason]) for reason in np.argsort(-counts, kind="stable") if counts[reason]}


def ends_past_video(captions: pa.Table, videos: pa.Table) -> np.ndarray:
    """Returns which captions end after their video by its own duration; none where that is unknown."""
    duration = numbers(videos["duration"].take(pc.index_in(captions["video_id"], videos["video_id"])))
    return numbers(captions["end_time"]) > np.where(duration > 0, duration, np.inf)


def level_values(captions: pa.Table, levels: dict[int, Level]) -> np.ndarray:
    """Returns each caption's level, 0 where it is unknown."""
    row = pc.index_in(captions["level_id"], pa.array(levels, pa.int64()))
    values = np.array([*levels.values(), 0], dtype=np.int64)
    return values[pc.fill_null(row, len(levels)).to_numpy()]


def has_state(captions: pa.Table, state: State) -> np.ndarray:
    """Returns for which captions all of `state` holds."""
    return numbers(captions["state"]) & state == state


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Returns a column of numbers with null as NaN among floats and as 0 among integers."""
    return pc.fill_null(column, float("nan") if pa.types.is_floating(column.type) else 0).to_numpy()


def _is_null(column: pa.ChunkedArray) -> np.ndarray:
    return column.is_null().to_numpy()


def _is_blank(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null, empty or white space alone."""
    return pc.or_(pc.equal(pc.binary_length(text), 0), pc.utf8_is_space(text)).fill_null(True)
