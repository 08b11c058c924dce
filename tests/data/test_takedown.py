# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.data import Takedown, add_to_takedown, line_files

ENTRIES = st.sets(st.text("abcAB-_19", min_size=1, max_size=11))


def test_what_a_list_may_have():
    takedown = Takedown.of_text("\ufeff# a comment\n\n dQw4w9WgXcQ \r\ncaption:12\na name with spaces\ncaption: 7\n")
    assert takedown == Takedown(frozenset({"dQw4w9WgXcQ", "a name with spaces"}), frozenset({7, 12}))
    assert len(takedown) == 4


@pytest.mark.parametrize("line", ["caption:", "caption:x", "caption:-1", "caption:1.5", "caption:" + "9" * 23])
def test_a_caption_without_its_number(line):
    with pytest.raises(ValueError, match="expected a caption's number, as in caption:123"):
        Takedown.of_text(line)


@pytest.mark.parametrize("line", ["https://vimeo.com/1", "https://youtube.com/@Dr.Doe", "dQw4w9WgXcQ  # of Dr. Doe"])
def test_what_is_no_id_is_not_published(line):
    with pytest.raises(ValueError, match="expected a YouTube id or name alone"):
        Takedown.of_text(line)


def test_a_list_that_is_no_text(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"takedown list .*list\.txt is no UTF-8 text"):
        Takedown.read(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("caption:x")
    with pytest.raises(ValueError, match=r"list\.txt, takedown list: 'caption:x', expected"):
        Takedown.read(tmp_path / "list.txt")


def test_an_id_however_it_is_written():
    lines = "\u00a0dQw4w9WgXcQ\u200b\nhttps://youtu.be/AAAAAAAAAAA?si=x\nm.youtube.com/watch?list=PL1&v=BBBBBBBBBBB\n"
    assert Takedown.of_text(lines).videos == {"dQw4w9WgXcQ", "AAAAAAAAAAA", "BBBBBBBBBBB"}


@given(ENTRIES, st.sets(st.integers(0, 10**6)))
def test_what_is_published_is_read_back(videos, captions):
    takedown = Takedown(frozenset(videos), frozenset(captions))
    assert Takedown.of_text(takedown.to_text()) == takedown


@given(ENTRIES, ENTRIES, st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 4), st.integers(0, 9))))
def test_rows_that_stay(names, ids, rows):
    takedown = Takedown(frozenset(names | ids), frozenset({1, 3}))
    table = pa.table(
        {
            "caption_id": pa.array(range(len(rows)), pa.int64()),
            "parent_caption_id": pa.array([parent for _, parent, _ in rows], pa.int64()),
            "youtube_id": pa.array([video for video, _, _ in rows], pa.string()),
            "video_name": pa.array([str(name) for _, _, name in rows], pa.string()),
        }
    )
    expected = [
        {"caption_id": row, "parent_caption_id": None if parent in (1, 3) else parent}
        for row, (video, parent, name) in enumerate(rows)
        if row not in (1, 3) and video not in takedown.videos and str(name) not in takedown.videos
    ]
    assert takedown.applied_to(table).select(["caption_id", "parent_caption_id"]).to_pylist() == expected


def test_copies_of_a_named_video_go_too():
    videos = pa.table({"name": ["first", "copy", "other"], "youtube_id": ["abc", "abc", None]})
    takedown = Takedown.of_text("first").with_copies(videos)
    assert takedown.applied_to(videos)["name"].to_pylist() == ["other"]


def test_copies_elsewhere_go_by_name():
    names, urls = ["first", "copy ", "other"], ["https://vimeo.com/1", "vimeo.com/1/", "https://vimeo.com/2"]
    videos = pa.table({"name": names, "youtube_id": pa.nulls(3, pa.string()), "url": urls})
    takedown = Takedown.of_text("first").with_copies(videos)
    assert takedown.videos == {"first", "copy", "vimeo.com/1"}
    assert takedown.applied_to(pa.table({"video_name": names}))["video_name"].to_pylist() == ["other"]
    unlisted = videos.set_column(0, "name", pa.array(["first", "# copy", "other"]))
    with pytest.raises(ValueError, match="no line can name the copy '# copy'"):
        Takedown.of_text("first").with_copies(unlisted)


@pytest.mark.parametrize("entry", ["dQw4w9WgXcQ", "https://youtu.be/dQw4w9WgXcQ", "first", "by address", "padded"])
def test_copies_go_however_their_id_is_written(entry):
    rows = [
        ("first", "dQw4w9WgXcQ", None),
        ("padded ", " dQw4w9WgXcQ\n", None),
        ("by address", None, "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=1"),
        ("as id", "youtu.be/dQw4w9WgXcQ", None),
        ("other", "dqw4w9wgxcq", None),
        ("nothing known", None, None),
    ]
    names, ids, urls = (list(column) for column in zip(*rows, strict=True))
    videos = pa.table({"name": names, "youtube_id": pa.array(ids, pa.string()), "url": pa.array(urls, pa.string())})
    takedown = Takedown.of_text(entry).with_copies(videos)
    captions = pa.table({"video_name": names, "youtube_id": videos["youtube_id"]})  # which know no address
    assert takedown.applied_to(videos)["name"].to_pylist() == ["other", "nothing known"]
    assert takedown.applied_to(captions)["video_name"].to_pylist() == ["other", "nothing known"]
    assert Takedown.of_text(f"{entry}\nabsent").unknown(videos) == {"absent"}
    assert Takedown.of_text(takedown.to_text()) == takedown


def test_entries_are_added_to_a_list(tmp_path):
    path = tmp_path / "takedown.txt"
    for entry in ("dQw4w9WgXcQ", "caption:12", "手術\u3000一", "caption:12", "dQw4w9WgXcQ", " padded\u200b"):
        add_to_takedown(path, entry)
    expected = Takedown(frozenset({"dQw4w9WgXcQ", "手術\u3000一", "padded"}), frozenset({12}))
    assert Takedown.read(path) == expected
    text = path.read_text(encoding="utf-8")
    assert text == Takedown().to_text() + "dQw4w9WgXcQ\ncaption:12\n手術\u3000一\npadded\n"


def test_what_people_wrote_into_a_list_stays(tmp_path):
    path = tmp_path / "takedown.txt"
    path.write_text("# letter of 2 May\nhttps://youtu.be/dQw4w9WgXcQ\nfirst")  # a line that has no end
    add_to_takedown(path, "dQw4w9WgXcQ")
    add_to_takedown(path, "second")
    assert path.read_text() == "# letter of 2 May\nhttps://youtu.be/dQw4w9WgXcQ\nfirst\nsecond\n"
    path.write_bytes(b"")
    add_to_takedown(path, "second")
    assert path.read_text() == Takedown.of_text("second").to_text()


@pytest.mark.parametrize(
    "entry",
    [
        *("", " ", "# remark", "a\nb", "a\u2028b", "a\ud800", "id # remark"),
        *("https://youtu.be/dQw4w9WgXcQ", "https://vimeo.com/1", "caption: 7", "caption:007", "caption:x"),
    ],
)
def test_what_no_line_can_say(tmp_path, entry):
    with pytest.raises(ValueError, match=r"takedown list: .*expected a"):
        add_to_takedown(tmp_path / "takedown.txt", entry)
    assert not (tmp_path / "takedown.txt").exists()


def test_nothing_is_added_to_a_file_that_is_no_list(tmp_path):
    path = tmp_path / "takedown.txt"
    path.write_text("caption:x\n")
    with pytest.raises(ValueError, match=r"takedown\.txt, takedown list: 'caption:x'"):
        add_to_takedown(path, "first")
    assert path.read_text() == "caption:x\n"


def test_two_processes_add_to_a_list(tmp_path):
    path = tmp_path / "takedown.txt"
    code = "import sys; from surglavi_hf.data import add_to_takedown\n"
    code += "for n in range(50): add_to_takedown(sys.argv[1], f'caption:{n * int(sys.argv[2])}')"
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), step]) for step in ("2", "3")]
    assert [process.wait() for process in running] == [0, 0]
    numbers = {*range(0, 100, 2), *range(0, 150, 3)}
    assert Takedown.read(path).captions == numbers
    assert len(path.read_text().splitlines()) == len(Takedown().to_text().splitlines()) + len(numbers)


def test_it_is_on_the_disk_when_it_is_said_to_be(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    add_to_takedown(tmp_path / "takedown.txt", "first")
    assert synced == [(tmp_path / "takedown.txt").stat().st_size]


def test_a_lock_that_another_process_keeps(tmp_path, monkeypatch):
    monkeypatch.setattr(line_files, "_LONGEST_WAIT", 0.05)
    path, said = tmp_path / "takedown.txt", r"takedown\.txt is locked by another process"
    with line_files.locked(path), pytest.raises(BlockingIOError, match=said):
        add_to_takedown(path, "first")
    add_to_takedown(tmp_path / "takedown.txt", "first")
