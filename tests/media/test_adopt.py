# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from surglavi_hf.media import VideoLibrary, VideoSource, adopt_videos

ID = "-9uZldT-tSk"


def put(path: Path, content: bytes = b"video") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "file",
    [
        *("name.mp4", "name/name.mp4", "deep/er/name.webm", f"{ID}.mp4", f"{ID}.MKV"),
        *(f"A title-{ID}.mp4", f"A title [{ID}].mp4", f"x/A – title, (2)-{ID}.mp4"),
    ],
)
def test_found(tmp_path, file):
    library = VideoLibrary(tmp_path / "library")
    path = put(tmp_path / "old" / file)
    adoption = adopt_videos(library, [VideoSource("name", ID)], tmp_path / "old")
    assert adoption.adopted == {"name": path.resolve()} and not adoption.missing and not adoption.unknown
    link = library.video_path("name")
    assert link.is_symlink() and link.samefile(path) and library.downloaded_names() == ["name"]
    again = adopt_videos(library, [VideoSource("name", ID)], tmp_path / "old")
    assert again.there == ["name"] and not again.adopted


@pytest.mark.parametrize(
    "file",
    [
        *(f"{ID}.mp4.part", f"{ID}.txt", f"{ID}.f136.mp4", f"title{ID}.mp4", f"title-{ID}x.mp4", "other.mp4"),
        *(f"title-{ID}].mp4", f"[{ID}.mp4"),
    ],
)
def test_not_taken_for_the_video(tmp_path, file):
    put(tmp_path / "old" / file)
    adoption = adopt_videos(VideoLibrary(tmp_path), [VideoSource("name", ID)], tmp_path / "old")
    assert adoption.missing == ["name"] and not adoption.adopted
    assert [path.name for path in adoption.unknown] == ([file] if file.endswith(".mp4") else [])


def test_the_best_of_several(tmp_path):
    """The video's own name, then its id, then a title; the largest of equals; an empty one never."""
    best = put(tmp_path / "a" / "name.mp4")
    others = [put(tmp_path / "b" / f"{ID}.mp4", b"large video"), put(tmp_path / f"t-{ID}.mp4", b"largest video")]
    put(tmp_path / "c" / "name.mkv", b"")
    adoption = adopt_videos(VideoLibrary(tmp_path / "library"), [VideoSource("name", ID)], tmp_path)
    assert adoption.adopted == {"name": best.resolve()} and adoption.unused == [path.resolve() for path in others]


def test_what_is_in_the_library_is_left_alone(tmp_path):
    """Looking for videos in the library itself finds none of its own, and what is there stays."""
    library = VideoLibrary(tmp_path)
    own = put(library.video_path("there"))
    put(library.video_path("other"))
    put(tmp_path / "quarantine" / "name.mp4")
    put(tmp_path / "old" / "there.mp4", b"a larger video")
    adoption = adopt_videos(library, [VideoSource("there", None), VideoSource("name", None)], tmp_path)
    assert adoption.there == ["there"] and adoption.missing == ["name"]
    assert [path.parent.name for path in adoption.unused] == ["old"]
    assert own.read_bytes() == b"video" and not own.is_symlink()


def test_a_link_to_nowhere_is_made_anew(tmp_path):
    library = VideoLibrary(tmp_path / "library")
    library.video_path("name").parent.mkdir(parents=True)
    library.video_path("name").symlink_to(tmp_path / "gone.mp4")
    path = put(tmp_path / "old" / "name.mp4")
    assert adopt_videos(library, [VideoSource("name", None)], tmp_path / "old").adopted
    assert library.video_path("name").samefile(path)


def test_hostile_names_and_folders(tmp_path):
    library = VideoLibrary(tmp_path / "library")
    put(tmp_path / "old" / "x.mp4")
    (tmp_path / "old" / "loop").symlink_to(tmp_path / "old")
    sources = [VideoSource("../x", None), VideoSource("x", "..")]
    assert list(adopt_videos(library, sources, tmp_path / "old").adopted) == ["x"]
    assert not (tmp_path / "x").exists() and os.listdir(tmp_path / "library" / "videos") == ["x"]
    with pytest.raises(NotADirectoryError, match="nothing is no folder"):
        adopt_videos(library, sources, tmp_path / "nothing")


def test_linked_folders_are_looked_into_once(tmp_path):
    path = put(tmp_path / "disk" / "name.mp4")
    (tmp_path / "old").mkdir()
    for link in ("a", "b"):
        (tmp_path / "old" / link).symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "circle").symlink_to(tmp_path / "old")
    adoption = adopt_videos(VideoLibrary(tmp_path / "library"), [VideoSource("name", None)], tmp_path / "old")
    assert adoption.adopted["name"].samefile(path) and not adoption.unused


def test_all_real_ids(tmp_path, shared):
    """As upstream's downloader names them."""
    ids = pq.read_table(shared / "data" / "surglavi_beta_videos.parquet")["youtube_id"].to_pylist()
    for id_ in ids:
        put(tmp_path / "old" / f"A title - part 2-{id_}.mp4")
    library = VideoLibrary(tmp_path / "library")
    adoption = adopt_videos(library, [VideoSource(f"v{id_}", id_) for id_ in ids], tmp_path / "old")
    assert len(adoption.adopted) == len(ids) and not adoption.unknown and not adoption.unused
    assert all(id_ in path.name for id_, path in zip(ids, adoption.adopted.values(), strict=True))
