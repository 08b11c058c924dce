# SPDX-License-Identifier: Apache-2.0
import os

import pytest

from surglavi_hf.media import FrameStoreOptions, VideoDecodeError, VideoLibrary, read_frames
from surglavi_hf.media.frame_store import write_frame_store

from ..conftest import shown


@pytest.fixture
def library(tmp_path, write_video):
    """One video, with a frame store of a frame a second."""
    library = VideoLibrary(tmp_path)
    write_video(library.video_path("v"), [index / 10 for index in range(30)])
    write_frame_store(library.video_path("v"), library.frames_path("v"), FrameStoreOptions(fps=1, short_side=32))
    return library


def test_from_the_store_where_there_is_one(library):
    frames = read_frames(library, "v", [0.0, 1.5, 2.95])
    assert frames.shape == (3, 3, 32, 32) and shown(frames) == [0, 10, 29]
    library.video_path("v").unlink()
    assert shown(read_frames(library, "v", [0.0, 1.5, 2.95])) == [0, 10, 29]


def test_from_the_video_otherwise(library):
    library.frames_path("v").unlink()
    frames = read_frames(library, "v", [0.0, 1.55])
    assert frames.shape == (2, 3, 64, 64) and shown(frames) == [0, 15]


def test_a_store_of_another_video_is_not_used(library, caplog):
    os.utime(library.video_path("v"), (1, 1))
    for _ in range(2):
        assert shown(read_frames(library, "v", [1.55])) == [15]
    (record,) = caplog.records
    assert "v.arrow was made of another video" in record.getMessage()


def test_neither(library, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.mp4 is not there"):
        read_frames(library, "nothing", [0.0])
    with pytest.raises(ValueError, match="video name"):
        read_frames(library, "../v", [0.0])
    with pytest.raises(ValueError, match="timestamps"):
        read_frames(library, "v", [-1.0])
    library.frames_path("v").write_bytes(b"broken")
    with pytest.raises(VideoDecodeError, match=r"v\.arrow"):
        read_frames(library, "v", [0.0])
