# SPDX-License-Identifier: Apache-2.0
"""A database with the reviews of its captions applied; the one that was reviewed stays as it is."""

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .database import Connection, Level, State, open_database, read_captions, read_levels, read_texts, read_videos
from .locate import find_database
from .reviews import ACTIONS, FIELDS, REVIEWS_NAME, CaptionState, Review, ReviewLog
from .validation import REASONS, SOUND, find_problems, has_state, level_values, numbers
from .write_database import write_changed_database


@dataclass(frozen=True)
class Conflict:
    """
    A caption that is left as it is, since its reviews were made of another version of the corpus.

    Args:
        caption_id: Of it.
        video_name: Of its video, as its reviews have it.
        reason: What does not fit.
        expected: Values that a review was made from, of the fields that differ.
        found: Values that are there instead; none where there is no such caption.
    """

    caption_id: int
    video_name: str
    reason: str
    expected: dict[str, Any] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AppliedReviews:
    """
    Args:
        database: The new one.
        actions: How many reviews there are of captions without conflict, by action.
        changed: Captions that differ from the reviewed database.
        retimed: Numbers of those of these that start or end at another time.
        added: Captions that are new.
        deleted: Captions that are gone.
        flagged: Captions that somebody flagged and nobody approved or deleted since; nothing was done to them.
        conflicts: Captions whose reviews do not fit the database.
        skipped: Lines of the log that are no reviews.
    """

    database: Path
    actions: dict[str, int]
    changed: int
    retimed: tuple[int, ...]
    added: int
    deleted: int
    flagged: int
    conflicts: tuple[Conflict, ...]
    skipped: int


class _ConflictError(Exception):
    def __init__(self, reason: str, expected: Mapping[str, Any] | None = None, found: Mapping[str, Any] | None = None):
        super().__init__(reason)
        self.reason, self.expected, self.found = reason, dict(expected or {}), dict(found or {})


@dataclass
class _Stored:
    """The captions of a database that reviews speak of, and its videos."""

    videos: dict[int, str]
    level_ids: dict[Level, int]
    captions: dict[int, list[tuple[int, dict[str, Any]]]]  # video_id and fields by caption_id
    unsound: dict[int, str]  # reasons


def apply_reviews(data_dir: str | os.PathLike, output: str | os.PathLike) -> AppliedReviews:
    """
    Writes a copy of the database in a folder with the reviews applied that lie beside it: changed, added and deleted
    captions. A caption whose reviews were made from other values than are there is left as it is and listed.

    Args:
        data_dir: Holds `surglavi_beta.db` and `reviews.jsonl`.
        output: The new database, written whole or not at all.

    Raises:
        FileNotFoundError: there is no database, no review, or no folder for `output`.
        FileExistsError: `output` is there.
        OSError, ValueError: something cannot be read, as [`open_database`], or written.
    """
    database, output = find_database(data_dir), Path(output).expanduser()
    if output.exists():
        raise FileExistsError(f"{output} is there already; name a new file")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"no folder {output.parent} to write {output.name} to; make it, or name another file")
    log = ReviewLog(database.parent / REVIEWS_NAME)
    by_caption: dict[int, list[Review]] = {}
    for review in log.read():
        by_caption.setdefault(review.caption_id, []).append(review)
    if not by_caption:
        raise FileNotFoundError(
            f"no reviews in {log.path}; make some with surglavi explore {database.parent} --review"
        )
    changed: dict[int, dict[str, Any]] = {}
    added: dict[int, dict[str, Any]] = {}
    deleted, conflicts, actions, flagged = [], [], Counter(dict.fromkeys(ACTIONS, 0)), 0
    with open_database(database) as connection:
        stored = _read(connection, by_caption)
        for caption_id, reviews in sorted(by_caption.items()):
            try:
                base, state = _folded(stored, caption_id, reviews)
                columns = {} if state.deleted else _columns(stored, base, state)
            except _ConflictError as error:
                name = reviews[0].video_name
                conflicts.append(Conflict(caption_id, name, error.reason, error.expected, error.found))
                continue
            actions.update(review.action for review in reviews)
            flagged += state.flagged and not state.deleted
            if base is None and not state.deleted:
                video = {"video_id": reviews[0].video_id, "video_name": reviews[0].video_name}
                added[caption_id] = video | columns
            elif base is not None and state.deleted:
                deleted.append(caption_id)
            elif columns:
                changed[caption_id] = columns
        write_changed_database(connection, output, changed, added, deleted)
    return AppliedReviews(
        database=output,
        actions={action: count for action, count in actions.items() if count},
        changed=len(changed),
        retimed=tuple(caption_id for caption_id, columns in changed.items() if "duration" in columns),
        added=len(added),
        deleted=len(deleted),
        flagged=flagged,
        conflicts=tuple(conflicts),
        skipped=log.skipped,
    )


def _read(connection: Connection, caption_ids: Collection[int]) -> _Stored:
    levels, videos, captions = read_levels(connection), read_videos(connection), read_captions(connection)
    names = dict(zip(videos["video_id"].to_pylist(), videos["name"].to_pylist(), strict=True))
    keep = np.isin(numbers(captions["caption_id"]), list(caption_ids)) & captions["caption_id"].is_valid().to_numpy()
    problems, level = find_problems(captions, videos, levels)[keep], level_values(captions, levels)[keep]
    kept, texts = captions.filter(keep), list(read_texts(connection, keep))
    columns = {
        "level": level.tolist(),
        **{name: kept[name].to_pylist() for name in ("start_time", "end_time")},
        **{
            name: pa.chunked_array([part[place] for part in texts], pa.string()).to_pylist()
            for place, name in enumerate(("caption", "raw_narration"))
        },
        "is_surgical_content": has_state(kept, State.SURGICAL).tolist(),
        "is_descriptive": has_state(kept, State.DESCRIPTIVE).tolist(),
    }
    stored = _Stored(names, {level: number for number, level in sorted(levels.items(), reverse=True)}, {}, {})
    ids, video_ids = kept["caption_id"].to_pylist(), kept["video_id"].to_pylist()
    for row, (caption_id, video_id) in enumerate(zip(ids, video_ids, strict=True)):
        if problems[row] != SOUND:
            stored.unsound[caption_id] = list(REASONS)[problems[row]]
        fields = {name: columns[name][row] for name in FIELDS}
        stored.captions.setdefault(caption_id, []).append((video_id, fields))
    return stored


def _folded(stored: _Stored, caption_id: int, reviews: Sequence[Review]) -> tuple[dict[str, Any] | None, CaptionState]:
    """Returns the fields of a caption in the database, None where it is added, and what reviews make of it."""
    if caption_id in stored.unsound:
        raise _ConflictError(f"the caption cannot be used: {stored.unsound[caption_id]}")
    video_id, base = stored.captions.get(caption_id, [(None, None)])[0]
    is_added = reviews[0].action == "add"
    if is_added and base is not None:
        raise _ConflictError("the number of an added caption is another caption's", reviews[0].after, base)
    if not is_added and base is None:
        raise _ConflictError("there is no such caption", reviews[0].before)
    if any(review.action == "add" for review in reviews[1:]):
        raise _ConflictError("the caption was added twice")
    state = CaptionState(base)
    for review in reviews:
        name = stored.videos.get(review.video_id)
        if name is None:
            raise _ConflictError(f"there is no video {review.video_id}")
        if name != review.video_name or video_id not in (None, review.video_id):
            of = {"video_id": review.video_id, "video_name": review.video_name}
            there = review.video_id if video_id is None else video_id
            raise _ConflictError("the video is another", of, {"video_id": there, "video_name": stored.videos[there]})
        now = state.fields or {}
        differ = [field for field, value in review.before.items() if now[field] != value]
        if differ:
            before = {field: review.before[field] for field in differ}
            raise _ConflictError("the values are others", before, {field: now[field] for field in differ})
        state = state.after(review)
    return base, state


def _columns(stored: _Stored, base: Mapping[str, Any] | None, state: CaptionState) -> dict[str, Any]:
    """Returns what is to be written of a caption, by columns of table `captions`."""
    fields = state.fields or {}
    values = {name: value for name, value in fields.items() if base is None or base[name] != value}
    if values.keys() & {"start_time", "end_time"}:
        values["duration"] = fields["end_time"] - fields["start_time"]
    if "level" in values:
        level = Level(values.pop("level"))
        if level not in stored.level_ids:
            raise _ConflictError(f"the database has no level {level.name.lower()}")
        values["level_id"] = stored.level_ids[level]
    return values
