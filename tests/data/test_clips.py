# SPDX-License-Identifier: Apache-2.0
import base64
import copy
import io
import pickle
import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from PIL import Image

from surglavi_hf.data import Clip, VideoDecodeError, sample_timestamps

from ..conftest import shown


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
    remedies = f"surglavi download --data-dir {tmp_path}`.*surglavi adopt FOLDER --data-dir {tmp_path}`"
    with pytest.raises(FileNotFoundError, match=f"{clip.path} is not there; .*{remedies}"):
        clip.frames()


def test_a_clip_that_ends_after_its_video_ends_with_it(clip):
    """The video has 2.901 seconds; the middles of eight parts of [1, 2.901) are shown."""
    long = Clip("v", 1.0, 1000.0, clip.video_dir)
    assert shown(long.frames(8)) == [11, 13, 15, 18, 20, 23, 25, 27]
    drawn = long.frames(4, "rand", torch.Generator().manual_seed(1))
    assert torch.equal(drawn, long.frames(4, "rand", torch.Generator().manual_seed(1)))
    assert all(10 <= number < 30 for number in shown(drawn))
    with pytest.raises(VideoDecodeError, match=r"v\.mp4 ends at 2\.901 s, but its frame at"):
        Clip("v", 500.0, 1000.0, clip.video_dir).frames()


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "", "a/b", "a\\b", "a\0b", "x" * 300])
def test_a_name_that_leaves_the_library(name, tmp_path):
    clip = Clip(name, 0.0, 1.0, str(tmp_path))
    assert not clip.available and "cannot be a file name" in clip._repr_html_()
    with pytest.raises(ValueError, match="cannot be a file name"):
        clip.frames()


def test_pickle_copy_equality_and_repr(clip):
    assert clip.available
    for other in (pickle.loads(pickle.dumps(clip)), copy.copy(clip), copy.deepcopy(clip), eval(repr(clip))):
        assert other == clip and (other != clip) is False and hash(other) == hash(clip) and other.path == clip.path
    for other in (
        Clip("w", 1.0, 2.0, clip.video_dir),
        Clip("v", 1.0, 2.5, clip.video_dir),
        Clip("v", 1.0, 2.0, "/elsewhere"),
        bytes(clip),
    ):
        assert other != clip and (other == clip) is False
    assert (
        repr(clip) == str(clip) == f"Clip(video_name='v', start_time=1.0, end_time=2.0, video_dir={clip.video_dir!r})"
    )
    with pytest.raises(FrozenInstanceError):
        clip.start_time = 0.0


def test_a_strip_of_frames_in_a_notebook(clip, tmp_path):
    html = clip._repr_html_()
    data = base64.b64decode(re.search(r"base64,([^\"]+)", html).group(1))
    strip = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert strip.shape == (96, 8 * 96) and "1.0–2.0 s" in html
    frames = [round(strip[:, 96 * index + 20 : 96 * index + 76].mean() / 8) for index in range(8)]
    assert frames == shown(clip.frames(8))
    gone = Clip("<script>", 0.0, 1.0, str(tmp_path))._repr_html_()
    assert "&lt;script&gt;" in gone and "<script>" not in gone and "is not there" in gone
