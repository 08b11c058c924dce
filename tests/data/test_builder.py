# SPDX-License-Identifier: Apache-2.0
import random
import shutil
import sqlite3
import subprocess
import sys

import pytest
from datasets import load_dataset

from surglavi_hf.data import DATABASE_NAME
from surglavi_hf.data.builder import split_position

LEVELS = ("task", "step", "phase")


def reference_rows(path, level="all", filter_pairs=True, enhanced_captions=True, min_duration=0, max_duration=500):
    """The upstream semantics, written out in plain Python."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    videos = {row["video_id"]: row for row in connection.execute("SELECT * FROM videos")}
    rows = []
    for row in connection.execute("SELECT * FROM captions ORDER BY caption_id"):
        flagged = row["is_descriptive"] == 1 and row["is_surgical_content"] == 1
        if (
            row["video_id"] in videos
            and min_duration < row["duration"] <= max_duration
            and level in ("all", LEVELS[row["level_id"] - 1])
            and (flagged or not filter_pairs)
        ):
            text = row["caption"] if enhanced_captions and row["caption"] is not None else row["raw_narration"]
            name = videos[row["video_id"]]["name"]
            rows.append((row["caption_id"], name, row["level_id"] - 1, row["start_time"], row["end_time"], text))
    connection.close()
    return rows


def built_rows(dataset):
    columns = ("caption_id", "video_name", "level", "start_time", "end_time", "caption")
    return list(zip(*(dataset[name] for name in columns), strict=True))


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """NULLs, orphans, durations on and around the limits."""
    rng = random.Random(0)
    path = tmp_path_factory.mktemp("database") / DATABASE_NAME
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE videos(video_id INTEGER PRIMARY KEY, title, name, youtube_id, procedure_type);"
        "CREATE TABLE captions(caption_id INTEGER PRIMARY KEY, video_id, video_name, level_id, raw_narration,"
        " start_time FLOAT, end_time FLOAT, duration FLOAT, is_surgical_content, is_descriptive, caption);"
        "CREATE TABLE levels(level_id, name);"
        "CREATE TABLE transcriptions(transcription_id, video_id, file_path, text);"
    )
    for video in range(1, 40):
        connection.execute(
            "INSERT INTO videos VALUES (?, ?, ?, ?, NULL)", (video, f"Vidéo {video}", f"v{video}", f"id{video}")
        )
    for caption in range(1, 600):
        start, duration = rng.uniform(0, 100), rng.choice([0, 0.5, 3, 3.0000001, 200, 500, 500.001, 6000])
        connection.execute(
            "INSERT INTO captions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                caption,
                rng.randint(1, 45),  # some have no video
                "unused",
                rng.randint(1, 3),
                f"raw {caption}",
                start,
                start + duration,
                duration,
                rng.choice([0, 1, 1, None]),
                rng.choice([0, 1, 1, None]),
                rng.choice([f"Enriched {caption}: naïve “quotes”", None]),
            ),
        )
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize(
    "level, options",
    [
        ("all", {}),
        ("task", {}),
        ("step", {"filter_pairs": False}),
        ("phase", {"enhanced_captions": False}),
        ("all", {"filter_pairs": False, "min_duration": 3, "max_duration": 200}),
        ("all", {"max_duration": 10_000.0}),
    ],
)
def test_rows_equal_the_upstream_semantics(database, level, options):
    dataset = load_dataset("surglavi", level, data_dir=str(database.parent), split="train", **options)
    expected = reference_rows(database, level, **options)
    assert built_rows(dataset) == expected and len(expected) > 20


def test_all_is_the_default_and_data_files_works(database):
    default = load_dataset("surglavi", data_dir=str(database.parent), split="train")
    named = load_dataset("surglavi", "all", data_files=str(database), split="train")
    assert built_rows(default) == built_rows(named) == reference_rows(database)
    assert {default[index]["clip"].video_dir for index in range(3)} == {str(database.parent)}


def test_an_option_given_at_its_default_shares_the_cache(database):
    plain, given, other = (
        load_dataset("surglavi", "task", data_dir=str(database.parent), split="train", **options).cache_files
        for options in ({}, {"filter_pairs": True, "max_duration": 500, "test_fraction": 0.0}, {"filter_pairs": False})
    )
    assert plain == given != other


def test_level_is_a_class_label(database):
    dataset = load_dataset("surglavi", data_dir=str(database.parent), split="train")
    assert tuple(dataset.features["level"].names) == LEVELS


def test_splits_partition_the_videos(database):
    whole = load_dataset("surglavi", data_dir=str(database.parent), split="train")
    splits = load_dataset("surglavi", data_dir=str(database.parent), validation_fraction=0.2, test_fraction=0.3)
    videos = {name: set(rows["youtube_id"]) for name, rows in splits.items()}
    assert set(videos) == {"train", "validation", "test"} and all(videos.values())
    assert sum(map(len, videos.values())) == len(set.union(*videos.values())), "a video in two splits"
    assert sorted(row for rows in splits.values() for row in built_rows(rows)) == built_rows(whole)
    assert all(split_position(youtube_id) < 0.3 for youtube_id in videos["test"])


@pytest.mark.parametrize(
    "options",
    [
        {"test_fraction": -0.1},
        {"test_fraction": 0.6, "validation_fraction": 0.4},
        {"min_duration": 5.0, "max_duration": 5.0},
        {"min_duration": -1.0},
    ],
)
def test_options_out_of_range(database, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        load_dataset("surglavi", data_dir=str(database.parent), **options)


def test_no_database_in_data_dir(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"no database at {tmp_path}/surglavi_beta\.db; .*data_dir"):
        load_dataset("surglavi", "phase", data_dir=str(tmp_path))


@pytest.mark.parametrize("name", ["a[b]", "a*", "what?", "{a,b}"])
def test_a_folder_whose_name_looks_like_a_pattern(database, tmp_path, name):
    """The pattern would match its neighbours."""
    for folder in (name, "ab", "a", "what1"):
        (tmp_path / folder).mkdir()
    shutil.copy(database, tmp_path / name / DATABASE_NAME)
    for neighbour in ("ab", "a", "what1"):
        (tmp_path / neighbour / DATABASE_NAME).write_bytes(b"not this one")
    dataset = load_dataset("surglavi", data_dir=str(tmp_path / name), split="train")
    assert built_rows(dataset) == reference_rows(database)


def test_no_data_dir():
    with pytest.raises(ValueError, match="surglavi needs data_dir"):
        load_dataset("surglavi")


def test_data_files_that_are_not_one_database(database, tmp_path):
    shutil.copy(database, tmp_path / "other.db")
    for files in ([str(database), str(tmp_path / "other.db")], {"test": str(database)}):
        with pytest.raises(ValueError, match="surglavi reads one database"):
            load_dataset("surglavi", data_files=files)


def test_unknown_config(database):
    with pytest.raises(ValueError, match=r"'fase' not found. Available: \['all', 'task', 'step', 'phase'\]"):
        load_dataset("surglavi", "fase", data_dir=str(database.parent))


def test_broken_databases(tmp_path):
    path = tmp_path / DATABASE_NAME
    path.write_bytes(b"x" * 5000)
    with pytest.raises(ValueError, match="not a readable SQLite database"):
        load_dataset("surglavi", data_dir=str(tmp_path))
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE videos(video_id)")
    connection.close()
    with pytest.raises(ValueError, match="has no table captions"):
        load_dataset("surglavi", data_dir=str(tmp_path))


def test_a_changed_database_is_built_anew(database, tmp_path):
    copy = tmp_path / DATABASE_NAME
    shutil.copy(database, copy)
    before = load_dataset("surglavi", data_dir=str(tmp_path), split="train")
    (tmp_path / "videos").mkdir()
    again = load_dataset("surglavi", data_dir=str(tmp_path), split="train")
    assert again.cache_files == before.cache_files
    connection = sqlite3.connect(copy)
    connection.execute("UPDATE captions SET caption = 'changed'")
    connection.commit()
    connection.close()
    after = load_dataset("surglavi", data_dir=str(tmp_path), split="train")
    assert set(after["caption"]) == {"changed"} and len(after) == len(before)


def test_streaming_gives_the_same_rows(database):
    streamed = load_dataset("surglavi", "step", data_dir=str(database.parent), split="train", streaming=True)
    built = load_dataset("surglavi", "step", data_dir=str(database.parent), split="train")
    assert list(streamed) == list(built)


def test_full_scale(shared, tmp_path):
    """The real export: 157,249 rows, times and text those of the database."""
    path = tmp_path / DATABASE_NAME
    subprocess.run([sys.executable, shared / "tools" / "make_beta_db.py", path], check=True)
    dataset = load_dataset("surglavi", data_dir=str(tmp_path), split="train")
    assert len(dataset) == 157_249
    assert built_rows(dataset) == reference_rows(path)
