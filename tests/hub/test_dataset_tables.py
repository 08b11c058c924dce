# SPDX-License-Identifier: Apache-2.0
import pyarrow.parquet as pq
import pytest
from datasets import concatenate_datasets, load_dataset

from surglavi_hf.data import SplitOptions, Takedown
from surglavi_hf.hub import dataset_tables
from surglavi_hf.hub.dataset_tables import SHARD_NAME, published_splits, unknown_entries, with_copies, write_shards


@pytest.fixture
def steps(corpus):
    splits = published_splits(corpus, Takedown(), SplitOptions(test_fraction=0.3))
    return next(dataset for config, split, dataset in splits if (config, split) == ("step", "test"))


def test_many_rows_are_several_shards(steps, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_tables, "MAX_SHARD_BYTES", steps.data.nbytes // 3)
    written = write_shards("step", "test", steps, tmp_path)
    names = list(written.files)
    assert len(names) in (3, 4) and all(SHARD_NAME.fullmatch(name) for name in names)
    assert names == [f"step/test-{index:05d}-of-{len(names):05d}.parquet" for index in range(len(names))]
    loaded = load_dataset("parquet", data_files=[str(path) for path in written.files.values()], split="train")
    assert list(loaded) == list(steps) and loaded.features == steps.features


def test_the_same_rows_are_the_same_bytes(steps, tmp_path):
    twice = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        twice.append(
            [path.read_bytes() for path in write_shards("step", "test", steps, tmp_path / name).files.values()]
        )
    assert twice[0] == twice[1]


def test_levels_and_splits_are_parts_of_all(corpus):
    tables = {}
    for config, split, dataset in published_splits(corpus, Takedown(), SplitOptions(test_fraction=0.3)):
        tables[config, split] = dataset
    for split in ("train", "test"):
        levels = concatenate_datasets([tables[level, split] for level in ("phase", "step", "task")])
        assert sorted(levels["caption_id"]) == tables["all", split]["caption_id"][:]
    videos = {split: set(tables["videos", split]["name"]) for split in ("train", "test")}
    assert not videos["train"] & videos["test"]
    assert set(tables["all", "test"]["video_name"]) <= videos["test"]
    assert "clip" not in tables["all", "test"].features and "file" not in tables["transcriptions", "test"].features


def test_entries(corpus):
    videos = load_dataset("surglavi", "videos", data_dir=str(corpus), split="train")
    named = Takedown.of_text(f"{videos[0]['name']}\nnobody\ncaption:1\ncaption:987654")
    assert with_copies(corpus, named).videos == named.videos | {videos[0]["youtube_id"]}
    assert unknown_entries(corpus, named).entries() == ["nobody", "caption:987654"]


def test_parquet_is_plain(steps, tmp_path):
    (path,) = write_shards("step", "test", steps, tmp_path).files.values()
    assert {str(column.type) for column in pq.read_schema(path)} == {"int64", "double", "string", "bool"}
