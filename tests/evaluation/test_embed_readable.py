# SPDX-License-Identifier: Apache-2.0
import shutil
from importlib import import_module

import numpy as np
import pytest
from datasets import load_dataset

from surglavi_hf.evaluation import embed_clips
from surglavi_hf.evaluation.embed_readable import distinct_rows, embed_readable

module = import_module("surglavi_hf.evaluation.embed_readable")  # whose name is also its function's


@pytest.fixture
def broken(corpus, tmp_path):
    """Rows of several videos, the first of which cannot be read."""
    folder = shutil.copytree(corpus, tmp_path / "corpus")
    rows = load_dataset("surglavi", "step", data_dir=str(folder), split="train").select(range(18))
    name = rows[0]["video_name"]
    (folder / "videos" / name / f"{name}.mp4").write_bytes(b"broken")
    return rows


@pytest.fixture
def calls(monkeypatch):
    """How many clips each call of embed_clips that succeeded had."""
    counts = []

    def embed(model, processor, dataset, batch_size):
        embeds = embed_clips(model, processor, dataset, batch_size)
        counts.append(len(dataset))
        return embeds

    monkeypatch.setattr(module, "embed_clips", embed)
    monkeypatch.setattr(module, "_PART", 10)
    return counts


def test_clips_that_cannot_be_read_leave_the_others_together(broken, tiny_model, tmp_path, calls, caplog):
    rows, embeds = embed_readable(*tiny_model, broken, tmp_path / "parts")
    unreadable = [row for row, name in enumerate(broken["video_name"]) if name == broken[0]["video_name"]]
    assert 0 < len(unreadable) < 10 and rows == sorted({*range(len(broken))} - {*unreadable})
    expected = embed_clips(*tiny_model, broken.select(rows)).numpy()
    assert np.abs(embeds - expected).max() < 1e-5
    assert caplog.text.count("a clip is left out") == len(unreadable) and max(calls) > 1


def test_what_is_embedded_is_not_embedded_again(broken, tiny_model, tmp_path, calls):
    first = embed_readable(*tiny_model, broken, tmp_path / "parts")
    calls.clear()
    again = embed_readable(*tiny_model, broken, tmp_path / "parts")
    assert calls == [] and first[0] == again[0] and np.array_equal(first[1], again[1])


def test_what_can_be_read_by_now_is_added(broken, corpus, tiny_model, tmp_path, calls):
    embed_readable(*tiny_model, broken, tmp_path / "parts")
    name = broken[0]["video_name"]
    shutil.copy(corpus / "videos" / name / f"{name}.mp4", tmp_path / "corpus" / "videos" / name / f"{name}.mp4")
    calls.clear()
    rows, embeds = embed_readable(*tiny_model, broken, tmp_path / "parts")
    assert rows == list(range(len(broken))) and 0 < sum(calls) < len(broken)
    assert np.abs(embeds - embed_clips(*tiny_model, broken).numpy()).max() < 1e-5


def test_other_videos_are_other_clips(broken, tiny_model, tmp_path, calls):
    """Whatever their times."""
    rows = broken.select(range(10, 12))
    embed_readable(*tiny_model, rows, tmp_path / "parts")
    names = sorted({*broken["video_name"]} - {broken[0]["video_name"], rows[0]["video_name"]})
    other = rows.map(lambda row: {"video_name": names[0]})
    calls.clear()
    embed_readable(*tiny_model, other, tmp_path / "parts")
    assert calls == [2]


def test_distinct_rows(corpus):
    rows = load_dataset("surglavi", "step", data_dir=str(corpus), split="train")
    assert distinct_rows(rows.select([3, 0, 3, 1, 0])) == [0, 1, 3]
    with pytest.raises(ValueError, match="the dataset is empty"):
        distinct_rows(rows.select([]))
