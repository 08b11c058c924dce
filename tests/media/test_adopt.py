# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path
from types import SimpleNamespace
from unicodedata import normalize

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from surglavi_hf.media import Manifest, VideoLibrary, VideoSource, adopt_videos, plan_downloads

ID, OTHER = "-9uZldT-tSk", "AAAAAAAAAAA"


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """The bytes of a video of 3 s."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, width=64, height=64, pix_fmt="yuv420p")
        for index in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 8 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


@pytest.fixture
def put(film):
    """Writes a file, by default the film, with `more` bytes that mean nothing."""

    def write(path: Path, content: bytes | None = None, more: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        box = (8 + more).to_bytes(4, "big") + b"free" + bytes(more) if more else b""
        path.write_bytes(film + box if content is None else content)
        return path

    return write


@pytest.mark.parametrize(
    "file",
    [
        *("name.mp4", "name/name.mp4", "deep/er/name.webm", f"{ID}.mp4", f"{ID}.MKV", ID, "name"),
        *(f"A title-{ID}.mp4", f"A title [{ID}].mp4", f"x/A – title, (2)-{ID}.mp4"),
        *(f"{ID}_720p.mp4", f"{ID}-1080p60.mp4", f"{ID} [480p].mp4", f"{ID}_1280x720.mp4", f"v_{ID}.mp4"),
        *(f"[{ID}] A title.mp4", f"A title ({ID}).mp4", f"A title {ID}.mp4", f"{ID} - A title.mp4", f"{ID}_title.mp4"),
        *(f"{ID}.f136.mp4", f"A title [{ID}].f137.mp4", f"{ID} (1).mp4", f"A title-{ID} (2).mp4", f"{ID}(3).mp4"),
        *(f"{ID} - Copy.mp4", f"youtube_{ID}_h264.mp4", f"2019.05.03 {ID}.mp4", f"手術{ID}.mp4", f"title-{ID}].mp4"),
        *("name_720p.mp4", "name (1).mp4", "name.f136.mp4", "v_name.mp4", "name - Copy (2).mp4", "name_720p (1).mp4"),
        *(f"{ID}{suffix}" for suffix in (".mov", ".avi", ".m4v", ".ts", ".mpg", ".wmv", ".flv", ".m2ts", ".vob")),
    ],
)
def test_found(tmp_path, put, file):
    library = VideoLibrary(tmp_path / "library")
    path = put(tmp_path / "old" / file)
    adoption = adopt_videos(library, [VideoSource("name", ID)], tmp_path / "old")
    assert adoption.adopted == {"name": path.resolve()} and not adoption.missing and not adoption.unknown
    link = library.video_path("name")
    assert link.is_symlink() and link.samefile(path) and library.downloaded_names() == ["name"]
    (noted,) = Manifest(library.manifest_path)
    assert (noted.name, noted.status, noted.source, noted.format) == ("name", "ok", ID, "h264 64x64")
    assert noted.size == path.stat().st_size and noted.duration == pytest.approx(3.0)
    assert plan_downloads(library, [VideoSource("name", ID)]).unnoted == ()
    again = adopt_videos(library, [VideoSource("name", ID)], tmp_path / "old")
    assert again.there == ["name"] and not again.adopted


@pytest.mark.parametrize(
    "file",
    [
        *(f"{ID}.mp4.part", f"{ID}.txt", f"title{ID}.mp4", f"title-{ID}x.mp4", "other.mp4", f"{ID[:-1]}.mp4"),
        *(f"{ID.lower()}.mp4", f"{ID} or {OTHER}.mp4", "names.mp4", "720p.mp4", "(1).mp4"),
    ],
)
def test_not_taken_for_the_video(tmp_path, put, file):
    put(tmp_path / "old" / file)
    sources = [VideoSource("name", ID), VideoSource("second", OTHER)]
    adoption = adopt_videos(VideoLibrary(tmp_path), sources, tmp_path / "old")
    assert adoption.missing == ["name", "second"] and not adoption.adopted
    assert [path.name for path in adoption.unknown] == ([file] if file.endswith(".mp4") else [])


PIECES = [f"{ID}_clip3.mp4", f"{ID}_000123_000133.mp4", f"{ID}_part 2.mp4", f"{ID}-001.mp4", f"v_{ID}_s0.mp4"]


@pytest.mark.parametrize("file", PIECES)
def test_pieces_of_a_video(tmp_path, put, file):
    """Where the database does not know how long the video is, nothing else can tell them apart."""
    path = put(tmp_path / "old" / file).resolve()
    for number, (duration, reason) in enumerate(((None, "named as a piece"), (600.0, "lasts 3.0 s, expected 600"))):
        library = VideoLibrary(tmp_path / str(number))
        adoption = adopt_videos(library, [VideoSource("name", ID, None, duration)], tmp_path / "old")
        assert adoption.missing == ["name"] and reason in adoption.skipped[path] and adoption.exit_status == 1
    library = VideoLibrary(tmp_path / "whole")
    assert adopt_videos(library, [VideoSource("name", ID, None, 3.0)], tmp_path / "old").adopted, "it is as long"


def test_the_best_of_several(tmp_path, put):
    """The video's own name, then its id, then a title; the largest of equals."""
    best = put(tmp_path / "a" / "name.mp4", more=1)
    others = [put(tmp_path / "a" / "b" / "name.mp4"), put(tmp_path / "b" / f"{ID}.mp4", more=99)]
    others += [put(tmp_path / f"t-{ID}.mp4", more=999), put(tmp_path / f"{ID}_x.mp4", more=9999)]
    adoption = adopt_videos(VideoLibrary(tmp_path / "library"), [VideoSource("name", ID)], tmp_path)
    assert adoption.adopted == {"name": best.resolve()} and adoption.unused == [path.resolve() for path in others]
    assert not adoption.skipped and adoption.exit_status == 0


def wrong_files(film):
    """Contents that are not the film, and what is said of them."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5242880\n"
    return {
        "pointer": (pointer, "Git LFS pointer"),
        "annex": (b"/annex/objects/MD5E-s12--0123456789abcdef0123456789abcdef.mp4\n", "git-annex pointer"),
        "truncated": (film[: len(film) // 2], "cannot be opened"),
        "empty": (b"", "is empty"),
        "page": (b"<!DOCTYPE html><html>Sign in</html>", "cannot be opened"),
        "noise": (bytes(range(256)) * 40, "cannot be opened"),
    }


@pytest.mark.parametrize("kind", ["pointer", "annex", "truncated", "empty", "page", "noise"])
def test_what_is_not_the_video_is_skipped(tmp_path, put, film, kind):
    """It is neither linked nor booked, so that a download brings it; the next best takes its place."""
    content, reason = wrong_files(film)[kind]
    library, source = VideoLibrary(tmp_path / "library"), VideoSource("name", ID, None, 3.0)
    wrong = put(tmp_path / "old" / "name.mp4", content).resolve()
    adoption = adopt_videos(library, [source], tmp_path / "old")
    assert list(adoption.skipped) == [wrong] and reason in adoption.skipped[wrong], adoption.skipped
    assert adoption.missing == ["name"] and not adoption.adopted and not adoption.unused and adoption.exit_status == 1
    assert library.downloaded_names() == [] and plan_downloads(library, [source]).todo == [source]
    right = put(tmp_path / "old" / f"A title-{ID}.mp4")
    assert adopt_videos(library, [source], tmp_path / "old").adopted == {"name": right.resolve()}


def test_another_video_of_that_name_is_skipped(tmp_path, put):
    path = put(tmp_path / "old" / "name.mp4").resolve()
    adoption = adopt_videos(VideoLibrary(tmp_path), [VideoSource("name", ID, None, 60.0)], tmp_path / "old")
    assert "lasts 3.0 s, expected 60.0 s" in adoption.skipped[path]


def test_what_cannot_be_read_is_skipped(tmp_path, put, monkeypatch):
    """A looping link, a link that leads nowhere, a folder or file without permission: the rest is looked at."""
    old = tmp_path / "old"
    path = put(old / "z" / "name.mp4").resolve()
    put(old / "secret" / "name.mp4")
    (old / "loop").symlink_to("loop")
    (old / "loop.mp4").symlink_to("loop.mp4")
    (old / "gone.mp4").symlink_to("nothing")
    (old / "gone").symlink_to("nothing")
    os.mkfifo(old / "pipe.mp4")
    scandir = os.scandir

    def refuse(folder):
        if Path(folder).name == "secret":  # permissions do not bind the superuser
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    adoption = adopt_videos(VideoLibrary(tmp_path / "library"), [VideoSource("name", ID)], old)
    assert adoption.adopted == {"name": path} and adoption.exit_status == 1
    assert {file.name for file in adoption.skipped} == {"secret", "loop", "loop.mp4", "gone.mp4"}
    assert "Permission denied" in adoption.skipped[old.resolve() / "secret"]
    assert "symbolic links" in adoption.skipped[old.resolve() / "loop"]


def test_accents_that_macos_takes_apart(tmp_path, put):
    put(tmp_path / "old" / f"{normalize('NFD', 'Opération')}.mp4")
    library = VideoLibrary(tmp_path / "library")
    assert adopt_videos(library, [VideoSource("Opération", None)], tmp_path / "old").adopted
    assert library.downloaded_names() == ["Opération"]


def test_ids_as_databases_spell_them(tmp_path, put):
    put(tmp_path / "old" / f"{ID}.mp4")
    source = VideoSource("name", None, f"https://youtu.be/{ID}?t=3")
    assert adopt_videos(VideoLibrary(tmp_path / "library"), [source], tmp_path / "old").adopted


def test_two_at_once(tmp_path, put):
    put(tmp_path / "old" / "name.mp4")
    library = VideoLibrary(tmp_path / "library")
    with library.lock("adopt"), pytest.raises(BlockingIOError, match="surglavi adopt"):
        adopt_videos(library, [VideoSource("name", ID)], tmp_path / "old")


def test_what_is_in_the_library_is_left_alone(tmp_path, put):
    """Looking for videos in the library itself finds none of its own, and what is there stays."""
    library = VideoLibrary(tmp_path)
    own = put(library.video_path("there"), b"video")
    put(library.video_path("other"))
    put(tmp_path / "quarantine" / "name.mp4")
    put(tmp_path / "old" / "there.mp4", more=9)
    adoption = adopt_videos(library, [VideoSource("there", None), VideoSource("name", None)], tmp_path)
    assert adoption.there == ["there"] and adoption.missing == ["name"]
    assert [path.parent.name for path in adoption.unused] == ["old"]
    assert own.read_bytes() == b"video" and not own.is_symlink()


def test_a_link_to_nowhere_is_made_anew(tmp_path, put):
    library = VideoLibrary(tmp_path / "library")
    library.video_path("name").parent.mkdir(parents=True)
    library.video_path("name").symlink_to(tmp_path / "gone.mp4")
    path = put(tmp_path / "old" / "name.mp4")
    assert adopt_videos(library, [VideoSource("name", None)], tmp_path / "old").adopted
    assert library.video_path("name").samefile(path)


def test_hostile_names_and_folders(tmp_path, put):
    library = VideoLibrary(tmp_path / "library")
    put(tmp_path / "old" / "x.mp4")
    (tmp_path / "old" / "loop").symlink_to(tmp_path / "old")
    sources = [VideoSource("../x", None), VideoSource("x", "..")]
    assert list(adopt_videos(library, sources, tmp_path / "old").adopted) == ["x"]
    assert not (tmp_path / "x").exists() and os.listdir(tmp_path / "library" / "videos") == ["x"]
    with pytest.raises(NotADirectoryError, match="nothing is no folder"):
        adopt_videos(library, sources, tmp_path / "nothing")


def test_linked_folders_are_looked_into_once(tmp_path, put):
    path = put(tmp_path / "disk" / "name.mp4")
    (tmp_path / "old").mkdir()
    for link in ("a", "b"):
        (tmp_path / "old" / link).symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "circle").symlink_to(tmp_path / "old")
    adoption = adopt_videos(VideoLibrary(tmp_path / "library"), [VideoSource("name", None)], tmp_path / "old")
    assert adoption.adopted["name"].samefile(path) and not adoption.unused


def test_all_real_ids(tmp_path, put, shared, monkeypatch):
    """As upstream's downloader names them. Reading them is not the matter here."""
    monkeypatch.setattr("surglavi_hf.media.adopt.probe_video", lambda *_: SimpleNamespace(summary="", duration=None))
    ids = pq.read_table(shared / "data" / "surglavi_beta_videos.parquet")["youtube_id"].to_pylist()
    for id_ in ids:
        put(tmp_path / "old" / f"A title - part 2-{id_}.mp4", b"video")
    library = VideoLibrary(tmp_path / "library")
    adoption = adopt_videos(library, [VideoSource(f"v{id_}", id_) for id_ in ids], tmp_path / "old")
    assert len(adoption.adopted) == len(ids) and not adoption.unknown and not adoption.unused
    assert all(id_ in path.name for id_, path in zip(ids, adoption.adopted.values(), strict=True))
