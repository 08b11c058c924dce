# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from PIL import Image

from surglavi_hf.evaluation.frame_source import ImageFrames, VideoFrames

from ..conftest import shown


def write(folder, name, size=(6, 4), value=7, mode="RGB"):
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).convert(mode).save(folder / name)


def test_images(tmp_path):
    write(tmp_path, "0.png", value=1)
    write(tmp_path, "1.png", value=2, mode="L")
    frames = ImageFrames(tmp_path, ("0.png", "1.png"))
    read = frames.read([1, 0, 1])
    assert read.shape == (3, 3, 4, 6) and read[:, 0, 0, 0].tolist() == [2, 1, 2] and len(frames) == 2


def test_images_that_cannot_be_read(tmp_path):
    write(tmp_path, "0.png")
    write(tmp_path, "1.png", size=(4, 4))
    (tmp_path / "2.png").write_bytes((tmp_path / "0.png").read_bytes()[:40])
    (tmp_path / "3.png").write_bytes(b"")
    frames = ImageFrames(tmp_path, ("0.png", "1.png", "2.png", "3.png", "4.png"))
    with pytest.raises(ValueError, match="are 4×4 and 6×4 pixels, expected one size"):
        frames.read([0, 1])
    for position in (2, 3):
        with pytest.raises(ValueError, match=rf"frame .*{position}\.png cannot be read .*; extract it again"):
            frames.read([position])
    with pytest.raises(FileNotFoundError, match=r"frame .*4\.png is not there"):
        frames.read([4])


def test_video(tmp_path, write_video):
    path = write_video(tmp_path / "v.mp4", [0.0, 1.0, 2.0, 3.0])
    frames = VideoFrames(path, (0.0, 1.5, 3.0))
    assert shown(frames.read([2, 0, 1])) == [3, 0, 1] and frames.files() == [path]
