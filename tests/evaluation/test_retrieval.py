# SPDX-License-Identifier: Apache-2.0
from surglavi_hf.evaluation import retrieval


def test_each_distinct_caption_is_a_query_and_equal_captions_match(oracle, processor, clips):
    report = retrieval(oracle, processor, clips)
    # "1" finds one of its two clips, "0" its own; "3" is like none of the clips, and a tie is lost.
    assert report.predictions == [1, 1, 4]
    assert report.metrics["text_to_video_R@1"] == 2 / 3 and report.metrics["text_to_video_median_rank"] == 1
    assert report.metrics["text_to_video_R@1_chance"] == (2 / 4 + 1 / 4 + 1 / 4) / 3
    assert report.protocol["num_queries"] == 3 and report.protocol["num_clips"] == 4
