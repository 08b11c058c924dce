# SPDX-License-Identifier: Apache-2.0
import multiprocessing
import sqlite3

import numpy as np
import pytest

from surglavi_hf.data import DATABASE_NAME, Level
from surglavi_hf.data.database import (
    State,
    database_state,
    open_database,
    read_captions,
    read_levels,
    read_stored_caption,
    read_texts,
    read_videos,
)

from .reference import write_database

CAPTION = {"video_id": 1, "level_id": 1, "start_time": 1, "end_time": 3, "duration": 2, "caption": "x"}


def rows_of(path):
    with open_database(path) as connection:
        return read_captions(connection).num_rows


def test_missing_database(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no database at .*x\.db; download"), open_database(tmp_path / "x.db"):
        pass
    assert not list(tmp_path.iterdir()), "sqlite3 creates what it does not find unless told otherwise"


def test_not_sqlite(tmp_path):
    path = tmp_path / "x.db"
    path.write_bytes(b"something else " * 100)
    with pytest.raises(ValueError, match=r"x\.db is not a readable SQLite database"):
        rows_of(path)


def test_missing_table(tmp_path):
    path = tmp_path / "x.db"
    sqlite3.connect(path).execute("CREATE TABLE videos(video_id)").connection.close()
    with pytest.raises(ValueError, match=r"x\.db has no table captions, levels, transcriptions \(found: videos\)"):
        rows_of(path)


@pytest.mark.parametrize(
    "change, message",
    [
        ("ALTER TABLE captions RENAME COLUMN end_time TO finish", "table captions of .* has no column end_time"),
        ("ALTER TABLE videos RENAME COLUMN youtube_id TO id", "table videos of .* has no column youtube_id"),
        ("ALTER TABLE levels RENAME COLUMN name TO label", "has neither column name nor level_name"),
    ],
)
def test_missing_column(tmp_path, change, message):
    path = write_database(tmp_path / "x.db")
    sqlite3.connect(path).execute(change).connection.close()
    with pytest.raises(ValueError, match=message):
        rows_of(path)


@pytest.mark.parametrize("kept", [0.001, 0.3, 0.9, 0.999])
def test_truncated(corpus, tmp_path, kept):
    content = (corpus / DATABASE_NAME).read_bytes()
    path = tmp_path / "x.db"
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ValueError, match=r"x\.db is (not a readable SQLite database|cut short)"):
        rows_of(path)


def test_damaged_inside(corpus, tmp_path):
    content = bytearray((corpus / DATABASE_NAME).read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.db is not a readable SQLite database"):
        rows_of(path)


def test_read_only(corpus):
    with pytest.raises(ValueError, match="readonly"), open_database(corpus / DATABASE_NAME) as connection:
        connection.execute("DELETE FROM captions")


def test_a_name_with_uri_characters(corpus, tmp_path):
    path = tmp_path / "a?mode=rwc&b#c %41.db"
    path.write_bytes((corpus / DATABASE_NAME).read_bytes())
    assert rows_of(path) == rows_of(corpus / DATABASE_NAME)


def hold(path, held, release):
    connection = sqlite3.connect(path)
    connection.execute("BEGIN EXCLUSIVE")
    held.set()
    release.wait(60)
    connection.close()


def test_locked(tmp_path):
    """sqlite3 waits five seconds before it gives up."""
    path = write_database(tmp_path / "x.db")
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(path, held, release))
    process.start()
    try:
        assert held.wait(60)
        with pytest.raises(OSError, match=r"x\.db is locked by another program; close that program or"):
            rows_of(path)
    finally:
        release.set()
        process.join()


def test_wal_mode(tmp_path):
    """What another program wrote and did not yet move into the file is read, and changes the state."""
    path = write_database(tmp_path / "x.db", captions=[{"caption_id": 1} | CAPTION])
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = wal")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    before = database_state(path)
    writer.execute("INSERT INTO captions SELECT 2, 1, 'v', 1, 'r', 1, 3, 2, 1, 1, 'x'")
    writer.commit()
    assert rows_of(path) == 2 and database_state(path) != before
    writer.close()
    assert [file.name for file in tmp_path.iterdir()] == ["x.db"] and rows_of(path) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["x.db"], "reading left something behind"


def test_an_unfinished_write(tmp_path):
    """A journal that only a writer could undo."""
    path = write_database(tmp_path / "x.db", captions=[{"caption_id": 1} | CAPTION])
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA cache_spill = 1")
    writer.execute("BEGIN")
    writer.execute("UPDATE captions SET caption = zeroblob(9000)")
    writer.execute("PRAGMA cache_size = 1")
    writer.executemany(
        "INSERT INTO captions(caption_id, caption) VALUES (?, zeroblob(9000))", [(i,) for i in range(2, 99)]
    )
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("x.db*"):
        (copy / file.name).write_bytes(file.read_bytes())
    writer.close()
    assert (copy / "x.db-journal").stat().st_size
    with pytest.raises(
        OSError, match=r"x\.db cannot be read \(.*\): x\.db-journal holds an unfinished write; copy both"
    ):
        rows_of(copy / "x.db")


def test_repeated_ids_keep_their_texts(tmp_path):
    """Without a primary key, and with indexes that would serve the reads in different orders."""
    path = tmp_path / "x.db"
    videos = [{"video_id": 1, "name": "v"}]
    captions = [
        {"caption_id": index} | CAPTION | {"caption": f"c{99 - index}", "end_time": 50 - index} for index in range(40)
    ]
    write_database(path, videos=videos, captions=captions)
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE copy AS SELECT caption_id / 2 AS caption_id, video_id, video_name, level_id, raw_narration,"
        " start_time, end_time, duration, is_surgical_content, is_descriptive, caption FROM captions;"
        "DROP TABLE captions; ALTER TABLE copy RENAME TO captions;"
        "CREATE INDEX one ON captions(caption_id, video_id, level_id, end_time, start_time, duration,"
        " is_surgical_content, is_descriptive, caption, raw_narration);"
        "CREATE INDEX two ON captions(caption_id, caption, raw_narration);"
    )
    connection.close()
    with open_database(path) as connection:
        ends = read_captions(connection)["end_time"].to_pylist()
        stored = [read_stored_caption(connection, row)["caption"] for row in range(40)]
        ((captions, _),) = read_texts(connection, np.ones(40, dtype=bool))
    assert captions.to_pylist() == stored == [f"c{int(49 + end)}" for end in ends]


def test_levels_by_either_column_and_either_names(tmp_path):
    levels = [{"level_id": 7, "name": "fine"}, {"level_id": 8, "name": " Coarse "}, {"level_id": 9, "name": "other"}]
    path = write_database(tmp_path / "x.db", levels=levels)
    with open_database(path) as connection:
        assert read_levels(connection) == {7: Level.TASK, 8: Level.PHASE}
    sqlite3.connect(path).execute("ALTER TABLE levels RENAME COLUMN name TO level_name").connection.close()
    with open_database(path) as connection:
        assert read_levels(connection) == {7: Level.TASK, 8: Level.PHASE}


def test_types_are_those_of_the_column(tmp_path):
    video = {"video_id": 1, "name": "v", "width": 640.0, "height": 3.5, "fps": 25, "year": 2.0**63, "title": b"blob"}
    rows = [
        {"caption_id": 1} | CAPTION | {"start_time": 2**62, "level_id": "1", "caption": None, "is_descriptive": 1},
        {"caption_id": 2} | CAPTION | {"video_id": -(2**63), "is_surgical_content": 1.0, "caption": b"\xff"},
        {"caption_id": 3} | CAPTION | {"caption": "", "raw_narration": "r"},
    ]
    path = write_database(tmp_path / "x.db", videos=[video], captions=rows)
    with open_database(path) as connection:
        (read,) = read_videos(connection).to_pylist()
        captions = read_captions(connection, narrations=True).to_pylist()
    assert (read["width"], read["height"], read["fps"], read["year"], read["title"]) == (640, None, 25.0, None, None)
    assert [row["level_id"] for row in captions] == [None, 1, 1] and captions[0]["start_time"] == 2.0**62
    assert captions[1]["video_id"] == -(2**63)
    assert [State(row["state"]) for row in captions] == [
        State.DESCRIPTIVE | State.EMPTY | State.SILENT,
        State.SURGICAL | State.ENHANCED | State.NOT_TEXT | State.SILENT,
        State.ENHANCED | State.EMPTY,
    ]


def test_texts_of_the_rows_to_keep(tmp_path):
    rows = [
        {"caption_id": index} | CAPTION | {"caption": f"c{index}", "raw_narration": index} for index in range(3000)
    ]
    path = write_database(tmp_path / "x.db", captions=rows)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE captions SET caption = CAST(x'41ff42' AS TEXT) WHERE caption_id = 2500")
    connection.execute("UPDATE captions SET caption = x'41' WHERE caption_id = 2600")
    connection.commit()
    connection.close()
    keep = np.arange(3000) % 100 == 0
    with open_database(path) as connection:
        texts = list(read_texts(connection, keep))
    captions = [text for batch, _ in texts for text in batch.to_pylist()]
    expected = [f"c{index}" for index in range(0, 3000, 100)]
    expected[25], expected[26] = "A�B", None
    assert captions == expected and len(texts) > 1
    assert {text for _, batch in texts for text in batch.to_pylist()} == {None}, "numbers are no narration"


def test_a_row_as_it_is_stored(tmp_path):
    rows = [{"caption_id": index} | CAPTION for index in (5, 3)]
    rows[0]["start_time"] = b"\x00"
    path = write_database(tmp_path / "x.db", captions=rows)
    with open_database(path) as connection:
        assert read_stored_caption(connection, 1)["start_time"] == b"\x00"
        assert read_stored_caption(connection, 0)["caption_id"] == 3


def test_level_values_are_the_level_ids(corpus):
    with open_database(corpus / DATABASE_NAME) as connection:
        assert read_levels(connection) == {level: level for level in Level}
