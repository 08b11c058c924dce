# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.evaluation import embed_clips, zero_shot_clips


def test_report(oracle, processor, clips):
    report = zero_shot_clips(oracle, processor, clips, prompts=["2", "1", "0"], labels=[1, 2, 1, 1], benchmark="mine")
    assert report.predictions == [1, 2, 1, 0] and report.benchmark == "mine" and report.seconds > 0
    assert report.metrics["accuracy"] == 0.75 and report.metrics["chance"] == pytest.approx(1 / 3)
    assert report.protocol["num_clips"] == 4 and report.protocol["num_classes"] == 3


def test_known_embeddings_give_the_same(oracle, processor, clips):
    embeds = embed_clips(oracle, processor, clips)
    given = zero_shot_clips(oracle, processor, clips, ["0", "1"], [0] * 4, clip_embeds=embeds)
    assert given.metrics == zero_shot_clips(oracle, processor, clips, ["0", "1"], [0] * 4).metrics


@pytest.mark.parametrize(
    "labels, message", [([0, 1], "2 labels for 4 clips"), ([0, 1, 2, 0], "label 2 has no prompt")]
)
def test_labels_that_do_not_fit(oracle, processor, clips, labels, message):
    with pytest.raises(ValueError, match=message):
        zero_shot_clips(oracle, processor, clips, ["0", "1"], labels)
