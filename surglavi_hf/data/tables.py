# SPDX-License-Identifier: Apache-2.0
"""The rows of each config as Arrow tables."""

import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .database import (
    Connection,
    Level,
    State,
    database_state,
    open_database,
    read_captions,
    read_levels,
    read_places,
    read_texts,
    read_texts_at,
    read_transcriptions,
    read_videos,
)
from .hierarchy import parent_rows
from .splits import in_split
from .validation import SOUND, count_reasons, ends_past_video, find_problems, has_state, level_values, numbers

if TYPE_CHECKING:
    from .builder import SurgLaViConfig

logger = logging.getLogger(__name__)

_OF_CAPTION = ("caption_id", "video_id", "start_time", "end_time", "duration")
_OF_VIDEO = (
    *("name", "youtube_id", "title", "procedure_type", "procedure_modality", "specialty", "subject"),
    *("fps", "width", "height"),
)


class _Captions(NamedTuple):
    """All captions of a database without their texts, in the order of their ids."""

    captions: pa.Table
    videos: pa.Table
    video_row: pa.ChunkedArray
    level: np.ndarray
    problems: np.ndarray
    parent_caption_id: pa.Array
    places: np.ndarray | None = None


def caption_tables(config: "SurgLaViConfig", low: float, high: float, interleaved: bool = False) -> Iterator[pa.Table]:
    """
    Yields the clip-caption pairs that `config` asks for, in the order of their ids; interleaved, in an order that
    mixes videos, always the same.
    """
    narrations = not config.enhanced_captions
    with open_database(config.database) as connection:
        if interleaved:  # each of many shards comes here
            found = _shared_captions(config.database, database_state(config.database), narrations)
        else:
            found = _read_captions(connection, narrations)
        captions, videos, level, sound = found.captions, found.videos, found.level, found.problems == SOUND
        if low == 0:  # once, whatever the splits
            past_end = np.count_nonzero(ends_past_video(captions, videos) & sound)
            _log(config, "captions", captions.num_rows, count_reasons(found.problems), past_end)
        keep = sound & _wanted(captions, level, config)
        keep &= _chosen(videos, config, low, high).take(found.video_row).fill_null(False).to_numpy()
        rows = np.flatnonzero(keep)
        if config.deduplicate:
            text = pa.chunked_array([_used(*texts, config) for texts in _texts(connection, found, rows)], pa.string())
            rows = rows[_longest_of_interval(captions.take(rows), level[rows], text)]
        if interleaved:
            rows = np.random.default_rng(0).permutation(rows)

        kept = captions.take(rows)
        video = videos.select(_OF_VIDEO).take(found.video_row.take(rows))
        columns = {name: kept[name] for name in _OF_CAPTION} | {name: video[name] for name in _OF_VIDEO}
        columns["video_name"] = columns.pop("name")
        columns["level"] = pa.array(level[rows] - 1)  # a ClassLabel counts from 0
        columns["parent_caption_id"] = found.parent_caption_id.take(rows)
        columns["is_enhanced"] = pa.array(has_state(kept, State.ENHANCED) & config.enhanced_captions)
        columns["is_surgical_content"] = pa.array(has_state(kept, State.SURGICAL))
        columns["is_descriptive"] = pa.array(has_state(kept, State.DESCRIPTIVE))
        clip = {name: columns[name].combine_chunks() for name in ("video_name", "start_time", "end_time")}
        columns["clip"] = pa.StructArray.from_arrays(list(clip.values()), list(clip))
        table, start = pa.table(columns), 0
        for caption, raw_narration in _texts(connection, found, rows):
            part = table.slice(start, len(caption))
            start += len(caption)
            text = _used(caption, raw_narration, config)
            yield part.append_column("caption", text).append_column("raw_narration", raw_narration)


def _read_captions(connection: Connection, narrations: bool) -> _Captions:
    levels, videos = read_levels(connection), read_videos(connection)
    captions = read_captions(connection, narrations)
    level = level_values(captions, levels)
    problems = find_problems(captions, videos, levels, narrations)
    sound = problems == SOUND
    # Parents are the same for all options.
    eligible = find_problems(captions, videos, levels) == SOUND if narrations else sound
    parent_caption_id = _parent_ids(captions, level, sound, eligible)
    video_row = pc.index_in(captions["video_id"], videos["video_id"])
    return _Captions(captions, videos, video_row, level, problems, parent_caption_id)


@lru_cache(maxsize=1)
def _shared_captions(database: Path, state: tuple[str, ...], narrations: bool) -> _Captions:
    """As [`_read_captions`], once for all shards of a stream, with what finds their texts."""
    with open_database(database) as connection:
        return _read_captions(connection, narrations)._replace(places=read_places(connection))


def _texts(
    connection: Connection, found: _Captions, rows: np.ndarray
) -> Iterator[tuple[pa.StringArray, pa.StringArray]]:
    """Yields the texts of some rows, a few at a time."""
    if found.places is not None:
        return read_texts_at(connection, found.places[rows], numbers(found.captions["caption_id"])[rows])
    keep = np.zeros(found.captions.num_rows, dtype=bool)
    keep[rows] = True
    return read_texts(connection, keep)


def video_tables(config: "SurgLaViConfig", low: float, high: float) -> Iterator[pa.Table]:
    """Yields the table `videos`, silent videos included."""
    with open_database(config.database) as connection:
        videos = read_videos(connection)
    if low == 0:
        _log(config, "videos", videos.num_rows, {"video_id is not an integer": videos["video_id"].null_count})
    yield videos.filter(pc.and_(videos["video_id"].is_valid(), _chosen(videos, config, low, high)))


def transcription_tables(config: "SurgLaViConfig", low: float, high: float) -> Iterator[pa.Table]:
    """Yields the table `transcriptions` with its videos, and the path of each file that is there."""
    with open_database(config.database) as connection:
        videos, transcriptions = read_videos(connection), read_transcriptions(connection)
    video_row = pc.index_in(transcriptions["video_id"], videos["video_id"])
    known = pc.and_(video_row.is_valid(), transcriptions["video_id"].is_valid())
    sound = pc.and_(transcriptions["transcription_id"].is_valid(), known)
    if low == 0:
        known_count, sound_count = (pc.sum(rows).as_py() or 0 for rows in (known, sound))
        left_out = {
            "orphan video_id": transcriptions.num_rows - known_count,
            "transcription_id is not an integer": known_count - sound_count,
        }
        _log(config, "transcriptions", transcriptions.num_rows, left_out)
    keep = pc.and_(sound, _chosen(videos, config, low, high).take(video_row).fill_null(False))
    transcriptions, video = transcriptions.filter(keep), videos.select(_OF_VIDEO).take(video_row.filter(keep))
    paths = [name and config.library.transcription_path(name) for name in transcriptions["file_path"].to_pylist()]
    files = [str(path) if path and path.is_file() else None for path in paths]
    columns = {"youtube_id": video["youtube_id"], "video_name": video["name"], "file": pa.array(files, pa.string())}
    yield pa.table({**{name: transcriptions[name] for name in transcriptions.column_names}, **columns})


def _chosen(videos: pa.Table, config: "SurgLaViConfig", low: float, high: float) -> pa.ChunkedArray:
    """Returns which videos belong to a split, and with `available_only` are in the library."""
    chosen = in_split(videos, low, high)
    if config.available_only:
        chosen = pc.and_(chosen, pc.is_in(videos["name"], pa.array(config.library.video_names(), pa.string())))
    return chosen


def _used(caption: pa.StringArray, raw_narration: pa.StringArray, config: "SurgLaViConfig") -> pa.StringArray:
    """Returns the texts to learn from."""
    return pc.coalesce(caption, raw_narration) if config.enhanced_captions else raw_narration


def _log(config: "SurgLaViConfig", table: str, num_rows: int, left_out: Mapping[str, int], past_end: int = 0) -> None:
    """Says in one line how many rows were left out, by reason, and how many end past their video."""
    total, parts = sum(left_out.values()), []
    if total:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        parts.append(f"left out {total} of {num_rows} {table} ({reasons})")
    if past_end:
        parts.append(f"{past_end} {table} end after their video and are read up to its end")
    if parts:
        logger.warning("%s: %s; see `surglavi check`", config.database, "; ".join(parts))


def _parent_ids(captions: pa.Table, level: np.ndarray, sound: np.ndarray, eligible: np.ndarray) -> pa.Array:
    """Returns the `caption_id` of the parents of sound captions, null where there is none; of eligible ones."""
    rows = np.flatnonzero(sound | eligible)
    video_id, start, end = (numbers(captions[name])[rows] for name in ("video_id", "start_time", "end_time"))
    parent = parent_rows(video_id, level[rows], start, end, eligible[rows])
    parent_row = np.full(captions.num_rows, -1, dtype=np.int64)
    parent_row[rows] = np.where(parent < 0, -1, rows[parent])
    return captions["caption_id"].take(pa.array(parent_row, mask=parent_row < 0)).combine_chunks()


def _wanted(captions: pa.Table, level: np.ndarray, config: "SurgLaViConfig") -> np.ndarray:
    """Upstream's filters: min < duration <= max, the level, both flags."""
    duration = numbers(captions["duration"])
    wanted = (config.min_duration < duration) & (duration <= config.max_duration)
    if config.name != "all":
        wanted &= level == Level[config.name.upper()]
    if config.filter_pairs:
        wanted &= has_state(captions, State.SURGICAL | State.DESCRIPTIVE)
    return wanted


def _longest_of_interval(captions: pa.Table, level: np.ndarray, text: pa.ChunkedArray) -> np.ndarray:
    """Returns which captions have the longest text of their video, level and interval; of equals the first."""
    video_id, start, end = (numbers(captions[name]) for name in ("video_id", "start_time", "end_time"))
    order = np.lexsort((-pc.utf8_length(text).to_numpy(), end, start, level, video_id))
    keys = [column[order] for column in (video_id, level, start, end)]
    first = np.append(True, np.any([key[1:] != key[:-1] for key in keys], axis=0))
    longest = np.zeros(len(order), dtype=bool)
    longest[order[first[: len(order)]]] = True
    return longest
