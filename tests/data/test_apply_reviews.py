# SPDX-License-Identifier: Apache-2.0
import json
import sqlite3
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from datasets import load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from surglavi_hf.data import DATABASE_NAME, check_database
from surglavi_hf.data.apply_reviews import Conflict, apply_reviews
from surglavi_hf.data.reviews import FIELDS, REVIEWS_NAME, Review, ReviewLog, state_of
from surglavi_hf.data.write_database import write_changed_database

from .reference import SCHEMA, stored, write_database
from .test_reviews import STEPS, change, review

NEW = {"level": 3, "start_time": 4.0, "end_time": 9.5, "caption": "Calot’s triangle", "raw_narration": None}
NEW |= {"is_surgical_content": True, "is_descriptive": True}


def caption(number: int, **more) -> dict:
    """As the fields of `test_reviews.BASE` are stored."""
    found = {
        "caption_id": number,
        "video_id": 3,
        "video_name": "v3",
        "level_id": 1,
        "raw_narration": "so here we grasp it",
    }
    found |= {"start_time": 1.0, "end_time": 2.5, "duration": 1.5, "is_surgical_content": 1, "is_descriptive": 0}
    return found | {"caption": "The gallbladder is grasped."} | more


def fields_of(row: dict) -> dict:
    """Of a row as it is stored."""
    flags = {name: row[name] == 1 for name in ("is_surgical_content", "is_descriptive")}
    return {"level": row["level_id"]} | {name: row[name] for name in FIELDS[1:5]} | flags


def write(folder: Path, captions: list[dict], **tables) -> Path:
    counts = Counter(row["video_id"] for row in captions)
    videos = [{"video_id": 3, "name": "v3", "youtube_id": "id3"}, {"video_id": 4, "name": "v4", "youtube_id": "id4"}]
    videos = [video | {"total_caption_count": counts[video["video_id"]]} for video in videos]
    folder.mkdir(exist_ok=True)
    return write_database(folder / DATABASE_NAME, videos=videos, captions=captions, **tables)


@pytest.fixture
def database(tmp_path) -> Path:
    return write(tmp_path / "corpus", [caption(number) for number in range(1, 11)] + [caption(50, video_id=4)])


def note(folder: Path, *reviews: Review) -> None:
    """Writes a log, each review after the last of its caption."""
    last: dict[int, str] = {}
    with (folder / REVIEWS_NAME).open("a", encoding="utf-8") as file:
        for one in reviews:
            one = one if one.action == "add" else replace(one, follows=last.get(one.caption_id))
            last[one.caption_id] = one.id
            file.write(json.dumps(asdict(one)) + "\n")


def test_reviews_are_applied_to_a_copy(database, tmp_path):
    before = database.read_bytes(), stored(database, "captions")
    note(
        database.parent,
        change(1, caption="Der Schnitt", start_time=0.5),
        replace(change(2, level=2, raw_narration=None, is_descriptive=True), caption_id=8),
        review(3, caption_id=2, action="delete", before=fields_of(caption(2))),
        review(4, caption_id=51, action="add", after=NEW),
        review(5, caption_id=52, action="add", after=NEW, video_id=4, video_name="v4"),
        review(6, caption_id=52, action="delete", before=NEW, video_id=4, video_name="v4"),
        review(7, caption_id=3),
        review(8, caption_id=4),
        review(9, caption_id=4, action="approve"),
        review(10, caption_id=5, action="delete", before=fields_of(caption(5))),
        review(11, caption_id=5, action="restore"),
    )
    done = apply_reviews(database.parent, tmp_path / "new.db")
    assert database.read_bytes() == before[0]
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "new.db"}
    counts = {"change": 2, "flag": 2, "approve": 1, "add": 2, "delete": 3, "restore": 1}
    assert (done.database, done.actions) == (tmp_path / "new.db", counts)
    assert (done.changed, done.retimed, done.added, done.deleted, done.flagged) == (2, (7,), 1, 1, 1)
    assert (done.conflicts, done.skipped) == ((), 0)
    expected = {row["caption_id"]: row for row in before[1]}
    expected[7] |= {"caption": "Der Schnitt", "start_time": 0.5, "duration": 2.0}
    expected[8] |= {"level_id": 2, "raw_narration": None, "is_descriptive": 1}
    del expected[2]
    added = {"caption_id": 51, "video_id": 3, "video_name": "v3", "level_id": 3, "raw_narration": None}
    added |= {"start_time": 4.0, "end_time": 9.5, "duration": 5.5, "is_surgical_content": 1, "is_descriptive": 1}
    expected[51] = added | {"caption": "Calot’s triangle"}
    assert stored(done.database, "captions") == [expected[number] for number in sorted(expected)]
    assert [video["total_caption_count"] for video in stored(done.database, "videos")] == [10, 1]
    assert check_database(done.database).left_out == {}
    rows = load_dataset("surglavi", data_files=str(done.database), split="train", filter_pairs=False)
    assert {row["caption_id"]: row["caption"] for row in rows} == {n: row["caption"] for n, row in expected.items()}


@settings(max_examples=60)
@given(st.lists(STEPS, min_size=4, max_size=4), st.lists(st.integers(0, 3), max_size=32))
def test_what_is_written_is_what_the_fold_says(tmp_path_factory, steps, order):
    """Of reviews of four captions, in any order of captions; each made from what was there."""
    folder = tmp_path_factory.mktemp("corpus")
    write(folder, [caption(number) for number in range(1, 4)])
    base = {number: fields_of(caption(number)) for number in range(1, 4)} | {4: None}
    queues = {number: list(steps[number - 1]) for number in range(1, 5)}
    queues[4].insert(0, {"add": NEW})
    made: dict[int, list[Review]] = {number: [] for number in range(1, 5)}
    log = ReviewLog(folder / REVIEWS_NAME)
    for number in [place + 1 for place in order] + [number for number in range(1, 5) for _ in range(10)]:
        if not queues[number]:
            continue
        step, now = queues[number].pop(0), state_of(base[number], made[number])
        about = {"caption_id": number, "follows": now.last}
        count = sum(map(len, made.values()))
        if isinstance(step, str):
            one = review(count, action=step, before=now.fields if step == "delete" else {}, **about)
        elif "add" in step:
            one = log.append_new(lambda found, at=count: review(at, action="add", caption_id=found, after=NEW), 3)
        else:
            values = {"before": {name: now.fields[name] for name in step}, "after": step}
            one = review(count, action="change", **values, **about)
        if one.action != "add":
            log.append(one)
        made[number].append(one)
    done = apply_reviews(folder, folder / "new.db")
    states = {number: state_of(base[number], made[number]) for number in range(1, 5)}
    rows = {row["caption_id"]: row for row in stored(folder / "new.db", "captions")}
    assert {number: fields_of(row) for number, row in rows.items()} == {
        number: state.fields for number, state in states.items() if not state.deleted
    }
    assert all(row["duration"] == row["end_time"] - row["start_time"] for row in rows.values())
    assert [video["total_caption_count"] for video in stored(folder / "new.db", "videos")] == [len(rows), 0]
    assert done.conflicts == () and sum(done.actions.values()) == sum(map(len, made.values()))
    assert done.flagged == sum(state.flagged and not state.deleted for state in states.values())
    assert done.changed == sum(states[number].fields != base[number] and number in rows for number in (1, 2, 3))
    unchanged = [number for number in (1, 2, 3) if states[number].fields == base[number] and number in rows]
    assert [rows[number] for number in unchanged] == [caption(number) for number in unchanged]


def test_reviews_of_another_version_of_the_corpus(tmp_path):
    captions = [caption(number) for number in range(1, 8)]
    captions[0]["caption"], captions[1]["end_time"], captions[2]["video_id"] = "Something else.", 3.5, 4
    captions[3] |= {"raw_narration": None, "caption": b"\xff"}
    database = write(tmp_path / "corpus", captions, levels=[{"level_id": 1, "name": "task"}])
    made = [
        change(1, caption="b"),
        change(2, caption="b"),
        change(3, end_time=4.0),
        change(4, caption="b"),
        change(5, caption="b"),
        review(6, action="approve"),
        review(7, action="approve", video_id=9, video_name="v9"),
        review(8, action="approve", video_name="other"),
        review(9, action="add", after=NEW),
        review(10, action="add", after=NEW | {"level": 1}, video_id=9, video_name="v9"),
        review(11, action="add", after=NEW),
        review(12, action="add", after=NEW | {"level": 1}),
        review(13, action="add", after=NEW | {"level": 1}),
    ]
    numbers = [1, 2, 2, 3, 4, 60, 5, 6, 7, 61, 62, 63, 63]
    note(database.parent, *(replace(one, caption_id=number) for one, number in zip(made, numbers, strict=True)))
    done = apply_reviews(database.parent, tmp_path / "new.db")
    assert stored(tmp_path / "new.db", "captions") == stored(database, "captions")
    assert done.actions == {} and done.changed == done.added == 0
    was, now = {"caption": "The gallbladder is grasped."}, {"caption": "Something else."}
    here, there = {"video_id": 3, "video_name": "v3"}, {"video_id": 4, "video_name": "v4"}
    assert done.conflicts == (
        Conflict(1, "v3", "the values are others", was, now),
        Conflict(2, "v3", "the values are others", {"end_time": 2.5}, {"end_time": 3.5}),
        Conflict(3, "v3", "the video is another", here, there),
        Conflict(4, "v3", "the caption cannot be used: caption is not text"),
        Conflict(5, "v9", "there is no video 9"),
        Conflict(6, "other", "the video is another", here | {"video_name": "other"}, here),
        Conflict(7, "v3", "the number of an added caption is another caption's", NEW, fields_of(captions[6])),
        Conflict(60, "v3", "there is no such caption"),
        Conflict(61, "v9", "there is no video 9"),
        Conflict(62, "v3", "the database has no level phase"),
        Conflict(63, "v3", "the caption was added twice"),
    )


def test_the_rest_is_applied_where_there_are_conflicts(database, tmp_path):
    note(database.parent, change(1, caption="b"), replace(change(2, caption="b"), caption_id=99))
    with (database.parent / REVIEWS_NAME).open("a") as file:
        file.write("not a review\n")
    done = apply_reviews(database.parent, tmp_path / "new.db")
    assert (done.changed, len(done.conflicts), done.skipped, done.actions) == (1, 1, 1, {"change": 1})
    assert {row["caption_id"]: row["caption"] for row in stored(tmp_path / "new.db", "captions")}[7] == "b"


def test_levels_have_the_numbers_of_the_database(tmp_path):
    levels = [{"level_id": 10, "name": "Coarse"}, {"level_id": 20, "name": "mid"}, {"level_id": 30, "name": "fine"}]
    levels.append({"level_id": 40, "name": "step"})
    database = write(tmp_path / "corpus", [caption(7, level_id=30), caption(8, level_id=40)], levels=levels)
    note(
        database.parent,
        change(1, level=2),
        replace(change(2, caption="b"), caption_id=8),
        review(3, caption_id=9, action="add", after=NEW),
    )
    apply_reviews(database.parent, tmp_path / "new.db")
    assert [row["level_id"] for row in stored(tmp_path / "new.db", "captions")] == [20, 40, 10]


def test_a_database_in_wal_mode(database, tmp_path):
    """What is in the log of another process comes along, and the copy is one file."""
    with sqlite3.connect(database) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("UPDATE captions SET caption = 'in the log' WHERE caption_id = 1")
        other.commit()
        assert database.with_name(f"{DATABASE_NAME}-wal").stat().st_size
        note(database.parent, change(1, caption="b"))
        apply_reviews(database.parent, tmp_path / "new.db")
    other.close()
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "new.db"}
    assert (tmp_path / "new.db").read_bytes()[18:20] == b"\1\1"
    assert [row["caption"] for row in stored(tmp_path / "new.db", "captions")][::6] == ["in the log", "b"]


def test_a_database_without_what_is_not_needed(tmp_path):
    """Neither the name of a caption's video nor a count of captions, and captions without a key."""
    path = tmp_path / DATABASE_NAME
    schema = SCHEMA.replace("video_name, ", "").replace("subject,\n        total_caption_count", "subject")
    connection = sqlite3.connect(path)
    connection.executescript(schema.replace("caption_id INTEGER PRIMARY KEY", "caption_id"))
    connection.execute("INSERT INTO levels VALUES (1, 'task'), (2, 'step'), (3, 'phase')")
    connection.execute("INSERT INTO videos(video_id, name) VALUES (3, 'v3')")
    for number in (7, 7, 8):
        row = {name: value for name, value in caption(number).items() if name != "video_name"}
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO captions({', '.join(row)}) VALUES ({marks})", list(row.values()))
    connection.commit()
    connection.close()
    note(
        tmp_path,
        change(1, caption="b"),
        replace(change(2, caption="b"), caption_id=8),
        review(3, caption_id=9, action="add", after=NEW),
    )
    done = apply_reviews(tmp_path, tmp_path / "new.db")
    assert [conflict.reason for conflict in done.conflicts] == ["the caption cannot be used: caption_id repeated"]
    assert [row["caption"] for row in stored(done.database, "captions")][2:] == ["b", "Calot’s triangle"]


def test_what_is_gone_is_in_no_free_page(database, tmp_path):
    secret = "Mrs Jane Example, born in May"
    database = write(
        database.parent, [caption(number, raw_narration=f"{secret} {number}") for number in range(1, 300)]
    )
    assert secret.encode() in database.read_bytes()
    before = [fields_of(caption(number, raw_narration=f"{secret} {number}")) for number in range(1, 300)]
    note(
        database.parent,
        *(review(n, caption_id=n, action="delete", before=fields) for n, fields in enumerate(before, 1)),
    )
    apply_reviews(database.parent, tmp_path / "new.db")
    assert secret.encode() not in (tmp_path / "new.db").read_bytes()


def test_whole_or_not_at_all(database, tmp_path, monkeypatch):
    note(database.parent, change(1, caption="b"))
    (tmp_path / ".new.db-unfinished").write_bytes(b"left by a kill")
    (tmp_path / ".new.db-unfinished-journal").write_bytes(b"left by a kill")

    def fail(*arguments):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("surglavi_hf.data.write_database._change", fail)
        with pytest.raises(OSError, match=r"new\.db cannot be written \(database or disk is full\)"):
            apply_reviews(database.parent, tmp_path / "new.db")
    assert {path.name for path in tmp_path.iterdir()} == {"corpus"}
    apply_reviews(database.parent, tmp_path / "new.db")
    with pytest.raises(FileExistsError, match=r"new\.db is there already; name a new file"):
        apply_reviews(database.parent, tmp_path / "new.db")
    with pytest.raises(FileExistsError):
        apply_reviews(database.parent, database)
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere to write new\.db to"):
        apply_reviews(database.parent, tmp_path / "nowhere" / "new.db")


def test_a_corpus_without_reviews(database, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no reviews in .*reviews\.jsonl; make some with surglavi explore"):
        apply_reviews(database.parent, tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


def test_a_writer_names_what_it_was_given(database, tmp_path):
    with sqlite3.connect(database) as connection, pytest.raises(OSError, match="cannot be written"):
        write_changed_database(connection, tmp_path / "new.db", {1: {"level_id": object()}}, {}, [])
    connection.close()
