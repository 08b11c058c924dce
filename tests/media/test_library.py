# SPDX-License-Identifier: Apache-2.0
import os

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


def test_video_names(tmp_path):
    library = VideoLibrary(tmp_path)
    assert library.video_names() == []
    for name in ("b", "a"):
        library.video_path(name).parent.mkdir(parents=True)
        library.video_path(name).touch()
    (tmp_path / "videos" / "empty").mkdir()
    (tmp_path / "videos" / "loose.mp4").touch()
    (tmp_path / "videos" / os.fsdecode(b"not-utf8-\xff")).mkdir()
    assert library.video_names() == ["a", "b"]


@pytest.mark.parametrize(
    "file_path, name",
    [
        ("v.json", "v.json"),
        ("transcriptions/v.json", "v.json"),
        ("/home/somebody/transcriptions/v.json", "v.json"),
        ("C:\\data\\v.json", "v.json"),
        ("../../v.json", "v.json"),
        ("..", None),
        ("", None),
        ("a\0b", None),
    ],
)
def test_transcriptions_stay_in_their_folder(tmp_path, file_path, name):
    path = VideoLibrary(tmp_path).transcription_path(file_path)
    assert path == (tmp_path / "transcriptions" / name if name else None)


def test_transcriptions_changed_at(tmp_path):
    library = VideoLibrary(tmp_path)
    assert library.transcriptions_changed_at() == 0
    (tmp_path / "transcriptions").mkdir()
    os.utime(tmp_path / "transcriptions", (1, 1))
    before = library.transcriptions_changed_at()
    (tmp_path / "transcriptions" / "v.json").touch()
    assert library.transcriptions_changed_at() > before > 0
