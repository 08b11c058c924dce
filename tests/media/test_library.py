# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.media import VideoLibrary


def test_video_path(tmp_path):
    assert VideoLibrary(tmp_path).video_path("-9uZldT-tSk") == tmp_path / "videos" / "-9uZldT-tSk" / "-9uZldT-tSk.mp4"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", "a\0b", "a\nb", "é" * 101])
def test_names_that_could_leave_the_library_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="video name"):
        VideoLibrary(tmp_path).video_path(name)


@pytest.mark.parametrize("name", ["é" * 100, "Lap. chole\u00a0(no. 3) – part “2”", "..x", "~", "手術"])
def test_odd_names_are_taken(tmp_path, name):
    path = VideoLibrary(tmp_path).video_path(name)
    path.parent.mkdir(parents=True)
    path.touch()
