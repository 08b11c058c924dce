# SPDX-License-Identifier: Apache-2.0
import sqlite3

import pytest

from surglavi_hf.data import DATABASE_NAME, Level
from surglavi_hf.data.database import open_database, read_captions


def test_missing_database(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no database at .*x\.db; download"):
        open_database(tmp_path / "x.db")
    assert not list(tmp_path.iterdir()), "sqlite3 creates what it does not find unless told otherwise"


def test_not_sqlite(tmp_path):
    path = tmp_path / "x.db"
    path.write_bytes(b"something else " * 100)
    with pytest.raises(ValueError, match=r"x\.db is not a readable SQLite database"):
        open_database(path)


def test_missing_table(tmp_path):
    path = tmp_path / "x.db"
    sqlite3.connect(path).execute("CREATE TABLE videos(video_id)").connection.close()
    with pytest.raises(ValueError, match=r"x\.db has no table captions, levels, transcriptions \(found: videos\)"):
        open_database(path)


def test_read_only(corpus):
    connection = open_database(corpus / DATABASE_NAME)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM captions")
    connection.close()


def test_a_name_with_uri_characters(corpus, tmp_path):
    path = tmp_path / "a?mode=rwc&b#c %41.db"
    path.write_bytes((corpus / DATABASE_NAME).read_bytes())
    open_database(path).close()


def test_batches_are_ordered_and_bounded(corpus):
    batches = list(read_captions(corpus / DATABASE_NAME, None, True, True, 0, 500, batch_size=50))
    ids = [caption_id for batch in batches for caption_id in batch["caption_id"]]
    assert ids == sorted(ids) and all(len(batch["caption_id"]) == 50 for batch in batches[:-1])


def test_level_values_are_the_level_ids(corpus):
    with open_database(corpus / DATABASE_NAME) as connection:
        assert dict(connection.execute("SELECT level_id, name FROM levels")) == {
            level: level.name.lower() for level in Level
        }
    connection.close()
