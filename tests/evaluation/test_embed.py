# SPDX-License-Identifier: Apache-2.0
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset

from surglavi_hf.data import VideoDecodeError
from surglavi_hf.evaluation import embed_clips, embed_texts
from surglavi_hf.evaluation.embed import check_any, list_unreadable


def test_rows_and_batches(oracle, processor, clips):
    found = embed_clips(oracle, processor, clips)
    embeds = found.embeds
    assert found.rows == [0, 1, 2, 3] and not found.unreadable
    assert embeds.argmax(dim=1).tolist() == [1, 0, 1, 2]
    assert torch.equal(embeds, embed_clips(oracle, processor, clips, batch_size=3, num_workers=1).embeds)
    texts = embed_texts(oracle, processor, ["3", "1", "2"])
    assert texts.argmax(dim=1).tolist() == [3, 1, 2]
    assert torch.equal(texts, embed_texts(oracle, processor, ["3", "1", "2"], batch_size=2))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(oracle, processor, clips, training):
    oracle.train(training)
    embed_clips(oracle, processor, clips)
    assert oracle.training is training


def test_nothing_but_clips_is_needed(oracle, processor, clips):
    alone = embed_clips(oracle, processor, clips.select_columns("clip"))
    assert torch.equal(alone.embeds, embed_clips(oracle, processor, clips).embeds)


def test_a_model_that_gives_no_numbers_is_an_error(oracle, processor, clips, monkeypatch):
    """Compared with NaN everything is false, and a rank by counting would be perfect."""
    nothing = SimpleNamespace(pooler_output=torch.full((2, 5), torch.nan))
    monkeypatch.setattr(type(oracle), "get_video_features", lambda self, pixel_values: nothing)
    monkeypatch.setattr(type(oracle), "get_text_features", lambda self, input_ids: nothing)
    with pytest.raises(ValueError, match="embeddings of 2 of 2 clips are not finite"):
        embed_clips(oracle, processor, clips.select([0, 1]))
    with pytest.raises(ValueError, match="embeddings of 2 of 2 texts are not finite"):
        embed_texts(oracle, processor, ["1", "2"])


def test_no_clips(oracle, processor, clips):
    with pytest.raises(ValueError, match="dataset is empty"):
        embed_clips(oracle, processor, clips.select([]))


@pytest.fixture
def broken(clips, tmp_path):
    """Of the four clips the first and the third are of a file that is none."""
    (tmp_path / "videos" / "broken").mkdir()
    (tmp_path / "videos" / "broken" / "broken.mp4").write_bytes(b"none")
    names = ["broken", "v", "broken", "v"]
    rows = clips.to_list()
    for row, name in zip(rows, names, strict=True):
        row["video_name"] = name
        row["clip"] = {"video_name": name, "start_time": row["start_time"], "end_time": row["end_time"]}
    return Dataset.from_list(rows, features=clips.features)


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"batch_size": 3, "num_workers": 2}])
def test_clips_that_cannot_be_read_are_left_out(oracle, processor, broken, caplog, options):
    shapes = []
    original = oracle.get_video_features
    oracle.get_video_features = lambda pixel_values: shapes.append(len(pixel_values)) or original(pixel_values)
    found = embed_clips(oracle, processor, broken, **options)
    assert found.rows == [1, 3] and found.embeds.argmax(dim=1).tolist() == [0, 2]
    assert list(found.unreadable) == [0, 2] and "broken.mp4" in found.unreadable[0]
    assert sum(shapes) == 4, "processes of one model stay in step"
    assert caplog.text.count("2 of 4 clips cannot be read and are left out; the first: ") == 1


@pytest.mark.parametrize("num_workers", [0, 1])
def test_strict_is_at_the_first(oracle, processor, broken, num_workers):
    with pytest.raises(VideoDecodeError, match=r"a clip cannot be read: .*broken\.mp4") as caught:
        embed_clips(oracle, processor, broken, num_workers=num_workers, strict=True)
    assert "\n" not in str(caught.value)


def test_none_can_be_read(broken, tiny_model):
    none = embed_clips(*tiny_model, broken.select([0, 2]))
    assert none.rows == [] and none.embeds.shape == (0, 64)
    with pytest.raises(ValueError, match=r"none of 2 clips can be read; are .* there\? The first: .*broken\.mp4"):
        check_any(none)


def test_the_list_names_no_folder_of_this_machine(oracle, processor, broken, tmp_path):
    reasons = embed_clips(oracle, processor, broken).unreadable | {
        2: f"at {tmp_path}/v.mp4 or /a/b c/d.mp4 \x1b" + "x" * 999
    }
    assert str(tmp_path) in reasons[0]
    first, second = list_unreadable(broken, reasons)
    assert first | {"reason": ""} == {
        "caption_id": 0,
        "video_name": "broken",
        "start_time": 1.0,
        "end_time": 2.0,
        "reason": "",
    }
    assert "broken.mp4" in first["reason"] and str(tmp_path.parent) not in first["reason"]
    assert second["reason"].startswith("at v.mp4 or ") and "/a/b" not in second["reason"]
    assert len(second["reason"]) == 300 and second["reason"].isprintable()
    assert list_unreadable(broken.select_columns("clip"), {0: "x"})[0]["caption_id"] is None
