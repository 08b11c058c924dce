# SPDX-License-Identifier: Apache-2.0
import string
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from surglavi_hf.media.identity import find_youtube_id, is_youtube, video_identity

SOUND_IDS = st.text(string.ascii_letters + string.digits + "_-", min_size=11, max_size=11)
IDS = SOUND_IDS.filter(lambda id_: id_ not in ("videoseries", "live_stream"))  # YouTube's own words in addresses
BLANKS = st.text(" \t\r\n\u00a0\u200b\u200d\u2060\ufeff\u3000", max_size=3)
ADDRESSES = st.sampled_from(
    [
        *(
            f"{host}/watch?{parameters}"
            for host in ("www.youtube.com", "youtube.com", "m.youtube.com", "music.youtube.com", "YouTube.com:443")
            for parameters in (
                "v={}",
                "v={}&t=1m2s",
                "list=PLx&index=3&v={}",
                "app=desktop&amp;v={}&amp;si=q",
                "v={}#t=9",
            )
        ),
        *("youtu.be/{}", "youtu.be/{}/", "youtu.be/{}?si=q_z&t=9", "youtu.be/watch?v={}", "www.youtu.be/{}"),
        *(f"www.youtube.com/{kind}/{{}}" for kind in ("embed", "shorts", "live", "v", "e", "vi", "watch")),
        "www.youtube-nocookie.com/embed/{}?rel=0&start=3",
        *("www.youtube.com/v/{}&hl=en", "youtube.googleapis.com/v/{}", "www.youtube.com/?v={}", "youtube.com/#!v={}"),
        *("www.youtubekids.com/watch?v={}", "m.youtube.com/#/watch?v={}"),
        "www.youtube.com/attribution_link?a=x&u=%2Fwatch%3Fv%3D{}%26feature%3Dshare",
        "www.google.com/url?sa=t&q=https%3A%2F%2Fwww.youtube.com%2Fwatch%3Fv%3D{}&usg=z",
        "web.archive.org/web/2020/https://www.youtube.com/watch?v={}",
        "consent.youtube.com/m?continue=https%3A%2F%2Fm.youtube.com%2Fwatch%3Fv%3D{}%26t%3D3&gl=DE",
    ]
)
SCHEMES = st.sampled_from(["https://", "http://", "HTTPS://", "//", ""])
WRITTEN = st.builds(
    lambda before, scheme, address, encoded, after: (
        lambda id_: before + (quote if encoded else str)(scheme + address.format(id_)) + after
    ),
    *(BLANKS, SCHEMES, ADDRESSES, st.booleans(), BLANKS),
)


@given(IDS, IDS, WRITTEN, BLANKS, st.sampled_from([None, "", " ", "\u00a0"]))
def test_every_form_is_one_video(id_, other, written, blanks, nothing):
    aliases = [
        (id_, None, "a"),
        (id_, written(other), "b"),  # the id leads
        (blanks + id_ + blanks, nothing, "c"),
        (quote(id_) + "%20", None, "d"),
        (written(id_), None, "e"),
        (nothing, written(id_), "f"),
        ("cut", written(id_), "g"),
        (nothing, id_, "h"),
        (nothing, nothing, id_),
        (None, "https://www.youtube.com/@channel", blanks + id_ + blanks),
    ]
    assert {video_identity(*alias) for alias in aliases} == {id_}


@given(IDS, IDS)
@example("dQw4w9WgXcQ", "dqw4w9wgxcq")
def test_another_id_is_another_video(one, other):
    addresses = [f"https://youtu.be/{id_}" for id_ in (one, other)]
    assert (video_identity(None, addresses[0], "v") == video_identity(None, addresses[1], "v")) == (one == other)


TEXTS = st.none() | st.text(max_size=30)


@given(st.tuples(*[TEXTS] * 3), BLANKS, BLANKS)
def test_blanks_around_any_text_change_nothing(texts, before, after):
    assert video_identity(*[text and before + text + after for text in texts]) == video_identity(*texts)


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "https://www.youtube.com/",
        "https://www.youtube.com/@channel",
        "https://www.youtube.com/playlist?list=PL0123456789",
        "https://www.youtube.com/embed/videoseries?list=PL0123456789",
        "https://www.youtube.com/embed/live_stream?channel=UC0123456789",
        "https://example.org",
        "https://example.org/",
        "videos/v.mp4",
        "http://[broken",
        "not on the web",
    ],
)
def test_an_address_of_no_video_is_no_identity(url):
    assert video_identity(None, url, " operation 7 ") == "operation 7"
    assert video_identity(None, url, None) == ""


def test_a_video_elsewhere_is_its_address():
    forms = ["https://vimeo.com/76979871", "http://www.vimeo.com/76979871/#t=3", " vimeo.com/76979871 "]
    assert {video_identity(None, form, name) for form, name in zip(forms, "abc", strict=True)} == {
        "vimeo.com/76979871"
    }
    assert video_identity("https://vimeo.com/76979871", None, "d") == "vimeo.com/76979871"
    asked = [
        video_identity(None, f"https://x.org/play?{query}", "v") for query in ("id=1&lang=en", "lang=en&id=1", "id=2")
    ]
    assert asked[0] == asked[1] != asked[2]


@pytest.mark.parametrize(
    "url", ["https://notyoutube.com/watch?v=AAAAAAAAAAA", "https://youtube.com.evil.org/watch?v=AAAAAAAAAAA"]
)
def test_hosts_that_are_not_youtube(url):
    assert not is_youtube(url) and find_youtube_id(None, url) is None
    assert is_youtube("https://www.youtube-nocookie.com/embed/x")


def test_an_id_of_another_length_is_taken_as_it_stands():
    assert find_youtube_id(" abc ") == "abc" == find_youtube_id("", "https://www.youtube.com/watch?v=abc")
