# SPDX-License-Identifier: Apache-2.0
import pickle

import pytest
import torch
from datasets import Dataset, Features, Value, load_dataset, load_from_disk

from surglavi_hf.data import Clip, VideoClip, sample_timestamps

from ..conftest import shown


@pytest.fixture
def clip(tmp_path, write_video):
    """Thirty frames of 0.1 s; the clip is the second of its three seconds."""
    write_video(tmp_path / "videos" / "v" / "v.mp4", [index / 10 for index in range(30)])
    return Clip("v", 1.0, 2.0, str(tmp_path))


def test_middle_and_uniform():
    assert sample_timestamps(10.0, 14.0, 4) == [10.5, 11.5, 12.5, 13.5]
    assert sample_timestamps(10.0, 14.0, 4, "uniform") == [10.0, 11.0, 12.0, 13.0]


def test_rand_takes_one_from_each_segment():
    draws = [sample_timestamps(10.0, 14.0, 4, "rand", torch.Generator().manual_seed(seed)) for seed in range(50)]
    for times in draws:
        assert all(10 + index <= time < 11 + index for index, time in enumerate(times))
    assert len({tuple(times) for times in draws}) == 50
    assert draws[7] == sample_timestamps(10.0, 14.0, 4, "rand", torch.Generator().manual_seed(7))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0.0, 1.0, 0), "num_frames=0"),
        ((1.0, 1.0, 4), "clip interval"),
        ((-1.0, 1.0, 4), "clip interval"),
        ((float("nan"), 1.0, 4), "clip interval"),
        ((0.0, 1.0, 4, "random"), "sampling='random'"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_timestamps(*arguments)


def test_frames_lie_in_the_interval(clip):
    assert shown(clip.frames(5)) == [11, 13, 15, 17, 19]
    assert shown(clip.frames(2, "uniform")) == [10, 15]
    assert clip.frames().shape == (16, 3, 64, 64)
    drawn = clip.frames(4, "rand", torch.Generator().manual_seed(1))
    assert torch.equal(drawn, clip.frames(4, "rand", torch.Generator().manual_seed(1)))
    assert all(10 <= number < 20 for number in shown(drawn))


def test_nothing_is_opened_before_frames_is_called(tmp_path):
    clip = Clip("gone", 0.0, 1.0, str(tmp_path))
    assert not clip.available and clip.path == tmp_path / "videos" / "gone" / "gone.mp4"
    with pytest.raises(FileNotFoundError, match=str(clip.path)):
        clip.frames()


def test_pickle_and_equality(clip):
    assert clip.available
    assert pickle.loads(pickle.dumps(clip)) == clip
    assert len({clip, Clip("v", 1.0, 2.0, clip.video_dir)}) == 1 and clip != Clip("v", 1.0, 2.5, clip.video_dir)


def test_column_stores_name_and_interval(clip, tmp_path):
    features = Features({"clip": VideoClip(clip.video_dir), "n": Value("int64")})
    dataset = Dataset.from_dict({"clip": [clip, None], "n": [1, 2]}, features=features)
    assert dataset[0]["clip"] == clip and dataset[1]["clip"] is None
    stored = dataset.cast_column("clip", VideoClip(clip.video_dir, decode=False))[0]["clip"]
    assert stored == {"video_name": "v", "start_time": 1.0, "end_time": 2.0}
    dataset.save_to_disk(tmp_path / "saved")
    assert load_from_disk(tmp_path / "saved")[0]["clip"] == clip
    assert dataset.filter(lambda row: row["n"] == 1)[0]["clip"] == clip


def test_cast_column_points_to_another_disk(corpus):
    dataset = load_dataset("surglavi", "phase", data_dir=str(corpus), split="train")
    moved = dataset.cast_column("clip", VideoClip("/elsewhere"))
    assert str(moved[0]["clip"].path).startswith("/elsewhere/videos/")
    assert dataset[0]["clip"].available and not moved[0]["clip"].available
