# SPDX-License-Identifier: Apache-2.0
"""The server, asked over HTTP."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from surglavi_hf.data import Takedown
from surglavi_hf.data.reviews import ReviewLog
from surglavi_hf.explorer.app import PAGES, STATIC
from surglavi_hf.media import FrameStoreOptions, VideoLibrary
from surglavi_hf.media.frame_store import write_frame_store

# Who may ask


def test_a_token_opens_it_once_and_leaves_the_address(serve, own):
    client = serve(own)
    known, client.cookie = client.cookie, ""
    assert client.ask("/api/about")[0] == 403
    assert client.ask("/?token=wrong")[0] == 403
    status, _, headers = client.ask("/captions?level=task&token=a-token-of-the-tests")
    assert (status, headers["location"]) == (303, "/captions?level=task")
    cookie = headers["set-cookie"]
    assert cookie.startswith(known)
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    client.cookie = known
    assert client.get("/api/about")["title"] == "SurgLaVi"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""])
def test_other_names_are_refused(serve, own, host):
    assert serve(own).ask("/api/about", Host=host)[0] == 400


def test_names_that_are_allowed(serve, own):
    client = serve(own, hosts=["*.example.org"])
    assert client.ask("/api/about", Host="lab.example.org")[0] == 200
    assert client.ask("/api/about", Host="lab.example.com")[0] == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_pages_of_other_servers_can_send_nothing(serve, own, origin):
    client = serve(own, review=True)
    body = {"action": "flag", "caption_id": 1, "reviewer": "Ana"}
    assert client.ask("/api/reviews", body, Origin=origin)[0] == 403
    assert client.ask("/api/reviews", body, **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert not (own / "reviews.jsonl").exists()
    assert client.ask("/api/reviews", body, Origin=client.address)[0] == 200


def test_every_answer_says_what_a_page_may_load(serve, own):
    client = serve(own)
    for path in ("/", "/api/about", "/static/app.js", "/nothing", "/api/captions?level=x"):
        _, _, headers = client.ask(path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_for_everybody_nothing_is_changed_or_started(serve, drawn):
    client = serve(drawn, token=None, public=True)
    assert client.get("/api/about")["public"]
    for path in ("/api/reviews", "/api/takedown", "/api/video/1/copy", "/api/video/1/watch"):
        assert client.error(path, {})[0] == 403
    assert "https://huggingface.co" in client.ask("/")[2]["content-security-policy"]  # whose page shows it in a frame


def test_reviews_only_where_they_are_taken(serve, own):
    client = serve(own)
    assert client.error("/api/reviews", {"action": "flag", "caption_id": 1, "reviewer": "Ana"}) == (
        403,
        "this explorer takes no reviews; start it with --review",
    )
    assert client.error("/api/takedown", {"caption_id": 1})[0] == 403
    assert {path.name for path in own.iterdir()} == {"surglavi_beta.db", "explorer"}


# Pages and their values


def test_pages_are_there_and_static_files_alone(serve, own):
    client = serve(own)
    for path in PAGES:
        path = path.replace("{video_id:int}", "10").replace("{name}", "x")
        status, content, headers = client.ask(path)
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert b'<div id="app">' in content
    for path in sorted(STATIC.rglob("*.*")):
        assert client.ask(f"/static/{path.relative_to(STATIC).as_posix()}")[0] == 200
    for path in (
        *("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/static/%00"),
        *(
            "/media/../surglavi_beta.db",
            "/media/%2e%2e",
            "/frame/..%2f1.jpg",
            "/benchmark-media/..%2f..%2fetc%2fpasswd",
        ),
        *("/surglavi_beta.db", "/api/video/-1", "/api/video/x", "/static/vendor"),
    ):
        status, content, _ = client.ask(path)
        assert status in (400, 403, 404), path
        assert b"SQLite" not in content
        assert b"import" not in content


def test_lists_come_in_parts(serve, own):
    client = serve(own)
    whole = client.get("/api/captions?sort=caption_id&limit=500")
    assert whole["total"] == 60
    assert [row["caption_id"] for row in whole["rows"]] == [*range(1, 61)]
    part = client.get("/api/captions?sort=caption_id&offset=50&limit=20")["rows"]
    assert part == whole["rows"][50:]
    assert client.get("/api/videos")["total"] == 6
    assert (
        client.get("/api/captions?level=phase&surgical=no")["total"]
        == client.get("/api/overview?level=phase&surgical=no")["captions"]
    )


@pytest.mark.parametrize(
    "path",
    [
        *("/api/captions?offset=-1", "/api/captions?limit=x", "/api/captions?level=x", "/api/captions?sort=x"),
        *("/api/search?q=", "/api/search?like=x", "/api/captions?q=%22", "/api/overview?disk=x"),
        *("/api/captions?offset=99999999999999999999", "/api/captions?video=1e3"),
    ],
)
def test_wrong_questions_are_answered_in_a_line(serve, own, path):
    status, line = serve(own).error(path)
    assert status == 400
    assert "\n" not in line
    assert len(line) < 300


def test_one_video_whole(serve, own):
    client = serve(own)
    found = client.get("/api/video/20")
    assert found["video"]["title"] == "Operation 2"
    assert found["video"]["youtube"] == "https://youtu.be/abcdefghi02"
    assert len(found["captions"]) == 12
    starts = [row["start"] for row in found["captions"]]
    assert starts == sorted(starts)
    assert found["media"] == {"kind": "none", "why": "it is not downloaded yet; surglavi download gets it"}
    assert client.get("/api/video/10")["transcript"] == "all that was said"
    assert client.get("/api/video/60")["captions"] == []  # silent
    assert client.error("/api/video/99") == (404, "there is no video 99 in SurgLaVi")


def test_search_by_words_with_other_choices(serve, own):
    client = serve(own)
    found = client.get("/api/search?q=gallbladder&level=phase")
    assert found["words"]["total"] == client.get("/api/captions?q=gallbladder&level=phase")["total"] > 0
    assert all(row["level"] == "phase" and "gallbladder" in row["text"] for row in found["words"]["rows"])
    assert "--index" in found["meaning"]["note"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"[" * 100_000, b"\xff", b'{"action": NaN}'])
def test_bodies_that_are_no_object(serve, own, body):
    client = serve(own, review=True)
    assert client.error("/api/reviews", body)[0] == 400


def test_bodies_that_are_too_large_or_of_another_type(serve, own):
    client = serve(own, review=True)
    assert client.error("/api/reviews", b"{" + b" " * (300 << 10))[0] == 413
    assert client.ask("/api/reviews", b"{}", **{"Content-Type": "text/plain"})[0] == 415


def test_captions_that_cannot_be_used_are_counted(serve, tmp_path):
    from ..data.reference import write_database

    caption = {"video_id": 1, "level_id": 1, "start_time": 1, "end_time": 2, "duration": 1, "caption": "x"}
    captions = [caption | {"caption_id": 1}, caption | {"caption_id": 2, "end_time": 0}]
    captions += [caption | {"caption_id": 3, "level_id": 9}, caption | {"caption_id": 4, "level_id": 9}]
    write_database(tmp_path / "surglavi_beta.db", videos=[{"video_id": 1, "name": "v"}], captions=captions)
    client = serve(tmp_path)
    assert client.get("/api/captions")["total"] == 1
    assert client.get("/api/left-out") == {"unknown level": 2, "end_time not after start_time": 1}


def test_pages_ask_while_reviews_come_in(serve, own):
    """Columns grow by a row while others count: nobody sees columns of two lengths."""
    client = serve(own, review=True)
    after = {"level": "task", "start_time": 5, "end_time": 9, "caption": "A stitch."}

    def ask(number):
        if number % 3 == 0:
            client.post("/api/reviews", {"action": "add", "video_id": 60, "reviewer": "Ana", "after": after})
        else:
            client.get(f"/api/overview?q=stitch&level=task&sort={number}" if number % 3 == 1 else "/api/video/60")
            client.get("/api/search?q=stitch")

    client.post("/api/reviews", {"action": "add", "video_id": 60, "reviewer": "Ana", "after": after})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(90)))
    assert client.get("/api/captions?review=added")["total"] == 31


def test_a_corpus_without_captions(serve, tmp_path):
    from ..data.reference import write_database

    write_database(tmp_path / "surglavi_beta.db", videos=[{"video_id": 1, "name": "v"}], captions=[])
    client = serve(tmp_path)
    assert client.get("/api/about")["title"] == "SurgLaVi"
    assert client.get("/api/overview")["captions"] == 0
    assert client.get("/api/captions")["rows"] == []
    assert client.get("/api/videos")["total"] == 1
    assert client.get("/api/video/1")["captions"] == []
    assert client.get("/api/search?q=anything")["words"]["total"] == 0


# Videos and pictures


def test_a_video_plays_from_any_place(serve, drawn):
    client = serve(drawn)
    whole = (drawn / "videos" / "procedure-001" / "procedure-001.mp4").read_bytes()
    status, content, headers = client.ask("/media/1")
    assert (status, content) == (200, whole)
    assert headers["content-type"] == "video/mp4"
    assert headers["accept-ranges"] == "bytes"
    status, content, headers = client.ask("/media/1", Range="bytes=100-199")
    assert (status, content) == (206, whole[100:200])
    assert headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert client.ask("/media/1", Range="bytes=-10")[1] == whole[-10:]
    assert client.ask("/media/1", Range=f"bytes={len(whole)}-")[0] == 416
    assert client.get("/api/video/1")["media"]["kind"] == "video"


def test_frames_and_strips_are_pictures(serve, drawn):
    import simplejpeg

    client = serve(drawn)
    status, content, headers = client.ask("/frame/1.jpg?t=3.5&height=60")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert simplejpeg.decode_jpeg(content).shape == (60, 60, 3)
    assert client.ask("/frame/1.jpg?t=99999")[0] == 200  # the last
    strip = simplejpeg.decode_jpeg(client.ask("/strip/1.jpg?n=4&height=50")[1])
    assert strip.shape == (50, 200, 3)
    assert client.error("/frame/99.jpg")[0] == 404
    assert client.error("/strip/99999.jpg")[0] == 404
    assert client.error("/frame/1.jpg?t=-1")[0] == 400
    assert client.error("/frame/1.jpg?t=nan")[0] == 400


def test_where_there_is_no_video_its_stored_frames_are_shown(serve, drawn, corpus):
    (drawn / "videos").unlink()
    source = corpus / "videos" / "procedure-001" / "procedure-001.mp4"
    store = VideoLibrary(drawn).frames_path("procedure-001")
    write_frame_store(source, store, FrameStoreOptions())
    client = serve(drawn)
    found = client.get("/api/video/1")
    assert found["media"]["kind"] == "frames"
    assert found["video"]["disk"] == "frames"
    assert client.ask("/frame/1.jpg?t=3")[0] == 200
    assert client.error("/media/1")[0] == 404
    assert client.get("/api/video/2")["media"]["kind"] == "none"


def test_what_is_damaged_is_said_in_a_line_without_folders(serve, drawn):
    (drawn / "videos").unlink()
    broken = drawn / "videos" / "procedure-001" / "procedure-001.mp4"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no video")
    client = serve(drawn)
    found = client.get("/api/video/1")["media"]
    assert found["kind"] == "none"
    assert "procedure-001.mp4" in found["why"]
    assert str(drawn) not in found["why"]
    assert client.error("/frame/1.jpg")[0] == 422


def test_a_video_that_browsers_cannot_play_is_copied_on_demand(serve, drawn, matroska):
    client = serve(drawn)
    found = client.get("/api/video/1")["media"]
    assert found["kind"] == "to copy"
    assert "Matroska" in found["why"]
    assert client.error("/media/1")[0] == 404
    assert client.post("/api/video/1/copy", {})["state"] in ("waiting", "running")
    for _ in range(600):
        found = client.get("/api/video/1/media")
        if found["kind"] == "copy":
            break
        assert found["job"]["state"] in ("waiting", "running", "done"), found
        time.sleep(0.1)
    assert found["kind"] == "copy"
    assert "small copy" in found["why"]
    status, copy, _ = client.ask("/media/1")
    assert status == 200
    assert copy[4:8] == b"ftyp"
    assert {path.name for path in (drawn / "explorer").iterdir()} == {"copies", "words.db"}


# Reviews


def test_a_review_is_written_and_shown(serve, own):
    client = serve(own, review=True)
    row = client.get("/api/video/20")["captions"][0]
    body = {"action": "change", "caption_id": row["caption_id"], "reviewer": "Ana", "follows": row["follows"]}
    made = client.post("/api/reviews", body | {"after": {"end_time": row["end"] + 1, "level": "phase"}})
    assert made["review"]["before"] == {
        "level": {"task": 1, "step": 2, "phase": 3}[row["level"]],
        "end_time": row["end"],
    }
    assert made["caption"]["end"] == row["end"] + 1
    assert made["caption"]["state"] == ["changed"]
    assert client.get(f"/api/caption/{row['caption_id']}/reviews") == [made["review"]]
    assert client.get("/api/reviews")["reviews"][0]["reviewer"] == "Ana"
    assert client.get("/api/captions?review=changed")["total"] == 1
    (line,) = (own / "reviews.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == made["review"]["id"]


def test_two_reviewers_at_one_caption_lose_nothing(serve, own):
    ana, ben = serve(own, review=True), serve(own, review=True)
    body = {"action": "change", "caption_id": 3, "follows": None}
    first = ana.post("/api/reviews", body | {"reviewer": "Ana", "after": {"caption": "Ana's words."}})
    status, content, _ = ben.ask("/api/reviews", body | {"reviewer": "Ben", "after": {"caption": "Ben's words."}})
    said = json.loads(content)
    assert status == 409
    assert said["latest"]["id"] == first["review"]["id"]
    second = {"follows": said["latest"]["id"], "reviewer": "Ben", "after": {"caption": "Ben's words."}}
    ben.post("/api/reviews", body | second)
    assert [review.reviewer for review in ReviewLog(own / "reviews.jsonl").read()] == ["Ana", "Ben"]
    ana.get("/api/version")
    assert ana.get("/api/captions?sort=caption_id&offset=2&limit=1")["rows"][0]["text"] == "Ben's words."


def test_a_new_caption(serve, own):
    client = serve(own, review=True)
    after = {"level": "task", "start_time": 5, "end_time": 9, "caption": "A stitch."}
    made = client.post("/api/reviews", {"action": "add", "video_id": 60, "reviewer": "Ana", "after": after})
    assert made["caption"]["caption_id"] == 61
    assert client.get("/api/video/60")["captions"][0]["text"] == "A stitch."
    assert client.get("/api/search?q=stitch")["words"]["total"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"action": "change", "caption_id": 1, "after": {}},
        {"action": "change", "caption_id": 1, "after": {"start_time": 1e9}},
        {"action": "change", "caption_id": 1, "after": {"end_time": -1}},
        {"action": "change", "caption_id": 1, "after": {"end_time": 602}},  # of a video of 600 s
        {"action": "change", "caption_id": 4, "after": {"end_time": 1e308}},  # of one of unknown length
        {"action": "add", "video_id": 10, "after": {"level": 1, "start_time": 3, "end_time": 9e9, "caption": "x"}},
        {"action": "change", "caption_id": 1, "after": {"level": "operation"}},
        {"action": "change", "caption_id": 1, "after": {"level": 7}},
        {"action": "change", "caption_id": 1, "after": {"caption_id": 3}},
        {"action": "change", "caption_id": 1, "after": {"caption": 3}},
        {"action": "change", "caption_id": 1, "after": [1]},
        {"action": "change", "caption_id": 1, "after": {"caption": None, "raw_narration": None}},
        {"action": "change", "caption_id": 999, "after": {"end_time": 1}},
        {"action": "change", "caption_id": "1", "after": {"end_time": 1}},
        {"action": "flag", "caption_id": 1, "remark": 3},
        {"action": "flag", "caption_id": 1, "remark": "x" * 3000},
        {"action": "flag", "caption_id": 1, "follows": "0" * 32},
        {"action": "flag", "caption_id": 1, "follows": "../x"},
        {"action": "drop", "caption_id": 1},
        {"action": "add", "video_id": 10, "after": {"caption": "x"}},
        {"action": "add", "video_id": 10, "after": {"level": "task", "start_time": 3, "end_time": 2, "caption": "x"}},
        {},
    ],
)
def test_reviews_that_cannot_be_are_refused(serve, own, body):
    client = serve(own, review=True)
    status, line = client.error("/api/reviews", {"reviewer": "Ana", **body})
    assert status in (400, 404)
    assert line
    assert not (own / "reviews.jsonl").exists()


@pytest.mark.parametrize("reviewer", ["", "  ", "x" * 101, "a\nb", None, 3])
def test_a_reviewer_has_a_name(serve, own, reviewer):
    client = serve(own, review=True)
    assert client.error("/api/reviews", {"action": "flag", "caption_id": 1, "reviewer": reviewer})[0] == 400


def test_what_is_taken_down_is_listed_and_shown_no_more(serve, drawn):
    client = serve(drawn, review=True)
    assert client.ask("/frame/1.jpg?t=1")[0] == 200
    name = client.post("/api/takedown", {"video_id": 1})["entry"]
    client.post("/api/takedown", {"caption_id": 40})
    assert Takedown.read(drawn / "takedown.txt") == Takedown(frozenset({name}), frozenset({40}))
    assert client.get("/api/video/1")["media"] == {"kind": "none", "why": "taken down"}
    assert client.error("/frame/1.jpg?t=1")[0] == 404
    assert client.error("/media/1")[0] == 404
    assert client.error("/strip/1.jpg")[0] == 404
    assert client.get("/api/captions?takedown=yes")["total"] > 1
    assert client.error("/api/takedown", {"video_id": 99})[0] == 404


def test_names_of_files_that_would_leave_the_library(serve, tmp_path):
    from ..data.reference import write_database

    (tmp_path / "secret.mp4").write_bytes(b"secret")
    videos = [{"video_id": 1, "name": "../secret"}, {"video_id": 2, "name": "a/b"}, {"video_id": 3, "name": "\n"}]
    captions = [
        {"caption_id": n, "video_id": n, "level_id": 1, "start_time": 0, "end_time": 1, "duration": 1, "caption": "x"}
        for n in (1, 2)
    ]
    library = tmp_path / "library"
    library.mkdir()
    write_database(library / "surglavi_beta.db", videos=videos, captions=captions)
    client = serve(library)
    for number in (1, 2):
        assert client.get(f"/api/video/{number}")["media"]["kind"] == "none"
        assert client.error(f"/frame/{number}.jpg")[0] in (400, 404)
        assert client.error(f"/media/{number}")[0] in (400, 404)


def test_a_folder_that_takes_no_index_wants_another_cache(own, serve, tmp_path_factory):
    (own / "explorer").write_text("a file, where the folder of the index would be")
    with pytest.raises(
        OSError, match="cannot be written to, where the index goes; name another folder with --cache-dir"
    ):
        serve(own)
    assert serve(own, cache_dir=str(tmp_path_factory.mktemp("cache"))).get("/api/captions")["total"] == 60


def test_the_cache_may_be_elsewhere(own, serve, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    serve(own, cache_dir=str(cache))
    assert (cache / "words.db").is_file()
    assert {path.name for path in own.iterdir()} == {"surglavi_beta.db"}
    shutil.rmtree(cache)
