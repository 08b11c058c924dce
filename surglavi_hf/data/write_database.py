# SPDX-License-Identifier: Apache-2.0
"""
Writes databases: in SurgLaVi's published schema, of drawn procedures and of anyone's captions; and copies of one with
some captions changed.
"""

import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import written_whole
from .database import Connection, Level

_SCHEMA = """
    CREATE TABLE videos(
        video_id INTEGER PRIMARY KEY, title varchar, name varchar, url varchar, runtime varchar, year INTEGER,
        fps FLOAT, duration FLOAT, frame_count INTEGER, width INTEGER, height INTEGER, youtube_id varchar,
        description TEXT, procedure_modality varchar, procedure_type varchar, specialty varchar, subject varchar,
        total_caption_count INTEGER);
    CREATE TABLE levels(level_id INTEGER PRIMARY KEY, name varchar NOT NULL);
    CREATE TABLE captions(
        caption_id INTEGER PRIMARY KEY, video_id INTEGER NOT NULL REFERENCES videos(video_id), video_name varchar,
        level_id INTEGER NOT NULL REFERENCES levels(level_id), raw_narration TEXT, start_time FLOAT, end_time FLOAT,
        duration FLOAT, is_surgical_content BOOLEAN, is_descriptive BOOLEAN, caption TEXT);
    CREATE TABLE transcriptions(
        transcription_id INTEGER PRIMARY KEY, video_id INTEGER NOT NULL REFERENCES videos(video_id),
        file_path varchar, text TEXT);
"""
# How captions of an annotated corpus came about; SurgLaVi's own database has no such tables.
_PROVENANCE_SCHEMA = """
    CREATE TABLE provenance(
        caption_id INTEGER PRIMARY KEY REFERENCES captions(caption_id), title varchar, transcript_source varchar,
        transcript_model varchar, language varchar, translated BOOLEAN, confidence FLOAT, segment_model varchar,
        segment_prompt varchar, filter_model varchar, filter_prompt varchar, filter_reason TEXT, view_model varchar,
        endoscopic FLOAT, surgical FLOAT, enrich_model varchar, enrich_prompt varchar, ungrounded TEXT,
        pipeline_version varchar);
    CREATE TABLE annotation(about TEXT NOT NULL);
"""
OF_PROVENANCE = (
    *("title", "transcript_source", "transcript_model", "language", "translated", "confidence", "segment_model"),
    *("segment_prompt", "filter_model", "filter_prompt", "filter_reason", "view_model", "endoscopic", "surgical"),
    *("enrich_model", "enrich_prompt", "ungrounded", "pipeline_version"),
)
_OF_VIDEO = (
    *("title", "name", "url", "runtime", "year", "fps", "duration", "frame_count", "width", "height", "youtube_id"),
    *("description", "procedure_modality", "procedure_type", "specialty", "subject"),
)
_OF_CAPTION = (
    *("video_id", "video_name", "level_id", "raw_narration", "start_time", "end_time", "duration"),
    *("is_surgical_content", "is_descriptive", "caption"),
)


@dataclass(frozen=True)
class NewCaption:
    """
    A caption to write.

    Args:
        level: Of it.
        start, end: In seconds.
        caption: The text, None where there is the narration alone.
        narration: What was said, None where nothing is known of it.
        is_surgical, is_descriptive: Verdicts of the filters, 0, 1 or None.
        provenance: How it came about, by column of `OF_PROVENANCE`, where that is kept.
    """

    level: Level
    start: float
    end: float
    caption: str | None
    narration: str | None = None
    is_surgical: int | None = 1
    is_descriptive: int | None = 1
    provenance: Mapping[str, str | int | float | None] | None = None


@dataclass(frozen=True)
class NewVideo:
    """
    A video to write.

    Args:
        columns: Values of its row, by column; those that are missing are NULL, but for `video_id`: its place, from 1.
        captions: Of it.
        transcription: Path and text, where there is one.
    """

    columns: Mapping[str, str | int | float | None]
    captions: Sequence[NewCaption]
    transcription: tuple[str, str] | None = None


def write_database(path: str | os.PathLike, videos: Iterable[NewVideo], annotation: str | None = None) -> None:
    """
    Writes a database, whole or not at all.

    Args:
        path: The file.
        videos: In order.
        annotation: How all captions came about, in JSON; with it there is a table `provenance`, too.

    Raises:
        OSError: it cannot be written.
    """
    try:
        with written_whole(path) as beside:
            Path(beside).unlink(missing_ok=True)
            with closing(sqlite3.connect(beside)) as connection, connection:
                _fill(connection, videos, annotation)
    except sqlite3.OperationalError as error:
        raise OSError(f"{path} cannot be written ({error}); is there room for it?") from error


def _fill(connection: sqlite3.Connection, videos: Iterable[NewVideo], annotation: str | None) -> None:
    connection.executescript(_SCHEMA)
    levels = [(level, level.name.lower()) for level in Level]
    connection.executemany("INSERT INTO levels VALUES (?, ?)", levels)
    if annotation is not None:
        connection.executescript(_PROVENANCE_SCHEMA)
        connection.execute("INSERT INTO annotation VALUES (?)", (annotation,))
    first = 1
    for place, video in enumerate(videos, start=1):
        _insert(connection, video.columns.get("video_id", place), video)
        if annotation is not None:
            _insert_provenance(connection, first, video)
        first += len(video.captions)


def _insert(connection: sqlite3.Connection, number: Any, video: NewVideo) -> None:
    values = [video.columns.get(name) for name in _OF_VIDEO]
    marks = ", ".join("?" * (len(_OF_VIDEO) + 2))
    row = (number, *values, len(video.captions))
    names = ", ".join(("video_id", *_OF_VIDEO, "total_caption_count"))
    connection.execute(f"INSERT INTO videos({names}) VALUES ({marks})", row)
    name = video.columns["name"]
    connection.executemany(
        "INSERT INTO captions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *(number, name, caption.level, caption.narration, caption.start, caption.end),
                *(caption.end - caption.start, caption.is_surgical, caption.is_descriptive, caption.caption),
            )
            for caption in video.captions
        ],
    )
    if video.transcription is not None:
        connection.execute("INSERT INTO transcriptions VALUES (NULL, ?, ?, ?)", (number, *video.transcription))


def _insert_provenance(connection: sqlite3.Connection, first: int, video: NewVideo) -> None:
    """Of captions whose numbers go on from `first`, as SQLite counts them."""
    marks = ", ".join("?" * (1 + len(OF_PROVENANCE)))
    connection.executemany(
        f"INSERT INTO provenance(caption_id, {', '.join(OF_PROVENANCE)}) VALUES ({marks})",
        [
            (number, *((caption.provenance or {}).get(name) for name in OF_PROVENANCE))
            for number, caption in enumerate(video.captions, start=first)
        ],
    )


def write_changed_database(
    connection: Connection,
    path: str | os.PathLike,
    changed: Mapping[int, Mapping[str, Any]],
    added: Mapping[int, Mapping[str, Any]],
    deleted: Collection[int],
) -> None:
    """
    Writes a copy of a database in which some captions differ, whole or not at all; videos count theirs anew.

    Args:
        connection: Of the database, as [`open_database`] opens it.
        path: The copy.
        changed: Of captions, by number, the new values of some columns.
        added: Of new captions, by number, the values of all columns.
        deleted: Numbers of captions.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(path)
    try:
        with written_whole(path) as beside:
            _remove_remains(beside)
            with closing(sqlite3.connect(beside)) as copy:
                connection.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, also of a database in WAL mode
                copy.execute("PRAGMA secure_delete = ON")  # what is gone is in no free page
                with copy:
                    _change(copy, changed, added, deleted)
    except sqlite3.Error as error:
        raise OSError(f"{path} cannot be written ({error}); is there room for it?") from error


def _remove_remains(beside: Path) -> None:
    """Removes what a process that was killed left: SQLite would take up its journal."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        beside.with_name(f"{beside.name}{suffix}").unlink(missing_ok=True)


def _change(
    connection: Connection,
    changed: Mapping[int, Mapping[str, Any]],
    added: Mapping[int, Mapping[str, Any]],
    deleted: Collection[int],
) -> None:
    columns, of_videos = (
        {column[0] for column in connection.execute(f"SELECT * FROM {table} LIMIT 0").description}
        for table in ("captions", "videos")
    )
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    counts: Counter = Counter()
    for caption_id, values in changed.items():
        names = [name for name in _OF_CAPTION if name in values]
        row = (*(values[name] for name in names), caption_id)
        connection.execute(
            f"UPDATE captions SET {', '.join(f'{name} = ?' for name in names)} WHERE caption_id = ?", row
        )
    for caption_id, values in added.items():
        names = [name for name in _OF_CAPTION if name in columns]  # not every database has video_name
        row = (caption_id, *(values[name] for name in names))
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO captions(caption_id, {', '.join(names)}) VALUES ({marks})", row)
        counts[values["video_id"]] += 1
    for caption_id in deleted:
        found = connection.execute("SELECT video_id FROM captions WHERE caption_id = ?", (caption_id,))
        counts.subtract(video_id for (video_id,) in found)
        connection.execute("DELETE FROM captions WHERE caption_id = ?", (caption_id,))
        if "provenance" in tables:
            connection.execute("DELETE FROM provenance WHERE caption_id = ?", (caption_id,))
    if "total_caption_count" in of_videos:
        connection.executemany(
            "UPDATE videos SET total_caption_count = total_caption_count + ? "
            "WHERE video_id = ? AND typeof(total_caption_count) = 'integer'",
            [(count, video_id) for video_id, count in counts.items()],
        )
