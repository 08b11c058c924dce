# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.media import VideoSource, read_ids, select_sources, shard
from surglavi_hf.media.identity import is_youtube
from surglavi_hf.media.sources import place_of

YOUTUBE = "https://www.youtube.com/watch?v="
SOURCES = [VideoSource(f"name{number}", f"{number:011d}") for number in range(10)]


@pytest.mark.parametrize(
    "youtube_id, url, address",
    [
        ("-9uZldT-tSk", None, f"{YOUTUBE}-9uZldT-tSk"),
        ("-9uZldT-tSk", "https://youtu.be/AAAAAAAAAAA", f"{YOUTUBE}-9uZldT-tSk"),
        ("-9uZldT-tSk", "https://m.youtube.com/watch?v=AAAAAAAAAAA", f"{YOUTUBE}-9uZldT-tSk"),
        ("-9uZldT-tSk", "https://vimeo.com/1", "https://vimeo.com/1"),
        ("-9uZldT-tSk", "https://youtube.com.evil.org/1", "https://youtube.com.evil.org/1"),
        ("-9uZldT-tSk", "file:///etc/passwd", f"{YOUTUBE}-9uZldT-tSk"),
        (None, "https://www.youtube.com/watch?v=AAAAAAAAAAA", "https://www.youtube.com/watch?v=AAAAAAAAAAA"),
        ("; rm -rf /", "https://vimeo.com/1", "https://vimeo.com/1"),
        ("; rm -rf /", None, None),
        ("-9uZldT-tSk\n", None, f"{YOUTUBE}-9uZldT-tSk"),
        (" https://youtu.be/-9uZldT-tSk?t=9", None, f"{YOUTUBE}-9uZldT-tSk"),
        (None, "youtu.be/-9uZldT-tSk", f"{YOUTUBE}-9uZldT-tSk"),
        (None, "https://www.google.com/url?q=https%3A%2F%2Fyoutu.be%2F-9uZldT-tSk", f"{YOUTUBE}-9uZldT-tSk"),
        (None, "ftp://host/v.mp4", None),
        (None, "file:///etc/passwd", None),
        (None, "ytsearch:liver", None),
        (None, "http://[broken", None),
        (None, "", None),
    ],
)
def test_address(youtube_id, url, address):
    assert VideoSource("v", youtube_id, url).address == address


def test_is_youtube():
    assert is_youtube("https://www.youtube-nocookie.com/embed/x") and not is_youtube("https://notyoutube.com/x")


def test_place_of():
    """What servers have in common that answer alike: all of YouTube's are one."""
    youtube = {"-9uZldT-tSk", "https://youtu.be/-9uZldT-tSk", "https://www.youtube.com/watch?v=-9uZldT-tSk"}
    assert {place_of(address) for address in youtube} == {"youtube.com"}
    assert place_of("https://vimeo.com/1") == "vimeo.com" != place_of("http://127.0.0.1:9/v.mp4") == "127.0.0.1"
    assert place_of("") == place_of("http://[broken") == ""


@pytest.mark.parametrize("count", [1, 3, 10, 13])
def test_shards_are_apart_and_together_all(count):
    parts = [shard(SOURCES, index, count) for index in range(1, count + 1)]
    assert sorted((source for part in parts for source in part), key=SOURCES.index) == SOURCES
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("index, count", [(0, 2), (3, 2), (1, 0)])
def test_shards_that_are_none(index, count):
    with pytest.raises(ValueError, match=f"shard {index}/{count}, expected"):
        shard(SOURCES, index, count)


def test_select_sources(tmp_path):
    (tmp_path / "ids.txt").write_text("# mine\nname3\n\n  00000000001 \nname1\n")
    ids = read_ids(tmp_path / "ids.txt")
    assert ids == ["name3", "00000000001", "name1"]
    assert select_sources(SOURCES, ids) == [SOURCES[3], SOURCES[1]]
    assert select_sources(SOURCES, ["https://youtu.be/00000000003?si=x", "00000000001\u200b"]) == [
        SOURCES[3],
        SOURCES[1],
    ]
    linked = VideoSource("linked", None, "https://www.youtube.com/watch?v=AAAAAAAAAAA")
    assert select_sources([*SOURCES, linked], ["AAAAAAAAAAA"]) == [linked]
    with pytest.raises(ValueError, match="1 of 2 ids are not in the database, 'other' first"):
        select_sources(SOURCES, ["name1", "other"])
