# SPDX-License-Identifier: Apache-2.0
"""The only SQL: reads captions with their videos from a SurgLaVi database."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from enum import IntEnum
from pathlib import Path

DATABASE_NAME = "surglavi_beta.db"
TABLES = ("videos", "captions", "levels", "transcriptions")


class Level(IntEnum):
    """Granularity of a caption; the values are the database's `level_id`."""

    TASK = 1
    STEP = 2
    PHASE = 3


# Upstream semantics: min < duration <= max, NULL flags count as 0, captions without a video are dropped. The enriched
# caption may be NULL, then the narration stands in for it.
_CAPTIONS = """
    SELECT c.caption_id, c.video_id, v.youtube_id, v.name AS video_name, c.level_id,
           c.start_time, c.end_time, c.duration,
           CASE WHEN :enhanced_captions THEN coalesce(c.caption, c.raw_narration) ELSE c.raw_narration END AS caption,
           v.title, v.procedure_type
    FROM captions AS c JOIN videos AS v USING (video_id)
    WHERE c.duration > :min_duration AND c.duration <= :max_duration
      AND (:level_id IS NULL OR c.level_id = :level_id)
      AND (NOT :filter_pairs OR (c.is_descriptive = 1 AND c.is_surgical_content = 1))
    ORDER BY c.caption_id
"""


def require_database(path: Path) -> None:
    """Raises FileNotFoundError where there is no file at `path`."""
    if not path.is_file():
        raise FileNotFoundError(
            f"no database at {path}; download {DATABASE_NAME} from the Hub dataset aleperez24/SurgLaVi to this place, "
            "or name another data_dir"
        )


def open_database(path: str | os.PathLike) -> sqlite3.Connection:
    """
    Returns a read-only connection to the SurgLaVi database at `path`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not SQLite, or lacks one of the published tables.
    """
    path = Path(path).absolute()
    require_database(path)
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ValueError(
            f"{path} is not a readable SQLite database ({error}); download {DATABASE_NAME} again"
        ) from error
    if missing := [table for table in TABLES if table not in found]:
        connection.close()
        raise ValueError(
            f"database {path} has no table {', '.join(missing)} (found: {', '.join(sorted(found)) or 'none'}), "
            f"expected {', '.join(TABLES)}; download {DATABASE_NAME} again from the Hub dataset aleperez24/SurgLaVi"
        )
    return connection


def read_captions(
    path: str | os.PathLike,
    level: Level | None,
    filter_pairs: bool,
    enhanced_captions: bool,
    min_duration: float,
    max_duration: float,
    batch_size: int = 10_000,
) -> Iterator[dict[str, list]]:
    """
    Yields captions with their videos in the order of their ids, as columns of up to `batch_size` rows.

    Args:
        path: The database.
        level: Only captions of this level; `None` for all.
        filter_pairs: Only captions marked both descriptive and surgical.
        enhanced_captions: `caption` is the enriched caption rather than the raw narration.
        min_duration: Seconds, excluded.
        max_duration: Seconds, included.

    Raises:
        FileNotFoundError, ValueError: as [`open_database`].
    """
    parameters = {
        "level_id": level,
        "filter_pairs": filter_pairs,
        "enhanced_captions": enhanced_captions,
        "min_duration": min_duration,
        "max_duration": max_duration,
    }
    with closing(open_database(path)) as connection:
        cursor = connection.execute(_CAPTIONS, parameters)
        names = [column[0] for column in cursor.description]
        while rows := cursor.fetchmany(batch_size):
            yield dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
