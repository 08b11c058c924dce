# SPDX-License-Identifier: Apache-2.0
import sqlite3
from collections import Counter

import numpy as np
from datasets import load_dataset

from surglavi_hf.data import DATABASE_NAME
from surglavi_hf.demo.corpus import TEST_FRACTION, is_unseen, write_corpus
from surglavi_hf.demo.drawing import ACTIONS, INSTRUMENTS, TASK_S, TISSUES, Scene, Task
from surglavi_hf.demo.run import MEANINGS, PROMPTS
from surglavi_hf.media import VideoLibrary, decode_frames


def rows(corpus, query: str) -> list[sqlite3.Row]:
    connection = sqlite3.connect(corpus / DATABASE_NAME)
    connection.row_factory = sqlite3.Row
    result = connection.execute(query).fetchall()
    connection.close()
    return result


def test_tables(corpus):
    assert [tuple(row) for row in rows(corpus, "SELECT * FROM levels")] == [(1, "task"), (2, "step"), (3, "phase")]
    videos = rows(corpus, "SELECT * FROM videos")
    assert len(videos) == 10 and sum(row["total_caption_count"] == 0 for row in videos) == 1
    assert len(rows(corpus, "SELECT * FROM transcriptions WHERE text != ''")) == 9
    for video in videos:
        count = len(rows(corpus, f"SELECT * FROM captions WHERE video_id = {video['video_id']}"))
        assert count == video["total_caption_count"]
        assert VideoLibrary(corpus).video_path(video["name"]).is_file()
    captions = rows(corpus, "SELECT * FROM captions")
    flags = Counter((row["is_surgical_content"], row["is_descriptive"]) for row in captions)
    assert set(flags) == {(1, 1), (0, 1), (1, 0), (None, None)}
    assert all(row["raw_narration"] and row["duration"] == row["end_time"] - row["start_time"] for row in captions)


def test_levels_nest(corpus):
    nested = """
        SELECT child.caption_id, count(parent.caption_id) FROM captions child LEFT JOIN captions parent
        ON parent.video_id = child.video_id AND parent.level_id = child.level_id + 1
        AND parent.start_time <= child.start_time AND parent.end_time >= child.end_time
        WHERE child.level_id < 3 AND child.is_descriptive = 1 AND child.is_surgical_content = 1
        GROUP BY child.caption_id
    """
    counts = [count for _, count in rows(corpus, nested)]
    assert len(counts) == 9 * (18 + 6) and set(counts) == {1}


def test_unseen_combinations_are_in_test_videos_alone(corpus):
    table = load_dataset("surglavi", "task", data_dir=str(corpus), test_fraction=TEST_FRACTION)
    assert not set(table["train"]["video_id"]) & set(table["test"]["video_id"])
    unseen = {split: [is_unseen(*MEANINGS[caption]) for caption in data["caption"]] for split, data in table.items()}
    assert not any(unseen["train"]) and sum(unseen["test"]) * 3 == len(unseen["test"])


def test_every_caption_is_a_class(corpus):
    table = load_dataset("surglavi", data_dir=str(corpus), split="train")
    for level, caption in zip(table["level"], table["caption"], strict=True):
        assert caption in PROMPTS[("task", "step", "phase")[level]]
    assert [len(PROMPTS[level]) for level in ("phase", "step", "task")] == [6, 36, 216]
    assert sum(is_unseen(*combination) for combination in MEANINGS.values()) == len(TISSUES) * len(INSTRUMENTS)


def test_what_is_seen_is_what_the_caption_says(corpus):
    """Decodes clips and compares them with the drawings of every action: that of the caption is nearest."""
    table = load_dataset("surglavi", "task", data_dir=str(corpus), split="train").select(range(0, 100, 7))
    for row in table:
        tissue, instrument, action = MEANINGS[row["caption"]]
        video, number = int(row["video_name"].split("-")[1]) - 1, round(row["start_time"] / 3.5)
        seen = row["clip"].frames(6).permute(0, 2, 3, 1).numpy().astype(int)
        distance = {}
        for name in ACTIONS:
            scene = Scene(np.random.default_rng([3, video, number]), Task(tissue, instrument, name, 0.0, 0, 0))
            drawn = [scene.frame(np.floor((index + 0.5) / 6 * TASK_S * 8) / 23) for index in range(6)]
            distance[name] = np.abs(np.stack(drawn).astype(int) - seen).mean()
        assert min(distance, key=distance.get) == action, distance


def test_a_seed_gives_the_same_corpus(corpus, tmp_path):
    write_corpus(tmp_path, seed=3, num_train=6, num_test=3, num_silent=1)
    query = "SELECT video_name, start_time, caption, raw_narration FROM captions"
    assert [tuple(row) for row in rows(tmp_path, query)] == [tuple(row) for row in rows(corpus, query)]
    one, two = (VideoLibrary(root).video_path("procedure-001") for root in (corpus, tmp_path))
    assert decode_frames(one, [5.0]).equal(decode_frames(two, [5.0]))
    assert not list(tmp_path.rglob("*unfinished"))
