# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.media import DownloadOptions, VideoLibrary, VideoSource, decode_frames
from surglavi_hf.media.fetch import Fetcher

from .conftest import numbers


@pytest.fixture
def fetch(tmp_path, web):
    """Fetches `/v.mp4`; returns the status, and what is in its place."""
    library = VideoLibrary(tmp_path / "library")
    options = DownloadOptions(ytdlp_arguments=("--socket-timeout", "1", "--retries", "0"))

    def run():
        source = VideoSource("v", None, f"{web.address}/v.mp4")
        attempt = Fetcher(library, options, None, lambda: False, lambda num_bytes: None).fetch(source)
        path = library.video_path("v")
        return attempt.status, path.read_bytes() if path.exists() else None

    return run


@pytest.fixture
def films(tmp_path, write_numbered):
    """A film, and a shorter and a longer one."""
    return [
        write_numbered(tmp_path / f"{count}.mp4", 0, count, "mpeg2video", {"g": "1", "qmax": "2"}).read_bytes()
        for count in (60, 10, 120)
    ]


def cut(web, fetch, content, tag=None):
    """Leaves half of a film as a part."""
    web.pages["/v.mp4"], web.faults["/v.mp4"] = content, ["cut"]
    web.tags = {"/v.mp4": tag} if tag else {}
    assert fetch() == ("network", None)
    web.faults = {}
    web.ranges.clear()


@pytest.mark.parametrize("tag", ['"1"', None])
def test_a_part_of_the_same_film_is_gone_on_with(web, fetch, films, tag, tmp_path):
    cut(web, fetch, films[0], tag)
    (part,) = (tmp_path / "library" / "partial").glob("*/*.part")
    size = part.stat().st_size
    assert fetch() == ("ok", films[0])
    assert f"bytes={size}-" in web.ranges and size > 1000


@pytest.mark.parametrize("tags", [('"1"', '"2"'), (None, None), (None, '"2"')])
@pytest.mark.parametrize("size", ["shorter than the part", "longer", "equal"])
def test_a_part_of_another_film_is_dropped(web, fetch, films, tags, size):
    """The server has another file now; where the part is longer it says 416 for ever."""
    film, shorter, longer = films
    cut(web, fetch, film, tags[0])
    new = {"shorter than the part": shorter, "longer": longer, "equal": shorter}[size]
    if size == "equal":
        new += (len(film) - len(new)).to_bytes(4, "big") + b"free" + bytes(len(film) - len(new) - 8)
        assert len(new) == len(film)
    else:
        assert (len(new) < len(film) // 2) == (size == "shorter than the part")
    web.pages["/v.mp4"], web.tags = new, {"/v.mp4": tags[1]} if tags[1] else {}
    assert fetch() == ("ok", new)


@pytest.mark.parametrize("size", ["longer", "about that of the part"])
def test_films_that_can_be_joined_anywhere_are_not(web, fetch, tmp_path, write_numbered, size):
    """A transport stream of which the first half is another's is sound, and so is its first half."""
    old = write_numbered(tmp_path / "old.ts", 0, 60).read_bytes()
    cut(web, fetch, old, '"1"')
    (part,) = (tmp_path / "library" / "partial").glob("*/*.part")
    new = write_numbered(tmp_path / "new.ts", 100, 60 if size == "longer" else 12).read_bytes()
    new += bytes(0 if size == "longer" else part.stat().st_size - 40 - len(new))
    web.pages["/v.mp4"], web.tags = new, {"/v.mp4": '"2"'}
    status, _ = fetch()
    frames = decode_frames(tmp_path / "library" / "videos" / "v" / "v.mp4", [0.02, 0.42])
    assert status == "ok" and numbers(frames) == [100, 110], "of the other film"


def test_a_part_without_a_stamp_is_dropped(web, fetch, films, tmp_path):
    """Nothing tells of what it is."""
    cut(web, fetch, films[0])
    for stamp in (tmp_path / "library" / "partial").glob("*/*.stamp"):
        stamp.unlink()
    (part,) = (tmp_path / "library" / "partial").glob("*/*.part")
    part.write_bytes(bytes(part.stat().st_size))
    assert fetch() == ("ok", films[0])


def test_a_film_that_changes_while_it_comes(web, fetch, films):
    """Not spliced; the next run has it."""
    cut(web, fetch, films[0], '"1"')
    web.pages["/v.mp4"], web.tags, web.faults = films[2], {"/v.mp4": '"2"'}, {"/v.mp4": ["cut"]}
    assert fetch() == ("network", None)
    web.faults = {}
    assert fetch() == ("ok", films[2])
