# SPDX-License-Identifier: Apache-2.0
"""What people corrected in a corpus: a line a review, in a file beside the database that is never rewritten."""

import json
import logging
import os
import re
import reprlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from .database import Level
from .line_files import append_line, locked

logger = logging.getLogger(__name__)

REVIEWS_NAME = "reviews.jsonl"
ACTIONS = ("change", "flag", "approve", "add", "delete", "restore")
FIELDS = (
    *("level", "start_time", "end_time", "caption", "raw_narration"),
    *("is_surgical_content", "is_descriptive"),
)
LARGEST_NUMBER = 2**53 - 1  # of a caption; the largest that a browser tells from its neighbours
_LONGEST_LINE = 1 << 20  # bytes
_LONGEST_TEXT, _LONGEST_REMARK, _LONGEST_NAME, _LONGEST_REVIEWER = 100_000, 2_000, 1_000, 100  # characters
_END = 1024  # bytes at either end of what was read, that tell whether the file is still the same
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", re.ASCII)
_HALVES = re.compile(r"[\ud800-\udfff]")  # of characters; UTF-8 has none
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # but tabs and line breaks


@dataclass(frozen=True)
class Review:
    """
    What somebody did to a caption.

    Args:
        id: 32 hexadecimal digits.
        time: ISO 8601 in UTC with milliseconds, such as `2026-01-31T12:00:00.000+00:00`.
        reviewer: Who: 1 to 100 printable characters.
        action: One of [`ACTIONS`].
        caption_id: Of the caption.
        video_id: Of its video in table `videos`.
        video_name: Of its video.
        before: For "change" the values that it was made from, of the fields that change; for "delete" of all
            [`FIELDS`]; else none.
        after: For "change" the new values, of the same fields; for "add" of all [`FIELDS`]; else none.
        remark: Up to 2,000 characters, line breaks among them.
        follows: Id of the last review of this caption that the reviewer had seen; None where there was none.

    Raises:
        ValueError: something is of another type, out of range, or not as its action has it.
    """

    id: str
    time: str
    reviewer: str
    action: str
    caption_id: int
    video_id: int
    video_name: str
    before: dict[str, Any]
    after: dict[str, Any]
    remark: str = ""
    follows: str | None = None

    def __post_init__(self):
        _expect(isinstance(self.id, str) and _ID.fullmatch(self.id), "id", self.id, "32 hexadecimal digits")
        _expect(_is_time(self.time), "time", self.time, "ISO 8601 in UTC with milliseconds")
        _expect(
            _is_text(self.reviewer, _LONGEST_REVIEWER) and self.reviewer.isprintable() and self.reviewer.strip(),
            *("reviewer", self.reviewer, f"a name of 1 to {_LONGEST_REVIEWER} printable characters"),
        )
        _expect(self.action in ACTIONS, "action", self.action, f"one of {', '.join(ACTIONS)}")
        for name in ("caption_id", "video_id"):
            number = getattr(self, name)
            _expect(_is_whole(number, 0, LARGEST_NUMBER), name, number, "a whole number from 0 to 2^53 - 1")
        _expect(
            _is_text(self.video_name, _LONGEST_NAME) and not re.search(r"[\t\r\n]", self.video_name),
            *("video_name", self.video_name, f"a name of at most {_LONGEST_NAME:,} characters in one line"),
        )
        _expect(
            _is_text(self.remark, _LONGEST_REMARK),
            *("remark", self.remark, f"at most {_LONGEST_REMARK:,} characters, none of them control characters"),
        )
        _expect(
            self.follows is None or (isinstance(self.follows, str) and _ID.fullmatch(self.follows)),
            *("follows", self.follows, "the id of a review"),
        )
        object.__setattr__(self, "before", checked_fields(self.before, as_stored=True))
        object.__setattr__(self, "after", checked_fields(self.after))
        before, after = set(self.before), set(self.after)
        is_right = {
            "change": before == after and bool(after),
            "add": not before and after == set(FIELDS) and self.follows is None,
            "delete": before == set(FIELDS) and not after,
        }.get(self.action, not before and not after)
        if not is_right:
            raise ValueError(
                f"a review that is to {self.action} has before={sorted(before)} and after={sorted(after)}, expected "
                "the same fields for change, all in after for add (which follows none), all in before for delete, and "
                "none for others"
            )
        if self.action == "add" and not is_sound(self.after):
            raise ValueError("a caption that is added has no text; give a caption or a narration")


class ReviewConflict(ValueError):
    """Somebody else reviewed the caption since the reviewer looked; `latest` is their review."""

    def __init__(self, latest: Review):
        super().__init__(
            f"caption {latest.caption_id} was reviewed by {latest.reviewer} at {latest.time} ({latest.action}), after "
            "it was shown; look at it again"
        )
        self.latest = latest


@dataclass(frozen=True)
class CaptionState:
    """
    What reviews made of a caption.

    Args:
        fields: Values of all [`FIELDS`]; None where the caption was neither there nor added.
        flagged: Whether somebody asked for another look, and nobody approved since.
        approved: Whether somebody approved it as it is now.
        deleted: Whether it is to go.
        last: Id of the last review; None where there is none.
        reviewers: Who reviewed it, in order, each once.
    """

    fields: dict[str, Any] | None
    flagged: bool = False
    approved: bool = False
    deleted: bool = False
    last: str | None = None
    reviewers: tuple[str, ...] = ()

    def after(self, review: Review) -> "CaptionState":
        """
        Returns the state after one more review. A change that would leave no sound caption changes no field, and
        neither does one of a caption that is not there; nor is a caption added that is there.
        """
        found = replace(self, last=review.id, reviewers=tuple(dict.fromkeys((*self.reviewers, review.reviewer))))
        if review.action == "add":
            return replace(found, fields=dict(review.after)) if self.fields is None else found
        if self.fields is None:
            return found
        match review.action:
            case "change":
                merged = self.fields | review.after
                return replace(found, fields=merged, approved=False) if is_sound(merged) else found
            case "flag":
                return replace(found, flagged=True, approved=False)
            case "approve":
                return replace(found, flagged=False, approved=True)
            case _:
                return replace(found, deleted=review.action == "delete")


def state_of(fields: Mapping[str, Any] | None, reviews: Iterable[Review]) -> CaptionState:
    """
    Returns what reviews make of a caption.

    Args:
        fields: Of the caption in the corpus, all of [`FIELDS`]; None where it is not there.
        reviews: Of this caption, in order.
    """
    state = CaptionState(None if fields is None else dict(fields))
    for review in reviews:
        state = state.after(review)
    return state


def is_sound(fields: Mapping[str, Any]) -> bool:
    """Whether all [`FIELDS`] of a caption go together: it ends after it starts, and has a text."""
    text = fields["raw_narration"] if fields["caption"] is None else fields["caption"]
    return bool(fields["start_time"] < fields["end_time"] and text and text.strip())


def checked_fields(values: Any, as_stored: bool = False) -> dict[str, Any]:
    """
    Returns values of some of [`FIELDS`], in their order, times as floats.

    Args:
        values: By name.
        as_stored: They are of a database, whose texts may have control characters.

    Raises:
        ValueError: one is of another type or out of range, or not one of these fields.
    """
    if not isinstance(values, Mapping) or not set(values) <= set(FIELDS):
        found = ", ".join(str(name) for name in values) if isinstance(values, Mapping) else type(values).__name__
        raise ValueError(f"fields {found[:80]!r}, expected some of {', '.join(FIELDS)}")
    found = {name: values[name] for name in FIELDS if name in values}
    for name, value in found.items():
        if name == "level":
            _expect(_is_whole(value, min(Level), max(Level)), name, value, "1 (task), 2 (step) or 3 (phase)")
        elif name.endswith("_time"):
            _expect(_is_seconds(value), name, value, "a finite number of seconds from 0")
            found[name] = float(value)
        elif name.startswith("is_"):
            _expect(isinstance(value, bool), name, value, "true or false")
        else:
            _expect(
                value is None or _is_text(value, _LONGEST_TEXT, _HALVES if as_stored else _CONTROL),
                *(name, value, f"null or at most {_LONGEST_TEXT:,} characters, none of them control characters"),
            )
    if {"start_time", "end_time"} <= set(found) and not found["start_time"] < found["end_time"]:
        raise ValueError(f"end_time={found['end_time']}, expected more than start_time={found['start_time']}")
    return found


class ReviewLog:
    """
    The reviews of a corpus. Threads and processes may read and add at the same time.

    Args:
        path: The file; it need not be there.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._reviews: list[Review] = []
        self._ids: set[str] = set()
        self._last: dict[int, Review] = {}  # of each caption
        self._largest = 0  # number of a caption
        self._offset = self._lines = self._skipped = 0
        self._head = self._tail = b""
        self._cut_short = False

    @property
    def skipped(self) -> int:
        """How many lines are no reviews, of what was read last."""
        return self._skipped + self._cut_short

    def read(self) -> list[Review]:
        """
        Returns all reviews in order; reads what is new since the last time alone. Lines that are none are skipped,
        with a warning. Raises OSError where the file cannot be read.
        """
        with self._lock:
            self._read()
            return list(self._reviews)

    def append(self, review: Review) -> None:
        """
        Adds a review of a caption, on disk when this returns.

        Raises:
            ReviewConflict: the last review of this caption is not the one that this one follows.
            ValueError: it is one that adds a caption, is there already, follows one that is not, or is too long.
            OSError: it cannot be written.
        """
        if review.action == "add":
            raise ValueError(f"review {review.id} adds a caption, whose number append_new chooses")
        with locked(self.path), self._lock:
            self._read()
            latest = self._last.get(review.caption_id)
            if latest is not None and latest.id != review.follows:
                raise ReviewConflict(latest)
            if latest is None and review.follows is not None:
                raise ValueError(
                    f"{self.path} has no review {review.follows} of caption {review.caption_id}, which the next one "
                    "is to follow; load the corpus again"
                )
            self._write(review)

    def append_new(self, review_of: Callable[[int], Review], largest: int = 0) -> Review:
        """
        Adds a review that adds a caption, on disk when this returns; returns it.

        Args:
            review_of: Makes it of the caption's number, which nothing else has.
            largest: Number of a caption in the database.

        Raises:
            ValueError: it adds none, is there already, or is too long.
            OSError: it cannot be written.
        """
        with locked(self.path), self._lock:
            self._read()
            number = 1 + max(largest, self._largest)
            review = review_of(number)
            if review.action != "add" or review.caption_id != number:
                raise ValueError(
                    f"review {review.id} is to {review.action} caption {review.caption_id}, expected one that is to "
                    f"add caption {number}"
                )
            self._write(review)
        return review

    def _write(self, review: Review) -> None:
        if review.id in self._ids:
            raise ValueError(f"review {review.id} is in {self.path} already; each has an id of its own")
        line = json.dumps(asdict(review), ensure_ascii=False, allow_nan=False)
        if len(line.encode()) >= _LONGEST_LINE:
            raise ValueError(
                f"review {review.id} is too long ({len(line):,} characters), expected a line of at most "
                f"{_LONGEST_LINE:,} bytes; shorten the texts"
            )
        append_line(self.path, line)

    def _read(self) -> None:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            self._forget()
            return
        with file:
            if not self._is_continued(file):
                self._forget()
            file.seek(self._offset)
            self._cut_short = False
            for line, size in _lines(file):
                review, ended = _parsed(line), line.endswith(b"\n")
                if review is None and not ended:  # a crash cut it short, or somebody is writing it
                    self._cut_short = True
                    break
                if line.strip():
                    self._take(review)
                self._offset += size
                self._lines += ended
            file.seek(0)
            self._head = file.read(min(_END, self._offset))
            file.seek(self._offset - len(self._head))
            self._tail = file.read(len(self._head))

    def _take(self, review: Review | None) -> None:
        if review is None or review.id in self._ids:
            what = "no review" if review is None else f"review {review.id} once more"
            logger.warning("%s, line %d is %s; skipping it", self.path, self._lines + 1, what)
            self._skipped += 1
            return
        self._reviews.append(review)
        self._ids.add(review.id)
        self._last[review.caption_id] = review
        self._largest = max(self._largest, review.caption_id)

    def _is_continued(self, file: BinaryIO) -> bool:
        """Whether the file begins with what was read of it, as far as its ends tell."""
        head = file.read(len(self._head))
        file.seek(self._offset - len(self._tail))
        return head == self._head and file.read(len(self._tail)) == self._tail


_NAMES = [field.name for field in fields(Review)]


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yields lines and their sizes in bytes; one that is too long as something that is no review."""
    while line := file.readline(_LONGEST_LINE):
        size, more = len(line), line
        while not more.endswith(b"\n") and (more := file.readline(_LONGEST_LINE)):
            size += len(more)
            line = b"too long" + more[-1:]
        yield line, size


def _parsed(line: bytes) -> Review | None:
    try:
        values = json.loads(line.decode())
        return Review(**{name: values[name] for name in _NAMES if name in values})
    except (ValueError, TypeError, RecursionError):
        return None


def _expect(is_right: Any, name: str, value: Any, expected: str) -> None:
    if not is_right:
        raise ValueError(f"{name}={reprlib.repr(value)}, expected {expected}")


def _is_whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= sys.float_info.max


def _is_text(value: Any, longest: int, without: re.Pattern = _CONTROL) -> bool:
    return isinstance(value, str) and len(value) <= longest and not without.search(value)


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(_TIME.fullmatch(value) and datetime.fromisoformat(value))
    except ValueError:
        return False
