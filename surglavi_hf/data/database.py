# SPDX-License-Identifier: Apache-2.0
"""The only SQL: reads the tables of a SurgLaVi database into Arrow, every value of its declared type or null."""

import itertools
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import IntEnum, IntFlag
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..media.identity import find_youtube_id

Connection = sqlite3.Connection
DATABASE_NAME = "surglavi_beta.db"
TABLES = ("videos", "captions", "levels", "transcriptions")
_ROWS_PER_FETCH = 1000  # more do not stay in the processor's cache
_REMEDY = "download it from the Hub dataset aleperez24/SurgLaVi"


class State(IntFlag):
    """A caption's flags, and of its text (the enriched caption, the narration where that is NULL) what it is."""

    SURGICAL = 1
    DESCRIPTIVE = 2
    ENHANCED = 4  # there is an enriched caption
    NOT_TEXT = 8
    EMPTY = 16  # no text but white space
    SILENT = 32  # the narration is empty, NULL or not text


class Level(IntEnum):
    """Granularity of a caption; the values are the published `level_id`."""

    TASK = 1
    STEP = 2
    PHASE = 3


# The published names: task, step, phase; fine, mid, coarse since version 2 of the paper.
LEVEL_NAMES = {level.name.lower(): level for level in Level}
LEVEL_NAMES |= {"fine": Level.TASK, "mid": Level.STEP, "coarse": Level.PHASE}

VIDEO_COLUMNS = {
    "video_id": pa.int64(),
    "title": pa.string(),
    "name": pa.string(),
    "url": pa.string(),
    "runtime": pa.string(),
    "year": pa.int64(),
    "fps": pa.float64(),
    "duration": pa.float64(),
    "frame_count": pa.int64(),
    "width": pa.int64(),
    "height": pa.int64(),
    "youtube_id": pa.string(),
    "description": pa.string(),
    "procedure_modality": pa.string(),
    "procedure_type": pa.string(),
    "specialty": pa.string(),
    "subject": pa.string(),
    "total_caption_count": pa.int64(),
}
TRANSCRIPTION_COLUMNS = {
    "transcription_id": pa.int64(),
    "video_id": pa.int64(),
    "file_path": pa.string(),
    "text": pa.string(),
}
_WHITE_SPACE = "".join(character for character in map(chr, range(0x3001)) if character.isspace())  # all of Unicode's
# All three in one order: an index for one of them would order equal ids its own way.
# SQLite holds any type in any column. Of flags and text only the state is read: one number is faster than six.
_SELECT_CAPTIONS = """
    SELECT caption_id, video_id, level_id, start_time, end_time, duration,
           (is_surgical_content IS 1)
           + 2 * (is_descriptive IS 1)
           + 4 * (caption IS NOT NULL)
           + 8 * (typeof(coalesce(caption, raw_narration, '')) != 'text')
           + 16 * (ltrim(coalesce(caption, raw_narration, ''), :white_space) = '')
           + 32 * (:narrations AND (typeof(raw_narration) != 'text' OR ltrim(raw_narration, :white_space) = ''))
           AS state
    FROM captions NOT INDEXED ORDER BY captions.caption_id
"""
_SELECT_TEXTS = """
    SELECT CASE WHEN typeof(caption) = 'text' THEN caption END,
           CASE WHEN typeof(raw_narration) = 'text' THEN raw_narration END
    FROM captions NOT INDEXED ORDER BY captions.caption_id
"""
_CAPTION_COLUMNS = {
    **dict.fromkeys(("caption_id", "video_id", "level_id"), pa.int64()),
    **dict.fromkeys(("start_time", "end_time", "duration"), pa.float64()),
    "state": pa.int64(),
}
_SELECT_TEXTS_AT = """
    SELECT caption_id, CASE WHEN typeof(caption) = 'text' THEN caption END,
           CASE WHEN typeof(raw_narration) = 'text' THEN raw_narration END
    FROM captions WHERE rowid = ?
"""
_SELECT_CAPTION = "SELECT * FROM captions NOT INDEXED ORDER BY captions.caption_id LIMIT 1 OFFSET ?"
_REQUIRED_COLUMNS = {
    "SELECT * FROM videos LIMIT 0": ("video_id", "name", "youtube_id"),
    "SELECT * FROM captions LIMIT 0": (
        *("caption_id", "video_id", "level_id", "start_time", "end_time", "duration"),
        *("caption", "raw_narration", "is_surgical_content", "is_descriptive"),
    ),
    "SELECT * FROM transcriptions LIMIT 0": ("transcription_id", "video_id", "text"),
    "SELECT * FROM levels LIMIT 0": ("level_id",),
}


@contextmanager
def open_database(path: str | os.PathLike) -> Iterator[sqlite3.Connection]:
    """
    Opens the SurgLaVi database at `path` read-only; all reads see one state of it.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: another program has locked it, or left it in the middle of a write.
        ValueError: the file is not SQLite, is damaged, or lacks a published table or column.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise FileNotFoundError(f"no database at {path}; {_REMEDY}, or name another file")
    database_error = sqlite3.DatabaseError  # found even when a generator is closed as Python ends
    try:
        with closing(_connect(path)) as connection:
            _check_schema(path, connection)
            yield connection
    except database_error as error:
        if isinstance(error, sqlite3.ProgrammingError):
            raise
        if "locked" in str(error):
            raise OSError(
                f"database {path} is locked by another program; close that program or read a copy of the file"
            ) from error
        if isinstance(error, sqlite3.OperationalError) and (beside := _unfinished(path)):
            raise OSError(
                f"database {path} cannot be read ({error}): {beside} holds an unfinished write; copy both to a folder "
                "that can be written to and open the copy once with sqlite3"
            ) from error
        raise ValueError(f"{path} is not a readable SQLite database ({error}); {_REMEDY}") from error


def _unfinished(path: Path) -> str | None:
    logs = (path.with_name(f"{path.name}{suffix}") for suffix in ("-journal", "-wal"))
    return next((log.name for log in logs if log.is_file() and log.stat().st_size), None)


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.as_uri()}?mode=ro"
    in_use = any(path.with_name(f"{path.name}{suffix}").exists() for suffix in ("-wal", "-shm"))
    with path.open("rb") as file:
        if not in_use and file.read(20)[18:] == b"\x02\x02":
            uri += "&immutable=1"  # in WAL mode SQLite would write beside a file that nobody has open
    # datasets interleaves streams from threads, one at a time each.
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    connection.execute("BEGIN")
    return connection


def database_state(path: Path) -> tuple[str, ...]:
    """Returns what changes when the database does: time and size of the file, and of its log in WAL mode."""
    files = (path, path.with_name(f"{path.name}-wal"))
    stats = [file.stat() for file in files if file.is_file()]
    return tuple(str(number) for stat in stats if stat.st_size for number in (stat.st_mtime_ns, stat.st_size))


def _check_schema(path: Path, connection: sqlite3.Connection) -> None:
    found = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    ((page_size,),) = connection.execute("PRAGMA page_size")
    if path.stat().st_size % page_size:  # SQLite itself notices only missing whole pages
        raise ValueError(f"database {path} is cut short in the middle of a page; {_REMEDY}")
    if missing := [table for table in TABLES if table not in found]:
        raise ValueError(
            f"database {path} has no table {', '.join(missing)} (found: {', '.join(sorted(found)) or 'none'}), "
            f"expected {', '.join(TABLES)}; {_REMEDY}"
        )
    for query, columns in _REQUIRED_COLUMNS.items():
        found = [column[0] for column in connection.execute(query).description]
        if missing := [column for column in columns if column not in found]:
            raise ValueError(
                f"table {query.split()[3]} of database {path} has no column {', '.join(missing)} "
                f"(found: {', '.join(found)}); {_REMEDY}"
            )
    if not {"name", "level_name"} & set(found):  # of levels, the last
        raise ValueError(f"table levels of database {path} has neither column name nor level_name; {_REMEDY}")


def read_levels(connection: sqlite3.Connection) -> dict[int, Level]:
    """Returns which `level_id` stands for which level, by the names in `levels`; unknown names are left out."""
    cursor = connection.execute("SELECT * FROM levels")
    columns = [column[0] for column in cursor.description]
    levels = {}
    for values in cursor:
        row = dict(zip(columns, values, strict=True))
        name = row.get("name", row.get("level_name"))
        if isinstance(name, str) and isinstance(row["level_id"], int) and name.strip().lower() in LEVEL_NAMES:
            levels[row["level_id"]] = LEVEL_NAMES[name.strip().lower()]
    return levels


def read_captions(connection: sqlite3.Connection, narrations: bool = False) -> pa.Table:
    """
    Returns all captions in the order of their ids: ids and times, of their column's type or null, and instead of flags
    and texts their `state`, a sum of [`State`] values, `SILENT` only with `narrations`.
    """
    cursor = connection.execute(_SELECT_CAPTIONS, {"narrations": narrations, "white_space": _WHITE_SPACE})
    return _typed_table(cursor, _CAPTION_COLUMNS)


def read_texts(connection: sqlite3.Connection, keep: np.ndarray) -> Iterator[tuple[pa.StringArray, pa.StringArray]]:
    """
    Yields the enriched captions and raw narrations of the captions to keep, a few at a time, in the order of
    [`read_captions`]; text that is not UTF-8 with replacement characters, another type as null.

    Args:
        keep: `(num_captions,)` booleans.
    """
    cursor = connection.execute(_SELECT_TEXTS)
    connection.text_factory = bytes  # Arrow is faster to check that it is UTF-8
    start = 0
    while rows := cursor.fetchmany(_ROWS_PER_FETCH):
        kept = list(itertools.compress(rows, keep[start : start + len(rows)]))
        start += len(rows)
        if kept:
            captions, narrations = zip(*kept, strict=True)
            yield _decoded(captions), _decoded(narrations)


def read_places(connection: sqlite3.Connection) -> np.ndarray:
    """Returns SQLite's own number of each caption, in the order of [`read_captions`]."""
    places = connection.execute("SELECT rowid FROM captions NOT INDEXED ORDER BY captions.caption_id")
    return np.fromiter((place for (place,) in places), np.int64)


def read_texts_at(
    connection: sqlite3.Connection, places: np.ndarray, caption_ids: np.ndarray
) -> Iterator[tuple[pa.StringArray, pa.StringArray]]:
    """
    Yields the enriched captions and raw narrations of some captions as [`read_texts`], in any order.

    Args:
        places: `(num_captions,)`, as [`read_places`] returns them.
        caption_ids: `(num_captions,)`, what is to be found there.

    Raises:
        OSError: another caption is there, or none.
    """
    connection.text_factory = bytes
    for start in range(0, len(places), _ROWS_PER_FETCH):
        chosen = slice(start, start + _ROWS_PER_FETCH)
        found = [
            connection.execute(_SELECT_TEXTS_AT, (place,)).fetchone() or (None,) * 3
            for place in places[chosen].tolist()
        ]
        ids, captions, narrations = zip(*found, strict=True)
        if list(ids) != caption_ids[chosen].tolist():
            path = os.fsdecode(connection.execute("PRAGMA database_list").fetchone()[2])
            raise OSError(f"database {path} was changed while it was streamed; load the dataset again")
        yield _decoded(captions), _decoded(narrations)


def read_stored_caption(connection: sqlite3.Connection, row: int) -> dict[str, Any]:
    """Returns the row of that number in [`read_captions`] as it is stored, whatever the types."""
    cursor = connection.execute(_SELECT_CAPTION, (row,))
    return dict(zip((column[0] for column in cursor.description), cursor.fetchone(), strict=True))


def read_videos(connection: sqlite3.Connection) -> pa.Table:
    """
    Returns the table `videos` with its published columns, a value of a wrong type as null; as `youtube_id` the id that
    it or the address holds, however they are written, and what is stored where neither holds one.
    """
    videos = _typed_table(connection.execute("SELECT * FROM videos ORDER BY video_id"), VIDEO_COLUMNS)
    stored = (videos[name].to_pylist() for name in ("youtube_id", "url"))
    ids = [find_youtube_id(youtube_id, url) or youtube_id for youtube_id, url in zip(*stored, strict=True)]
    return videos.set_column(videos.column_names.index("youtube_id"), "youtube_id", pa.array(ids, pa.string()))


def read_transcriptions(connection: sqlite3.Connection) -> pa.Table:
    """Returns the table `transcriptions`, a value of a wrong type as null."""
    return _typed_table(
        connection.execute("SELECT * FROM transcriptions ORDER BY transcription_id"), TRANSCRIPTION_COLUMNS
    )


def read_annotation(connection: sqlite3.Connection) -> str | None:
    """Returns what an annotated corpus says of how it came about, in JSON; None of another."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'annotation'").fetchone():
        return None
    rows = connection.execute("SELECT about FROM annotation LIMIT 1").fetchall()
    return rows[0][0] if rows and isinstance(rows[0][0], str) else None


def _typed_table(cursor: sqlite3.Cursor, types: dict[str, pa.DataType]) -> pa.Table:
    names = [column[0] for column in cursor.description]
    convert = {pa.string(): _texts, pa.int64(): _integers, pa.float64(): _floats}
    batches = []
    while rows := cursor.fetchmany(_ROWS_PER_FETCH):
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        nothing = (None,) * len(rows)
        arrays = [convert[type_](columns.get(name, nothing)) for name, type_ in types.items()]
        batches.append(pa.RecordBatch.from_arrays(arrays, names=list(types)))
    return pa.Table.from_batches(batches, pa.schema(types)).combine_chunks()


def _integers(values: tuple) -> pa.Array:
    try:
        array = pa.array(values)
        if array.type == pa.int64():
            return array
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # types that do not mix
        pass
    whole = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    return pa.array(
        [value if isinstance(value, int) and -(2**63) <= value < 2**63 else None for value in whole], pa.int64()
    )


def _floats(values: tuple) -> pa.Array:
    try:
        return pa.array(values, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # not a number, or an integer above 2**53
        return pa.array([float(value) if isinstance(value, int | float) else None for value in values], pa.float64())


def _texts(values: tuple) -> pa.StringArray:
    return pa.array([value if isinstance(value, str) else None for value in values], pa.string())


def _decoded(values: tuple[bytes | None, ...]) -> pa.StringArray:
    array = pa.array(values, pa.binary())
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([value and str(value, "utf-8", "replace") for value in values], pa.string())
