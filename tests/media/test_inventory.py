# SPDX-License-Identifier: Apache-2.0
import json
import os
import shutil
import time

import pytest

from surglavi_hf.media import (
    VideoLibrary,
    VideoRecord,
    VideoSource,
    compare_inventories,
    read_inventory,
    take_inventory,
    write_inventory,
)
from surglavi_hf.media.library import content_identity

ID = "-9uZldT-tSk"
FIRST = '{"surglavi_manifest": 1}\n'
DIGEST = "0123456789abcdef" * 2
SOUND = {"name": "v", "youtube_id": ID, "size": 9, "digest": DIGEST, "duration": 1.5, "format": "h264 64x64"}


def record(name="v", youtube_id=None, size=9, digest=DIGEST):
    return VideoRecord(name, youtube_id, size, digest, 1.0, "h264 64x64")


@pytest.fixture
def library(tmp_path, write_video):
    """Two videos, one of them linked and one without a row in the database, and a file that is none."""
    library = VideoLibrary(tmp_path / "library")
    for name in ("b", "a", "broken"):
        library.video_path(name).parent.mkdir(parents=True)
    write_video(library.video_path("a"), [index / 10 for index in range(30)])
    write_video(tmp_path / "other.mkv", [index / 10 for index in range(20)])
    library.video_path("b").symlink_to(tmp_path / "other.mkv")
    library.video_path("broken").write_text("no video")
    return library


def test_what_is_there(library, tmp_path):
    sources = [VideoSource("a", None, f"https://youtu.be/{ID}"), VideoSource("missing", "AAAAAAAAAAA")]
    records = take_inventory(library, sources)
    a, b, broken = records
    assert (a.name, a.youtube_id, a.format) == ("a", ID, "h264 64x64") and a.duration == pytest.approx(2.9, abs=0.11)
    assert {"size": a.size, "digest": a.digest} == content_identity(library.video_path("a"))
    assert (b.name, b.youtube_id, b.size) == ("b", None, (tmp_path / "other.mkv").stat().st_size)
    assert (broken.format, broken.duration, broken.size) == (None, None, 8)
    path = tmp_path / "list.jsonl"
    write_inventory(path, reversed(records))
    text = path.read_text()
    assert text.startswith(FIRST) and text.count("\n") == 4
    assert str(tmp_path) not in text and "other" not in text, "a path of this machine"
    assert read_inventory(path) == records
    write_inventory(path, records[:1])
    assert read_inventory(path) == records[:1]


def test_copies_are_the_same(library, tmp_path):
    """Wherever they lie, whenever they were written."""
    shutil.copytree(library.root, tmp_path / "copy")
    os.utime(tmp_path / "copy" / "videos" / "a" / "a.mp4", (1, 1))
    comparison = compare_inventories(*(take_inventory(VideoLibrary(tmp_path / to), []) for to in ("library", "copy")))
    assert comparison.same == ["a", "b", "broken"] and comparison.exit_status == 0


def test_what_differs():
    here = [record("same"), record("other", digest="0" * 32), record("mine", "AAAAAAAAAAA", 1), record("x", size=7)]
    there = [record("same"), record("other", digest="1" * 32), record("yours", "AAAAAAAAAAA", 2), record("y", size=7)]
    here, there = [*here, record("only", size=3), record("empty", size=0)], [*there, record("also", size=4)]
    comparison = compare_inventories(here, [*there, record("nothing", size=0)])
    assert comparison.same == ["same"] and comparison.exit_status == 1
    assert [(a.name, b.name) for a, b in comparison.different] == [("other", "other")]
    assert [(a.name, b.name) for a, b in comparison.renamed] == [("mine", "yours"), ("x", "y")]
    assert [one.name for one in comparison.only_here] == ["only", "empty"]
    assert [one.name for one in comparison.only_there] == ["also", "nothing"]
    for one in (record("only"), record("also")):
        assert compare_inventories([one], []).exit_status == compare_inventories([], [one]).exit_status == 1


def test_large_lists_are_compared_fast():
    here = [record(f"a{number}", size=number + 1) for number in range(50_000)]
    there = [record(f"b{number}", size=number + 1) for number in range(50_000)]
    started = time.monotonic()
    assert len(compare_inventories(here, there).renamed) == 50_000
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "changed, wrong",
    [
        *[
            ({"name": name}, "a name that cannot be")
            for name in ("../x", "/etc/passwd", "", "a\nb", "a\0", 3, None, "é" * 101)
        ],
        *[({"name": name}, "a name that cannot be") for name in ("a\x1b[31m", "\ud800", ["v"], {"v": 1}, "é" * 101)],
        *[({"youtube_id": value}, "a youtube_id that cannot be") for value in ("short", "; rm -rf /x", 11, ID + "\n")],
        *[({"size": value}, "a size that cannot be") for value in (-1, 1.5, True, "9", None, 10**30)],
        *[({"digest": value}, "a digest that cannot be") for value in ("", DIGEST[:-1], DIGEST.upper(), 3, None)],
        *[({"duration": value}, "a duration that cannot be") for value in (-1, True, "1", [1], 10**30)],
        *[({"format": value}, "a format that cannot be") for value in ("", "x" * 101, "a\x1b[31m", 3, "é")],
        *[({"path": "/home/me"}, "not exactly the keys"), ({"name": "v" * 5000}, "is longer than 4,096 bytes")],
    ],
)
def test_hostile_values(tmp_path, changed, wrong):
    path = tmp_path / "list.jsonl"
    path.write_text(FIRST + json.dumps(SOUND) + "\n" + json.dumps(SOUND | {"name": "w"} | changed) + "\n")
    with pytest.raises(ValueError, match=f"list.jsonl is no list of videos: line 3 .*{wrong}") as caught:
        read_inventory(path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "content, wrong",
    [
        (b"", "line 1 is missing"),
        (b"{}\n", "line 1 does not say"),
        (b'{"surglavi_manifest": true}\n', "line 1 does not say"),
        (b'{"surglavi_manifest": 2}\n', "line 1 does not say"),
        (b"[]\n", "line 1 does not say"),
        (b"PK\x03\x04\xff\xfe", "line 1 is no JSON"),
        (FIRST.encode() + json.dumps(SOUND).encode()[:-5], "line 2 is no JSON"),
        (FIRST.encode() + b"[" * 4000 + b"\n", "line 2 is no JSON"),
        (FIRST.encode() + b"[]\n", "line 2 has not exactly the keys"),
        (FIRST.encode() + json.dumps(SOUND).replace("1.5", "NaN").encode(), "line 2 is no JSON"),
        (FIRST.encode() + json.dumps(SOUND).replace("1.5", "1e999").encode(), "a duration that cannot be"),
        (
            FIRST.encode() + json.dumps(SOUND).replace('"size": 9', '"size": 9, "size": 8').encode(),
            "line 2 is no JSON",
        ),
        (FIRST.encode() + (json.dumps(SOUND).encode() + b"\n") * 2, "line 3 repeats the name 'v'"),
    ],
)
def test_hostile_files(tmp_path, content, wrong):
    (tmp_path / "list.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=wrong):
        read_inventory(tmp_path / "list.jsonl")


def test_files_that_are_no_lists(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_inventory(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path, tmp_path / "pipe"):
        with pytest.raises(ValueError, match="is no file"):
            read_inventory(path)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match=r"has 1,099,511,627,776 bytes, expected 268,435,456 at most"):
        read_inventory(tmp_path / "huge")


def test_nothing_else_is_overwritten(tmp_path):
    path = tmp_path / "downloads.jsonl"
    path.write_text("{}\n")
    with pytest.raises(FileExistsError, match="no list of videos; name another --output"):
        write_inventory(path, [record()])
    assert path.read_text() == "{}\n"
