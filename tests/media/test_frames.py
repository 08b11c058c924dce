# SPDX-License-Identifier: Apache-2.0
import os
import shutil

import pytest

from surglavi_hf.media import FrameStoreOptions, VideoDecodeError, VideoLibrary, build_frame_stores, read_frames
from surglavi_hf.media.frame_store import write_frame_store

from ..conftest import shown
from .test_frame_store import as_version_1


@pytest.fixture
def library(tmp_path, write_video):
    """One video, with a frame store of a frame a second."""
    library = VideoLibrary(tmp_path / "library")
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


@pytest.mark.parametrize("how", ["copied", "tar", "zip"])
def test_a_copied_library_keeps_its_stores(library, tmp_path, how):
    """Whatever becomes of the times of files."""
    if how == "copied":
        shutil.copytree(library.root, tmp_path / "other" / "copy", copy_function=shutil.copyfile)
    else:
        archive = shutil.make_archive(str(tmp_path / "other" / "archive"), how, library.root)
        shutil.unpack_archive(archive, tmp_path / "other" / "copy")
    copy = VideoLibrary(tmp_path / "other" / "copy")
    os.utime(copy.video_path("v"), (1, 1))
    assert read_frames(copy, "v", [0.0, 1.5]).shape == (2, 3, 32, 32)
    assert build_frame_stores(copy, FrameStoreOptions(fps=1, short_side=32), 1).skipped == ["v"]


def test_an_old_store_is_used_with_a_warning(library, caplog):
    as_version_1(library.frames_path("v"), library.video_path("v"))
    for _ in range(2):
        assert read_frames(library, "v", [0.0, 1.5]).shape == (2, 3, 32, 32)
    (record,) = caplog.records
    assert "v.arrow is an old one" in record.getMessage() and "`surglavi frames`" in record.getMessage()


def test_a_store_under_the_name_of_another_video_is_refused(library, write_video):
    write_video(library.video_path("w"), [index / 10 for index in range(30)])
    library.frames_path("v").rename(library.frames_path("w"))
    with pytest.raises(VideoDecodeError, match=r"w\.arrow is that of the video 'v'"):
        read_frames(library, "w", [0.0])


def test_a_store_of_another_video_is_not_used(library, caplog):
    with library.video_path("v").open("ab") as file:
        file.write(b"\0\0\0\x08free")
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
