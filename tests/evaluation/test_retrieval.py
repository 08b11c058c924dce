# SPDX-License-Identifier: Apache-2.0
import pytest
from datasets import Dataset, concatenate_datasets

from surglavi_hf import EvalReport
from surglavi_hf.data import VideoDecodeError
from surglavi_hf.evaluation import EmbeddingOptions, embed_clips, retrieval
from surglavi_hf.evaluation.published import report_markdown


def test_each_distinct_caption_is_a_query_and_equal_captions_match(oracle, clips):
    report = retrieval(oracle, None, clips)
    # "1" finds one of its two clips, "0" its own; "3" is like none of the clips, and a tie is lost.
    assert report.predictions == [1, 1, 4]
    assert report.metrics["text_to_video_R@1"] == 2 / 3 and report.metrics["text_to_video_median_rank"] == 1
    assert report.metrics["text_to_video_R@1_chance"] == pytest.approx((2 / 4 + 1 / 4 + 1 / 4) / 3)
    assert report.protocol["num_captions"] == 3 and report.protocol["num_clips"] == 4
    # The clips show 1, 0, 1 and 2; the last has the caption 3, which is no more like it than the others are.
    assert report.metrics["video_to_text_R@1"] == 0.75


def test_captions_of_one_interval_are_of_one_clip(oracle, clips):
    """The first clip, which shows 1, gets the caption 4 as well: either counts as found."""
    again = clips.select([0]).map(lambda row: {"caption": "4"})
    both = concatenate_datasets([clips, again])
    report = retrieval(oracle, None, both)
    assert report.protocol["num_clips"] == 4 and report.protocol["num_matches"] == 5
    assert report.metrics["video_to_text_R@1"] == 0.75 and report.predictions[-1] == 4
    known = retrieval(oracle, None, both, clip_embeds=embed_clips(oracle, None, both).embeds, chunk_size=1)
    assert known.metrics == report.metrics and known.predictions == report.predictions


def test_an_empty_dataset(oracle, clips):
    with pytest.raises(ValueError, match="the dataset is empty"):
        retrieval(oracle, None, clips.select([]))


def test_clips_that_cannot_be_read_are_left_out(oracle, clips, tmp_path):
    """The first clip, of two captions: "1", which another clip has too, and "4", which no other has."""
    rows = clips.to_list()
    rows[0]["clip"]["video_name"] = rows[0]["video_name"] = "gone"
    rows.append(rows[0] | {"caption": "4"})
    broken = Dataset.from_list(rows, features=clips.features)
    report = retrieval(oracle, None, broken)
    expected = retrieval(oracle, None, clips.select([1, 2, 3]))
    assert report.metrics == expected.metrics and report.predictions == expected.predictions
    assert report.data_fingerprint == expected.data_fingerprint
    assert report.protocol == expected.protocol | {"num_unreadable_clips": 1}
    assert report.protocol["num_clips"] == 3 and report.protocol["num_captions"] == 3
    assert expected.protocol["num_unreadable_clips"] == 0 and not expected.unreadable
    (clip,) = report.unreadable
    assert (clip["caption_id"], clip["video_name"], clip["start_time"], clip["end_time"]) == (0, "gone", 1.0, 2.0)
    assert clip["reason"]
    report.to_json(tmp_path / "report.json")
    assert EvalReport.from_json(tmp_path / "report.json") == report
    assert str(tmp_path) not in (tmp_path / "report.json").read_text()
    assert "1 clips cannot be read and are left out; the first 1:" in report_markdown(report)
    assert report_markdown(report).count("gone") >= 1 and "left out" not in report_markdown(expected)
    with pytest.raises(VideoDecodeError, match="a clip cannot be read"):
        retrieval(oracle, None, broken, options=EmbeddingOptions(strict=True))
    with pytest.raises(ValueError, match="none of 1 clips can be read"):
        retrieval(oracle, None, broken.select([0, 4]))
