# SPDX-License-Identifier: Apache-2.0
import pytest
from datasets import Dataset

from surglavi_hf.data import VideoDecodeError
from surglavi_hf.evaluation import EmbeddingOptions, embed_clips, zero_shot_clips


def test_report(oracle, clips):
    report = zero_shot_clips(oracle, None, clips, prompts=["2", "1", "0"], labels=[1, 2, 1, 1], benchmark="mine")
    assert report.predictions == [1, 2, 1, 0] and report.benchmark == "mine" and report.seconds > 0
    assert report.metrics["accuracy"] == 0.75 and report.metrics["chance"] == pytest.approx(1 / 3)
    assert report.protocol["num_clips"] == 4 and report.protocol["num_classes"] == 3


def test_known_embeddings_give_the_same(oracle, clips):
    embeds = embed_clips(oracle, None, clips).embeds
    given = zero_shot_clips(oracle, None, clips, ["0", "1"], [0] * 4, clip_embeds=embeds)
    assert given.metrics == zero_shot_clips(oracle, None, clips, ["0", "1"], [0] * 4).metrics


@pytest.mark.parametrize(
    "labels, message", [([0, 1], "2 labels for 4 clips"), ([0, 1, 2, 0], "label 2 has no prompt")]
)
def test_labels_that_do_not_fit(oracle, clips, labels, message):
    with pytest.raises(ValueError, match=message):
        zero_shot_clips(oracle, None, clips, ["0", "1"], labels)


def test_clips_that_cannot_be_read_are_left_out(oracle, clips):
    rows = clips.to_list()
    rows[0]["clip"]["video_name"] = "gone"
    broken = Dataset.from_list(rows, features=clips.features)
    report = zero_shot_clips(oracle, None, broken, prompts=["2", "1", "0"], labels=[0, 2, 1, 1])
    assert report.predictions == [2, 1, 0] and report.metrics["accuracy"] == pytest.approx(2 / 3)
    assert report.protocol["num_clips"] == 3 and report.protocol["num_unreadable_clips"] == 1
    assert [clip["video_name"] for clip in report.unreadable] == ["gone"]
    with pytest.raises(VideoDecodeError, match="a clip cannot be read"):
        zero_shot_clips(oracle, None, broken, ["0"], [0] * 4, options=EmbeddingOptions(strict=True))
    with pytest.raises(ValueError, match="none of 1 clips can be read"):
        zero_shot_clips(oracle, None, broken.select([0]), ["0"], [0])
