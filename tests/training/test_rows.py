# SPDX-License-Identifier: Apache-2.0
import json
import shutil

import pytest
import torch
from datasets import ClassLabel, Dataset, concatenate_datasets, load_dataset

from surglavi_hf import TrainingConfig, train
from surglavi_hf.data import VideoClip
from surglavi_hf.training.rows import fingerprint, rows_of
from surglavi_hf.training.start import new_tiny_model

from .conftest import metrics_of

STORED = ("video_name", "start_time", "end_time")
ADDED = {"caption_id", "video_id", "video_name", "level", "start_time", "end_time"}
SMALL = {"max_steps": 2, "per_device_train_batch_size": 4, "save_steps": 0}


@pytest.fixture(scope="module")
def rows(stored_corpus) -> Dataset:
    """As the builder gives them."""
    return load_dataset("surglavi", data_dir=str(stored_corpus), split="train").select(range(40))


@pytest.fixture
def own(rows, stored_corpus) -> Dataset:
    """Clips and captions, and nothing else."""
    clips = [{name: json.loads(clip)[name] for name in STORED} for clip in rows["clip"]]
    dataset = Dataset.from_dict({"clip": clips, "caption": rows["caption"]})
    return dataset.cast_column("clip", VideoClip(str(stored_corpus)))


def test_rows_of_a_corpus_stay_as_they_are(rows):
    found = rows_of(rows, "it")
    assert found.features == rows.features and found[:] == rows[:]


def test_what_is_missing_is_what_the_clips_say(rows, own):
    found = rows_of(own, "it")
    assert set(found.column_names) == {"clip", "caption"} | ADDED
    for name in ("video_name", "start_time", "end_time", "clip", "caption"):
        assert found[name] == rows[name], name
    assert found["caption_id"] == list(range(len(own))) and set(found["level"]) == {0}
    pairs = set(zip(found["video_id"], found["video_name"], strict=True))
    assert len(pairs) == len(set(found["video_id"])) == len(set(found["video_name"])) > 1


def test_columns_that_say_otherwise_than_the_clips_are_put_right(rows):
    wrong = rows.map(lambda row: {"start_time": 0.0, "video_id": 1})
    found = rows_of(wrong, "it")
    assert found["start_time"] == rows["start_time"]
    assert len(set(found["video_id"])) == len(set(rows["video_name"]))
    assert fingerprint(found) == fingerprint(rows)


def test_levels_by_name(rows, own):
    words = ["fine", "step", "coarse", "task"] * 10
    found = rows_of(own.add_column("level", words), "it")
    assert found["level"] == [0, 1, 2, 0] * 10
    mine = ClassLabel(names=["phase", "step", "task"])
    found = rows_of(own.add_column("level", [0, 1, 2, 2] * 10).cast_column("level", mine), "it", "phase")
    assert set(found["level"]) == {2} and len(found) == 10
    with pytest.raises(ValueError, match="column level of it has verse, expected task, step, phase"):
        rows_of(own.add_column("level", ["verse"] * 40), "it")
    with pytest.raises(ValueError, match=r"column level of it is .*, expected names"):
        rows_of(own.add_column("level", [1] * 40), "it")
    with pytest.raises(ValueError, match="level=task, but it has no column level"):
        rows_of(own, "it", "task")


def test_the_same_row_twice_is_one_caption_two_captions_of_one_id_are_not(rows):
    twice = concatenate_datasets([rows, rows])
    assert rows_of(twice, "it")["caption_id"] == [*rows["caption_id"], *rows["caption_id"]]
    other = rows.map(lambda row: {"caption": row["caption"] + " again"})
    with pytest.raises(ValueError, match=r"caption_id \d+ of it has two captions; remove_columns"):
        rows_of(concatenate_datasets([rows, other]), "it")
    anew = rows_of(concatenate_datasets([rows, other]).remove_columns("caption_id"), "it")
    assert len(set(anew["caption_id"])) == 80


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows.remove_columns("caption"), "it has no column caption; it has clip; rename_column one"),
        (lambda rows: rows.rename_column("clip", "video"), "it has no column clip; it has video, caption"),
        (lambda rows: rows.remove_columns("clip").add_column("clip", [1] * 40), "column clip of it is .*VideoClip"),
        (
            lambda rows: rows.remove_columns("caption").add_column("caption", [1] * 40),
            "caption of it is .*, expected t",
        ),
        (
            lambda rows: rows.map(lambda row: {"caption": " "}),
            "it: 40 of 40 rows have no clip or caption|without clip",
        ),
        (lambda rows: rows.select([]), "it has no clips; give a dataset with rows"),
        (lambda rows: rows.to_iterable_dataset(), "it is a IterableDataset, expected a datasets.Dataset"),
        (lambda rows: rows.with_transform(lambda rows: rows), "it has a transform"),
        (lambda rows: rows.add_column("caption_id", ["a"] * 40), "caption_id of it is .*, expected whole numbers"),
    ],
)
def test_what_is_wrong_is_one_line(own, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        rows_of(change(own), "it")
    assert "\n" not in str(caught.value)


def test_videos_that_are_not_on_disk_are_left_out(own, caplog, tmp_path):
    clips = [{name: json.loads(clip)[name] for name in STORED} for clip in own["clip"]]
    clips = [{"video_name": "nowhere", "start_time": 0.0, "end_time": 1.0}, *clips]
    more = Dataset.from_dict({"clip": clips, "caption": ["a"] * 41})
    found = rows_of(more.cast_column("clip", own.features["clip"]), "it")
    assert len(found) == 40 and "1 of 41 clips left out: 1 videos are not on disk" in caplog.text
    with pytest.raises(FileNotFoundError, match=r"none of the \d+ videos of it is on disk"):
        rows_of(own.cast_column("clip", VideoClip(str(tmp_path))), "it")


def test_a_run_on_own_rows_and_an_own_model(own, tmp_path):
    torch.manual_seed(0)
    model, processor = new_tiny_model(own["caption"])
    before = model.text_projection.weight.clone() if hasattr(model, "text_projection") else None
    config = TrainingConfig(output_dir=str(tmp_path / "run"), eval_steps=2, **SMALL)
    folder = train(config, own, own.select(range(10)), model, processor)
    last = metrics_of(tmp_path / "run")[-1]
    assert last["step"] == 2 and "validation/task_accuracy" in last
    recorded = json.loads((folder / "training.json").read_text())
    assert len(recorded["trained_on"]) == len({clip.video_name for clip in own["clip"]})
    assert before is None or not torch.equal(before, model.text_projection.weight)
    with pytest.raises(ValueError, match="clips was 40, sha256"):
        train(TrainingConfig(output_dir=str(tmp_path / "run"), resume="auto", **SMALL), own.select(range(20)))


def test_the_same_rows_give_the_same_run(rows, stored_corpus, tmp_path):
    """Whether they come from a corpus, from a folder of the Hub's form, or are given."""
    config = {"data_dir": str(stored_corpus), "max_duration": 20.0, **SMALL}
    train(TrainingConfig(output_dir=str(tmp_path / "corpus"), **config))
    table = load_dataset("surglavi", data_dir=str(stored_corpus), split="train", max_duration=20.0)
    train(TrainingConfig(output_dir=str(tmp_path / "given"), **SMALL), table)
    table.remove_columns("clip").to_parquet(tmp_path / "published" / "train.parquet")
    config = {"dataset_name": str(tmp_path / "published"), "video_dir": str(stored_corpus), **SMALL}
    train(TrainingConfig(output_dir=str(tmp_path / "folder"), **config))
    table.remove_columns("clip").save_to_disk(tmp_path / "saved")
    config["dataset_name"] = str(tmp_path / "saved")
    train(TrainingConfig(output_dir=str(tmp_path / "disk"), **config))
    losses = [[row["loss"] for row in metrics_of(tmp_path / name)] for name in ("corpus", "given", "folder", "disk")]
    assert losses[0] == losses[1] == losses[2] == losses[3] and len(losses[0]) == 2


def test_a_dataset_of_the_hub(stored_corpus, tmp_path, hub_server, stranger):
    table = load_dataset("surglavi", "phase", data_dir=str(stored_corpus), split="train").remove_columns("clip")
    table.to_parquet(tmp_path / "train.parquet")
    repository = hub_server.add("datasets/me/own", {"train.parquet": (tmp_path / "train.parquet").read_bytes()})
    script = f"""
from surglavi_hf import TrainingConfig
from surglavi_hf.training.rows import load_rows
from surglavi_hf.training.run import TrainingRun
options = {{"dataset_name": "me/own", "video_dir": {str(stored_corpus)!r}, "per_device_train_batch_size": 4}}
config = TrainingConfig(None, {str(tmp_path)!r}, **options)
run = TrainingRun(config)
print(len(run.dataset), run.config.dataset_revision)
try:
    load_rows(config, "validation")
except ValueError as error:
    print(error)
"""
    assert stranger(script).splitlines() == [
        f"{len(table)} {repository.commits[0]['id']}",
        "me/own has no split validation; it has train",
    ]


@pytest.mark.parametrize(
    "settings, given, message",
    [
        ({}, (), "there is nothing to train on; give data_dir, dataset_name, or a dataset"),
        ({"data_dir": "in"}, ("rows",), "dataset and data_dir name two sources"),
        (
            {"min_duration": 2.0},
            ("rows",),
            "min_duration chooses captions of data_dir, a dataset has rows as they are",
        ),
        ({"eval_steps": 2}, ("rows",), "eval_steps needs a validation split; give validation_dataset"),
        ({"data_dir": "in"}, (None, "rows"), "validation_dataset goes with dataset"),
        ({}, ("rows", "rows"), "validation_dataset without eval_steps is never looked at"),
        ({}, ("rows", None, "model"), "model and processor belong together"),
        ({"model_name_or_path": "m"}, ("rows", None, "model", "processor"), "model and model_name_or_path name two"),
        ({}, ("rows", None, "model", "processor"), "a str cannot be trained, expected a SurgCLIPModel"),
    ],
)
def test_contradictions_are_named(settings, given, message, own, tmp_path):
    given = [own if part == "rows" else part for part in given]
    with pytest.raises(ValueError, match=message):
        train(TrainingConfig(output_dir=str(tmp_path / "run"), **settings), *given)
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
