# SPDX-License-Identifier: Apache-2.0
import json
from types import SimpleNamespace

import pytest
from datasets import Dataset

from surglavi_hf.data.trained_on import NO_RECORD, TrainedOn, video_keys
from surglavi_hf.evaluation.overlap import benchmark_notice, benchmark_overlap, overlap_notice, trained_overlap

VIDEOS = [("id-1", "a"), ("id-2", "b"), (None, "c")]


def model_at(name, commit=None):
    return SimpleNamespace(config=SimpleNamespace(_name_or_path=str(name), _commit_hash=commit))


def rows(*videos) -> Dataset:
    """Two clips of each video."""
    ids, names = zip(*videos, *videos, strict=True)
    return Dataset.from_dict({"youtube_id": list(ids), "video_name": list(names)})


@pytest.fixture
def record(tmp_path):
    """Writes which of VIDEOS a model was trained on; returns the model."""

    def write(videos=VIDEOS, unknown=None, **settings):
        content = {**settings, **TrainedOn(frozenset(video_keys(videos)), unknown).recorded()}
        (tmp_path / "training.json").write_text(json.dumps(content))
        return model_at(tmp_path)

    return write


def test_videos_are_counted_once_by_id_or_name(record):
    model = record()
    assert trained_overlap(model, rows(*VIDEOS)) == 3
    assert trained_overlap(model, rows(("id-1", "another name"), ("id-3", "b"), (None, "c"))) == 2
    assert trained_overlap(model, rows(("id-3", "a"), ("id-4", "b"))) == 0


def test_what_cannot_be_known_is_not_0(record, tmp_path):
    model = record()
    assert trained_overlap(model, rows(*VIDEOS).remove_columns("youtube_id")) == "unknown: the rows have no youtube_id"
    for nowhere in (SimpleNamespace(), model_at(""), model_at(tmp_path / "gone"), model_at("me/gone", "a" * 40)):
        assert trained_overlap(nowhere, rows(*VIDEOS)) == f"unknown: {NO_RECORD}"
    partly = record(VIDEOS[:1], unknown="nobody knows the rest")
    assert trained_overlap(partly, rows(*VIDEOS)) == 1, "what is known goes first"
    assert trained_overlap(partly, rows(*VIDEOS[1:])) == "unknown: nobody knows the rest"


def test_a_model_of_the_hub(hub_server, record, tmp_path, monkeypatch):
    """Of the commit that was loaded, and from the cache where there is no network."""
    record(VIDEOS[:1])
    repository = hub_server.add("me/overlap", {"training.json": (tmp_path / "training.json").read_bytes()})
    commit = repository["commits"][-1]["id"]
    hub_server.add("me/silent", {"config.json": b"{}"})
    model = model_at("me/overlap", commit)
    assert trained_overlap(model, rows(*VIDEOS)) == 1
    assert trained_overlap(model_at("me/silent", None), rows(*VIDEOS)) == f"unknown: {NO_RECORD}"
    requests = len(hub_server.requests)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert trained_overlap(model, rows(*VIDEOS)) == 1 and len(hub_server.requests) == requests


def test_videos_of_a_benchmark_are_known_by_name_alone(record):
    model = record()
    assert benchmark_overlap(model, ["c", "video01"]) == 1 and benchmark_overlap(model, ["id-2"]) == 1
    assert benchmark_overlap(model, ["video01"]) == "0 of 1 by name; copies under other names cannot be known"
    assert benchmark_overlap(SimpleNamespace(), ["c"]) == f"unknown: {NO_RECORD}"
    assert benchmark_notice(2).startswith("the model was trained on 2 of these videos")
    assert benchmark_notice("0 of 1 by name") is None and benchmark_notice("unknown: x") is None


def test_the_notice_says_what_was_held_out(record):
    held_out = record(validation_fraction=0.1, test_fraction=0.2)
    assert overlap_notice(held_out, 3).endswith(
        "it held out 0.3 of its own: give --split validation --validation-fraction 0.3, or less"
    )
    assert overlap_notice(record(), 3).endswith("it held out none: train with --validation-fraction, such as 0.05")
    assert overlap_notice(held_out, 0) is None and overlap_notice(held_out, None) is None
    assert overlap_notice(held_out, "unknown: x") == "whether the model was trained on these videos is unknown: x"
