# SPDX-License-Identifier: Apache-2.0
import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from surglavi_hf.files import unfinished_path
from surglavi_hf.media import VideoLibrary
from surglavi_hf.media.library import content_identity


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


def test_paths(tmp_path):
    library = VideoLibrary(tmp_path)
    assert library.frames_path("v") == tmp_path / "frames" / "v.arrow"
    assert library.quarantine_path("v") == tmp_path / "quarantine" / "v.mp4"
    assert library.manifest_path == tmp_path / "downloads.jsonl"
    for path in (library.frames_path, library.quarantine_path, library.partial_dir):
        with pytest.raises(ValueError, match="video name"):
            path("../v")


def test_partial_dirs_are_plain_and_apart(tmp_path):
    """yt-dlp gives a meaning to %, $ and ~."""
    folders = {VideoLibrary(tmp_path).partial_dir(name) for name in ("a", "A", "%(id)s", "$HOME", "~")}
    assert len(folders) == 5
    assert all(folder.parent == tmp_path / "partial" and folder.name.isalnum() for folder in folders)


def test_a_frame_store_counts_as_the_video(tmp_path):
    library = VideoLibrary(tmp_path)
    for name in ("b", "stored"):
        library.frames_path(name).parent.mkdir(exist_ok=True)
        library.frames_path(name).touch()
    library.video_path("b").parent.mkdir(parents=True)
    library.video_path("b").touch()
    unfinished_path(library.frames_path("killed")).touch()
    assert library.downloaded_names() == ["b"]
    assert library.stored_names() == ["b", "stored"]
    assert library.video_names() == ["b", "stored"]
    assert [library.has(name) for name in ("b", "stored", "killed", "../b")] == [True, True, False, False]
    library.remove_unfinished()
    assert len(list((tmp_path / "frames").iterdir())) == 2


def test_one_at_a_time(tmp_path):
    library = VideoLibrary(tmp_path / "new")
    same = VideoLibrary(tmp_path / "new")
    with library.lock("frames"), same.lock("download"):
        message = r"another `surglavi frames` is at work on .*new"
        with pytest.raises(BlockingIOError, match=message), same.lock("frames"):
            pass
    with library.lock("frames"):
        pass


def test_five_thousand_real_names(tmp_path, shared):
    """Benchmarks/library.py says how fast."""
    ids = pq.read_table(shared / "data" / "surglavi_beta_videos.parquet")["youtube_id"].to_pylist()
    library = VideoLibrary(tmp_path)
    for name in ids:
        library.video_path(name).parent.mkdir(parents=True)
        library.video_path(name).touch()
    assert library.video_names() == sorted(ids)


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


def test_content_identity(tmp_path):
    """Its size, and what is at its head, middle and tail; wherever it lies and whenever it was written."""
    rng = np.random.default_rng(0)
    content = bytearray(rng.bytes(5 << 20))
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(content)
    os.utime(paths[1], (1, 1))
    identity = content_identity(paths[0])
    assert content_identity(paths[1]) == identity and identity["size"] == 5 << 20 and len(identity["digest"]) == 32
    for place in (0, (1 << 20) - 1, 2 << 20, (3 << 20) - 1, 4 << 20, (5 << 20) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        (tmp_path / "c").write_bytes(changed)
        assert content_identity(tmp_path / "c") != identity, place
    (tmp_path / "c").write_bytes(b"")
    assert content_identity(tmp_path / "c")["size"] == 0
