# SPDX-License-Identifier: Apache-2.0
import pytest
from datasets import concatenate_datasets

from surglavi_hf.evaluation import embed_clips, retrieval


def test_each_distinct_caption_is_a_query_and_equal_captions_match(oracle, processor, clips):
    report = retrieval(oracle, processor, clips)
    # "1" finds one of its two clips, "0" its own; "3" is like none of the clips, and a tie is lost.
    assert report.predictions == [1, 1, 4]
    assert report.metrics["text_to_video_R@1"] == 2 / 3 and report.metrics["text_to_video_median_rank"] == 1
    assert report.metrics["text_to_video_R@1_chance"] == pytest.approx((2 / 4 + 1 / 4 + 1 / 4) / 3)
    assert report.protocol["num_captions"] == 3 and report.protocol["num_clips"] == 4
    # The clips show 1, 0, 1 and 2; the last has the caption 3, which is no more like it than the others are.
    assert report.metrics["video_to_text_R@1"] == 0.75


def test_captions_of_one_interval_are_of_one_clip(oracle, processor, clips):
    """The first clip, which shows 1, gets the caption 4 as well: either counts as found."""
    again = clips.select([0]).map(lambda row: {"caption": "4"})
    both = concatenate_datasets([clips, again])
    report = retrieval(oracle, processor, both)
    assert report.protocol["num_clips"] == 4 and report.protocol["num_matches"] == 5
    assert report.metrics["video_to_text_R@1"] == 0.75 and report.predictions[-1] == 4
    known = retrieval(oracle, processor, both, clip_embeds=embed_clips(oracle, processor, both), chunk_size=1)
    assert known.metrics == report.metrics and known.predictions == report.predictions


def test_an_empty_dataset(oracle, processor, clips):
    with pytest.raises(ValueError, match="the dataset is empty"):
        retrieval(oracle, processor, clips.select([]))
