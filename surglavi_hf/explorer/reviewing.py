# SPDX-License-Identifier: Apache-2.0
"""What reviewers do on a page, as lines of the review log and of the takedown list."""

import math
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ..data import Level, add_to_takedown
from ..data.reviews import FIELDS, Review, checked_fields, is_sound
from .pages import Explorer

_PAST_END_S = 1.0  # containers round durations
_LONGEST_S = 1e6  # of a video whose length is not known


def review(explorer: Explorer, body: Mapping[str, Any]) -> Review:
    """
    Writes down what a reviewer did; returns it.

    Args:
        explorer: That takes reviews.
        body: `action`, `reviewer`, `caption_id` (or `video_id` of one to add), `after`, `remark`, and `follows`: the
            last review of this caption that the reviewer saw.

    Raises:
        PermissionError: this explorer takes no reviews.
        ReviewConflict: somebody else reviewed the caption since.
        ValueError: it is no review of a caption here.
    """
    _check(explorer)
    corpus, action = explorer.corpus, body.get("action")
    after = body.get("after") or {}
    if not isinstance(after, dict) or not set(after) <= set(FIELDS):
        raise ValueError(f"after has {', '.join(map(str, after))[:80]}, expected some of {', '.join(FIELDS)}")
    if isinstance(after.get("level"), str):
        if after["level"].upper() not in Level.__members__:
            raise ValueError(f"level={after['level'][:40]!r}, expected phase, step or task")
        after = after | {"level": int(Level[after["level"].upper()])}
    about: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "reviewer": body.get("reviewer"),
        "action": action,
        "remark": body.get("remark") or "",
    }
    if action == "add":
        place = explorer.place_of(_whole(body, "video_id"))
        after = {"caption": None, "raw_narration": None, "is_surgical_content": True, "is_descriptive": True} | after
        return _appended(explorer, about, place, after)
    caption_id = _whole(body, "caption_id")
    row = corpus.row_of.get(caption_id)
    if row is None:
        raise ValueError(f"there is no caption {caption_id} in {corpus.title}")
    now, place = corpus.fields(row), int(corpus.video[row])
    before: dict[str, Any] = {}
    if action == "change":
        after = {name: value for name, value in after.items() if value != now[name]}
        before = {name: now[name] for name in after}
        if not after:
            raise ValueError("nothing is changed; change a time, the text, the level or a flag")
        _check_sound(now | after)
        if "end_time" in after:
            _check_end(explorer, place, after["end_time"], now["end_time"])
    elif action == "delete":
        before = now
    made = Review(
        **about,
        caption_id=caption_id,
        video_id=int(corpus.videos.ids[place]),
        video_name=corpus.videos.names[place],
        before=before,
        after=after if action == "change" else {},
        follows=body.get("follows"),
    )
    corpus.reviews.append(made)
    corpus.refresh()
    return made


def _appended(explorer: Explorer, about: dict[str, Any], place: int, after: dict[str, Any]) -> Review:
    corpus = explorer.corpus
    _check_sound(after)
    _check_end(explorer, place, after["end_time"])
    largest = int(corpus.caption_id[: corpus.num_stored].max(initial=0))
    made = corpus.reviews.append_new(
        lambda caption_id: Review(
            **about,
            caption_id=caption_id,
            video_id=int(corpus.videos.ids[place]),
            video_name=corpus.videos.names[place],
            before={},
            after=after,
            follows=None,
        ),
        largest,
    )
    corpus.refresh()
    return made


def take_down(explorer: Explorer, body: Mapping[str, Any]) -> str:
    """
    Adds a caption or a whole video to the takedown list beside the corpus; returns the line.

    Raises:
        PermissionError: this explorer takes no reviews.
        ValueError: there is no such caption or video, or no line can name it.
    """
    _check(explorer)
    corpus = explorer.corpus
    if "caption_id" in body:
        caption_id = _whole(body, "caption_id")
        if caption_id not in corpus.row_of:
            raise ValueError(f"there is no caption {caption_id} in {corpus.title}")
        entry = f"caption:{caption_id}"
    else:
        place = explorer.place_of(_whole(body, "video_id"))
        entry = corpus.videos.youtube_ids[place] or corpus.videos.names[place]
    add_to_takedown(corpus.takedown_path, entry)
    corpus.refresh()
    return entry


def _check_sound(fields: Mapping[str, Any]) -> None:
    if missing := [name for name in FIELDS if name not in fields]:
        raise ValueError(f"a caption needs {', '.join(missing)}, too")
    if not is_sound(checked_fields(fields)):
        raise ValueError("a caption has to end after it starts, and to have a text")


def _check_end(explorer: Explorer, place: int, end: float, before: float = 0.0) -> None:
    """An end may stay where it was, however late."""
    duration = float(explorer.corpus.videos.durations[place])
    latest = _LONGEST_S if math.isnan(duration) else duration + _PAST_END_S
    if end > max(latest, before):
        raise ValueError(f"it ends at {end:g} s, and the video lasts {latest:g} s; give an end within it")


def _check(explorer: Explorer) -> None:
    if not explorer.can_review or explorer.corpus is None:
        raise PermissionError("this explorer takes no reviews; start it with --review")


def _whole(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    if type(value) is not int:
        raise ValueError(f"{name}={str(value)[:40]!r}, expected a whole number")
    return value
