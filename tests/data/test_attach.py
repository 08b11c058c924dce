# SPDX-License-Identifier: Apache-2.0
import pytest
from datasets import load_dataset

from surglavi_hf import VideoClip, attach_clips


@pytest.fixture
def published(corpus):
    """Rows as they are published: without clips."""

    def load(**options):
        return load_dataset("surglavi", "step", data_dir=str(corpus), **options).remove_columns("clip")

    return load


def test_the_column_is_that_of_the_builder(corpus, published):
    expected = load_dataset("surglavi", "step", data_dir=str(corpus), split="train")
    attached = attach_clips(published(split="train"), corpus)
    assert attached.features == expected.features
    assert list(attached) == list(expected)
    assert attached[0]["clip"].frames(4).shape == (4, 3, 96, 96)


def test_chosen_and_reordered_rows_keep_their_clips(corpus, published):
    rows = published(split="train").shuffle(seed=1).select(range(5))
    for row in attach_clips(rows, corpus):
        assert (row["clip"].video_name, row["clip"].start_time) == (row["video_name"], row["start_time"])


def test_all_splits_at_once(published, corpus):
    attached = attach_clips(published(test_fraction=0.3), corpus)
    assert list(attached) == ["train", "test"]
    assert all("clip" in part[0] for part in attached.values())


@pytest.mark.parametrize("resolved", [True, False])
def test_streamed(corpus, published, resolved):
    rows = published(split="train", streaming=True)  # in an order of its own
    if not resolved:
        rows = rows.map(lambda row: row)  # of which datasets does not know the features
    expected = load_dataset("surglavi", "step", data_dir=str(corpus), split="train")
    streamed = sorted(attach_clips(rows, corpus), key=lambda row: row["caption_id"])
    assert streamed == list(expected)


def test_a_clip_column_is_replaced(corpus, tmp_path):
    rows = load_dataset("surglavi", "step", data_dir=str(corpus), split="train")
    attached = attach_clips(rows, tmp_path)
    assert attached.features["clip"] == VideoClip(video_dir=str(tmp_path))
    assert not attached[0]["clip"].available


def test_no_rows(corpus, published):
    assert len(attach_clips(published(split="train").select([]), corpus)) == 0


def test_rows_without_times(corpus):
    videos = load_dataset("surglavi", "videos", data_dir=str(corpus), split="train")
    with pytest.raises(ValueError, match="video_name, start_time, end_time not found among video_id"):
        attach_clips(videos, corpus)
