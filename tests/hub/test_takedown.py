# SPDX-License-Identifier: Apache-2.0
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.hub.takedown import Takedown

ENTRIES = st.sets(st.text("abcAB-_19", min_size=1, max_size=11))


def test_what_a_list_may_have():
    takedown = Takedown.of_text("\ufeff# a comment\n\n dQw4w9WgXcQ \r\ncaption:12\na name with spaces\ncaption: 7\n")
    assert takedown == Takedown(frozenset({"dQw4w9WgXcQ", "a name with spaces"}), frozenset({7, 12}))
    assert len(takedown) == 4


@pytest.mark.parametrize("line", ["caption:", "caption:x", "caption:-1", "caption:1.5", "caption:" + "9" * 23])
def test_a_caption_without_its_number(line):
    with pytest.raises(ValueError, match="expected a caption's number, as in caption:123"):
        Takedown.of_text(line)


@pytest.mark.parametrize("line", ["https://youtu.be/dQw4w9WgXcQ", "dQw4w9WgXcQ  # letter of Dr. Doe"])
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
