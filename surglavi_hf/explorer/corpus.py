# SPDX-License-Identifier: Apache-2.0
"""What is explored: the captions and videos of a corpus as columns, with reviews laid over them."""

import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import DatasetDict, load_dataset
from datasets.exceptions import DatasetNotFoundError

from ..data import (
    TAKEDOWN_NAME,
    Takedown,
    find_database,
    find_youtube_id,
    read_corpus_info,
    video_identity,
)
from ..data.reviews import REVIEWS_NAME, Review, ReviewLog, state_of
from ..files import digest_of
from ..media import Manifest, VideoLibrary

CHANGED, APPROVED, FLAGGED, ADDED, DELETED = 1, 2, 4, 8, 16  # what reviews did to a caption
UNKNOWN = "not known"
_LOOK_AGAIN_S = 1.0  # what is on disk
_OF_VIDEO = ("specialty", "procedure_type", "procedure_modality")
_ALL = {"filter_pairs": False, "max_duration": float("inf")}


@dataclass
class Videos:
    """
    The videos, silent ones included; each a place.

    Args:
        ids: Of table `videos`.
        names: Of their files.
        youtube_ids: None where there is none.
        titles: The name where there is none.
        durations: In seconds, NaN where not known.
        fps: Frames a second, NaN where not known.
        about: Of `specialty`, `procedure_type` and `procedure_modality` a value a video, None where not known.
    """

    ids: np.ndarray
    names: list[str]
    youtube_ids: list[str | None]
    titles: list[str]
    durations: np.ndarray
    fps: np.ndarray
    about: dict[str, list[str | None]]

    def __len__(self) -> int:
        return len(self.names)


class Corpus:
    """
    A corpus as it is now: its captions with their reviews. A caption is a row; rows that reviews add come last.
    Threads may read while another takes up reviews.

    Args:
        title: Of the corpus.
        captions: Rows of config `all`.
        videos: Rows of config `videos`.
        transcriptions: Rows of config `transcriptions`.
        data_dir: Where videos, frames, reviews and the takedown list are; None where there is none.
        database: None where captions come from the Hub.
        published: What was taken down of a dataset on the Hub.

    Attributes:
        video, level, start, end, words, state: Of each row the place of its video, 1 to 3, seconds, the number of
            words of its text, and what reviews did, a sum.
        surgical, descriptive, taken_down: Booleans.
        version: Counts what was changed.
    """

    def __init__(
        self,
        title: str,
        captions: pa.Table,
        videos: pa.Table,
        transcriptions: pa.Table,
        data_dir: Path | None = None,
        database: Path | None = None,
        published: Takedown | None = None,
    ):
        self.title, self.data_dir, self.database = title, data_dir, database
        self.library = None if data_dir is None else VideoLibrary(data_dir)
        self.version = 0
        self.lock = threading.RLock()
        self._table = captions.select(["caption", "raw_narration", "is_enhanced"])
        self._transcriptions = transcriptions
        self._published = published or Takedown()
        self.videos = _videos(videos)
        place_of = {number: place for place, number in enumerate(self.videos.ids.tolist())}
        self.place_of_video = place_of
        text = captions["caption"]
        self.caption_id = captions["caption_id"].to_numpy()
        self.video = np.array([place_of[number] for number in captions["video_id"].to_pylist()], np.int32)
        self.level = (captions["level"].to_numpy() + 1).astype(np.int8)  # a ClassLabel counts from 0
        self.start, self.end = captions["start_time"].to_numpy(), captions["end_time"].to_numpy()
        self.surgical = captions["is_surgical_content"].to_numpy()
        self.descriptive = captions["is_descriptive"].to_numpy()
        self.words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(text))).to_numpy()
        self.state = np.zeros(len(self.caption_id), np.uint8)
        self.taken_down = np.zeros(len(self.caption_id), bool)
        self.num_stored = len(self.caption_id)
        self.row_of = {number: row for row, number in enumerate(self.caption_id.tolist())}
        self.fingerprint = digest_of(title, self.caption_id, self.start, self.end, self.words.astype(np.int32))
        self._fields: dict[int, dict[str, Any]] = {}  # of rows that reviews speak of
        self._base: dict[int, dict[str, Any]] = {}  # of these, as they are stored
        self.reviews_of: dict[int, list[Review]] = {}  # by caption id
        self._by_video: tuple[int, np.ndarray, np.ndarray] | None = None
        self._disk: tuple[tuple, np.ndarray] | None = None
        self._looked = 0.0
        self.reviews = None if data_dir is None else ReviewLog(data_dir / REVIEWS_NAME)
        self._taken_up = 0  # reviews
        self._last: str | None = None  # of these, by id
        self._takedown_state: tuple | None = None
        self.video_taken_down = np.zeros(len(self.videos), bool)
        pa.default_memory_pool().release_unused()  # what was taken to count words
        self.refresh()

    @classmethod
    def of_database(cls, data_dir: str | os.PathLike) -> "Corpus":
        """
        Reads the database in a folder.

        Raises:
            FileNotFoundError, OSError, ValueError: it cannot be read, or a file beside it is damaged.
        """
        database = find_database(data_dir)
        info = read_corpus_info(database)
        parts = [
            load_dataset("surglavi", name, data_files=str(database), split="train", **options).data.table
            for name, options in (("all", _ALL), ("videos", {}), ("transcriptions", {}))
        ]
        return cls(info.title if info else "SurgLaVi", *parts, data_dir=database.parent, database=database)

    @classmethod
    def of_hub(cls, repo_id: str, revision: str | None = None, data_dir: str | os.PathLike | None = None) -> "Corpus":
        """
        Reads a dataset that `surglavi push-dataset` filled.

        Args:
            repo_id: On the Hub.
            revision: Its newest by default.
            data_dir: Where its videos are, if they are anywhere.

        Raises:
            OSError, ValueError: it cannot be had, or is no such dataset.
        """
        tables = []
        for name in ("all", "videos", "transcriptions"):
            try:
                parts: DatasetDict = load_dataset(repo_id, name, revision=revision)
            except ValueError as error:  # of what configs there are
                if name == "transcriptions":  # a corpus without any
                    tables.append(pa.table({"video_id": pa.array([], pa.int64()), "text": pa.array([], pa.string())}))
                    continue
                said = " ".join(str(error).split())
                raise ValueError(f"{repo_id} is no dataset of surglavi push-dataset ({said})") from error
            except (OSError, DatasetNotFoundError) as error:
                said = " ".join(str(error).split())
                raise OSError(
                    f"dataset {repo_id} cannot be read ({said}); if it is private, run hf auth login or set HF_TOKEN"
                ) from error
            tables.append(pa.concat_tables([part.data.table for part in parts.values()]))
        folder = None if data_dir is None else Path(data_dir).expanduser()
        return cls(repo_id, *tables, data_dir=folder)

    def __len__(self) -> int:
        return len(self.caption_id)

    def fields(self, row: int) -> dict[str, Any]:
        """Returns what reviews can change of a caption, as it is now, by the names of [`data.reviews`]."""
        if row in self._fields:
            return dict(self._fields[row])
        return self._stored(row)

    def _stored(self, row: int) -> dict[str, Any]:
        caption, narration = (self._table[name][row].as_py() for name in ("caption", "raw_narration"))
        return {
            "level": int(self.level[row]),
            "start_time": float(self.start[row]),
            "end_time": float(self.end[row]),
            "caption": caption if self._table["is_enhanced"][row].as_py() else None,
            "raw_narration": narration,
            "is_surgical_content": bool(self.surgical[row]),
            "is_descriptive": bool(self.descriptive[row]),
        }

    def text(self, row: int) -> str:
        """Returns the enriched caption of a row, the narration where there is none."""
        fields = self._fields.get(row)
        if fields is None:
            return self._table["caption"][row].as_py()
        return fields["caption"] if fields["caption"] is not None else fields["raw_narration"] or ""

    def narration(self, row: int) -> str | None:
        fields = self._fields.get(row)
        return self._table["raw_narration"][row].as_py() if fields is None else fields["raw_narration"]

    def texts(self) -> Iterable[tuple[pa.Array, pa.Array]]:
        """Yields captions and narrations as they are stored, some at a time, in the order of rows."""
        for batch in self._table.select(["caption", "raw_narration"]).to_batches(5000):
            yield batch["caption"], batch["raw_narration"]

    def changed_rows(self) -> dict[int, dict[str, Any]]:
        """Returns the fields of the rows that reviews changed or added."""
        return self._fields

    def rows_of_video(self, place: int) -> np.ndarray:
        """Returns the rows of a video in order of time, longer ones first; deleted ones included."""
        with self.lock:
            if self._by_video is None or self._by_video[0] != self.version:
                order = np.lexsort((-self.end, self.start, self.video))
                firsts = np.searchsorted(self.video[order], np.arange(len(self.videos) + 1))
                self._by_video = self.version, order, firsts
            _, order, firsts = self._by_video
        return order[firsts[place] : firsts[place + 1]]

    def transcription(self, place: int) -> str | None:
        """Returns what was said in a video, where that is known."""
        found = self._transcriptions.filter(pc.equal(self._transcriptions["video_id"], self.videos.ids[place].item()))
        texts = [text for text in found["text"].to_pylist() if text and text.strip()]
        return "\n\n".join(texts) or None

    def disk(self) -> np.ndarray:
        """Returns of each video what is on disk: "video", "frames", or the reason why nothing is."""
        now = time.monotonic()
        if self._disk is not None and now - self._looked < _LOOK_AGAIN_S:  # it is asked for each row of a page
            return self._disk[1]
        self._looked = now
        folders = [] if self.library is None else [self.library.root / "videos", self.library.root / "frames"]
        files = [*folders, *([] if self.library is None else [self.library.manifest_path])]
        state = tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in files)
        with self.lock:
            if self._disk is None or self._disk[0] != state:
                self._disk = state, self._look()
            return self._disk[1]

    def _look(self) -> np.ndarray:
        if self.library is None:
            return np.full(len(self.videos), "not here", object)
        there, stored = {*self.library.downloaded_names()}, {*self.library.stored_names()}
        attempts = {
            name: of_video[-1].status for name, of_video in Manifest(self.library.manifest_path).by_video().items()
        }
        found = []
        for name in self.videos.names:
            if name in there or name in stored:
                found.append("video" if name in there else "frames")
            else:
                status = attempts.get(name, "not tried")
                found.append("no longer there" if status == "ok" else status)
        return np.array(found, object)

    def refresh(self) -> None:
        """Takes up what was reviewed and taken down since the last time, by this process or another."""
        with self.lock:
            reviews = self.reviews.read() if self.reviews is not None else []
            new = reviews[self._taken_up :]
            if self._taken_up and (len(reviews) < self._taken_up or reviews[self._taken_up - 1].id != self._last):
                self._forget()  # the file is another one
                new = reviews
            for review in new:
                self.reviews_of.setdefault(review.caption_id, []).append(review)
            for caption_id in dict.fromkeys(review.caption_id for review in new):
                self._take_up(caption_id)
            self._taken_up, self._last = len(reviews), reviews[-1].id if reviews else None
            self.version += bool(new)
            self._take_down()

    def _forget(self) -> None:
        for row in list(self._fields):
            if row < self.num_stored:
                self._set(row, self._base[row], 0)
        self._fields, self.reviews_of = {}, {}
        for name in ("caption_id", "video", "level", "start", "end", "surgical", "descriptive", "words", "state"):
            setattr(self, name, getattr(self, name)[: self.num_stored])
        self.taken_down = self.taken_down[: self.num_stored]
        self.row_of = {number: row for row, number in enumerate(self.caption_id.tolist())}
        self.version += 1

    def _take_up(self, caption_id: int) -> None:
        row, reviews = self.row_of.get(caption_id), self.reviews_of[caption_id]
        stored = row is not None and row < self.num_stored
        base = self._base.setdefault(row, self._stored(row)) if stored else None
        found = state_of(base, reviews)
        place = self.place_of_video.get(reviews[0].video_id)
        if found.fields is None or (row is None and place is None):
            return  # of another version of the corpus; surglavi review apply lists it
        if row is None:
            row = self._append(caption_id, place)
        bits = (
            CHANGED * (base is not None and found.fields != base)
            + APPROVED * found.approved
            + FLAGGED * found.flagged
            + ADDED * (base is None)
            + DELETED * found.deleted
        )
        self._set(row, found.fields, bits)
        self._fields[row] = dict(found.fields)

    def _append(self, caption_id: int, place: int) -> int:
        row = len(self.caption_id)
        values = {
            "caption_id": caption_id,
            "video": place,
            **dict.fromkeys(("level", "start", "end", "surgical", "descriptive", "words", "state"), 0),
        }
        for name, value in values.items():
            column = getattr(self, name)
            setattr(self, name, np.append(column, np.array(value, column.dtype)))
        self.taken_down = np.append(self.taken_down, False)
        self.row_of[caption_id] = row
        return row

    def _set(self, row: int, fields: Mapping[str, Any], state: int) -> None:
        text = fields["caption"] if fields["caption"] is not None else fields["raw_narration"] or ""
        values = {
            "level": fields["level"],
            "start": fields["start_time"],
            "end": fields["end_time"],
            "surgical": fields["is_surgical_content"],
            "descriptive": fields["is_descriptive"],
            "words": len(text.split()),
            "state": state,
        }
        for name, value in values.items():
            column = getattr(self, name)
            if not column.flags.writeable:  # Arrow's own memory
                column = column.copy()
                setattr(self, name, column)
            column[row] = value

    @property
    def takedown_path(self) -> Path | None:
        """Where the list is that the page adds to, and `surglavi push-dataset --takedown` reads."""
        return None if self.data_dir is None else self.data_dir / TAKEDOWN_NAME

    def _take_down(self) -> None:
        path, listed = self.takedown_path, self._published
        state: tuple = ()
        if path is not None and path.is_file():
            status = path.stat()
            state = status.st_size, status.st_mtime_ns
        if self._takedown_state == (state, len(self)):
            return
        if state:
            listed = listed | Takedown.read(path)
        names = self.videos.names
        ids = [video_identity(known, None, name) for known, name in zip(self.videos.youtube_ids, names, strict=True)]
        self.video_taken_down = np.array(
            [bool(listed.videos & {name, identity}) for name, identity in zip(names, ids, strict=True)], bool
        )
        self.taken_down = self.video_taken_down[self.video] | np.isin(self.caption_id, list(listed.captions))
        self._takedown_state = state, len(self)
        self.version += 1


def _videos(videos: pa.Table) -> Videos:
    def column(name: str) -> list:
        return videos[name].to_pylist() if name in videos.column_names else [None] * videos.num_rows

    names = [name or "" for name in column("name")]
    ids = [find_youtube_id(*known) for known in zip(column("youtube_id"), column("url"), strict=True)]
    durations, fps = (
        np.array([value or np.nan for value in column(name)], np.float64) for name in ("duration", "fps")
    )
    titles = [
        title.strip() if title and title.strip() else name for title, name in zip(column("title"), names, strict=True)
    ]
    about = {name: column(name) for name in _OF_VIDEO}
    return Videos(videos["video_id"].to_numpy(), names, ids, titles, durations, fps, about)
