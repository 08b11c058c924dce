# SPDX-License-Identifier: Apache-2.0
import threading
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from surglavi_hf.hub.failures import HubError
from surglavi_hf.hub.repository import Repository

COMMIT, CREATE, OBJECTS = "/commit/", "/repos/create", "/objects/"


@pytest.fixture
def push(hub_server, tmp_path):
    """Pushes texts as files, weights among them."""

    def push(content: str, remove=(), tag=None, public: bool | None = False, repo_id: str = "me/x"):
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(b"\0" + content.encode() * 1000)
        files: dict[str, Path | bytes] = {"model.safetensors": weights, "README.md": content.encode()}
        return Repository(repo_id, "model", public).push(files, remove, f"Push {content}", tag)

    return push


def state(hub_server) -> tuple:
    """All of a repository that a failure must leave as it is."""
    repository = hub_server.repositories["me/x"]
    return len(repository["commits"]), dict(repository["tags"]), repository["visibility"]


def uploads(hub_server) -> int:
    return sum(request.startswith("PUT /objects/") for request in hub_server.requests)


def test_one_commit_a_push_and_a_tag_a_version(hub_server, push):
    first = push("one")
    assert first.changed == ("README.md", "model.safetensors") and first.tag == "v1"
    assert state(hub_server) == (1, {"v1": 1}, "private")
    again = push("one")
    assert (again.changed, again.commit, again.tag) == ((), first.commit, "v1")
    assert push("two").tag == "v2"
    assert state(hub_server) == (2, {"v1": 1, "v2": 2}, "private")
    assert hub_server.repositories["me/x"]["commits"][1]["files"]["README.md"] == b"two"


def test_a_file_that_is_not_to_be_there_goes_in_the_same_commit(hub_server, push):
    push("one")
    HfApi().upload_file(path_or_fileobj=b"theirs", path_in_repo="theirs.txt", repo_id="me/x")
    HfApi().upload_file(path_or_fileobj=b"old", path_in_repo="old.safetensors", repo_id="me/x")
    pushed = push("two", remove={"old.safetensors", "README.md", "never.there"})
    assert "old.safetensors" in pushed.changed and state(hub_server)[0] == 4
    files = hub_server.repositories["me/x"]["commits"][-1]["files"]
    assert set(files) == {".gitattributes", "README.md", "model.safetensors", "theirs.txt"}


def test_a_version_of_ones_own_name(hub_server, push):
    assert push("one", tag="2026").tag == "2026"
    assert push("one", tag="2026").changed == ()
    before = state(hub_server)
    with pytest.raises(HubError, match="tag 2026 is another commit already"):
        push("two", tag="2026")
    assert state(hub_server) == before
    push("two")
    with pytest.raises(HubError, match="tag 2026 is another commit already"):
        push("two", tag="2026")
    assert state(hub_server)[1] == {"2026": 1, "v1": 2}


def test_a_tag_that_is_missing_is_made_by_the_next_push(hub_server, push):
    hub_server.fail(403, path="/tag/")
    with pytest.raises(HubError, match=r"may not write there.*commit [0-9a-f]{8} is there, run it again for its tag"):
        push("one")
    assert state(hub_server) == (1, {}, "private")
    assert push("one").tag == "v1"
    assert state(hub_server) == (1, {"v1": 1}, "private")


def test_who_may_see_it(hub_server, push):
    assert not push("one").public
    assert push("one", public=True).public
    assert state(hub_server)[2] == "public"
    with pytest.raises(HubError, match=r"me/x is public, .*; add --public"):
        push("two")
    push("two", public=None)
    assert state(hub_server)[0] == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "path": COMMIT},
        {"status": 503, "path": CREATE},
        {"status": 429, "path": COMMIT, "headers": {"Retry-After": "0"}},
        {"status": 409, "path": COMMIT},
        {"status": 500, "path": "/preupload/"},
        {"status": 503, "path": OBJECTS, "method": "PUT"},
        {"status": 500, "path": "/tag/"},
        {"status": 504, "path": "/refs"},
    ],
    ids=lambda fault: f"{fault['status']} {fault['path']}",
)
def test_what_passes_is_tried_again(hub_server, push, fault):
    push("one")
    if fault["path"] == CREATE:
        hub_server.repositories.pop("me/x")
    hub_server.fail(**fault)
    push("two")
    assert not hub_server.faults
    commits = hub_server.repositories["me/x"]["commits"]
    assert [commit["message"] for commit in commits][-1] == "Push two" and len(commits) <= 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("path", [COMMIT, CREATE, OBJECTS, "/tag/", "/refs", "/api/models/me/x"])
def test_a_connection_that_breaks(hub_server, push, path, when):
    """Also where the Hub had done what it was asked for, and only the answer was lost."""
    push("one")
    if path == CREATE:
        hub_server.repositories.pop("me/x")
    hub_server.drop(path, when=when)
    pushed = push("two")
    assert not hub_server.faults
    repository = hub_server.repositories["me/x"]
    assert [commit["message"] for commit in repository["commits"]].count("Push two") == 1
    assert repository["tags"][pushed.tag] == len(repository["commits"])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            {"status": 401, "message": "Invalid credentials in Authorization header"},
            "the login is not valid; run hf auth",
        ),
        (
            {"status": 403, "message": "You don't have the required permissions"},
            "may not write there; use a token with",
        ),
        ({"status": 403, "message": "Private repository storage limit reached"}, "storage quota is used up"),
        ({"status": 402, "message": "Payment required"}, "storage quota is used up"),
        ({"status": 413}, "too large for it, or for a proxy"),
        (
            {"status": 403, "message": "Accept the Terms of Service first"},
            "its terms are not accepted; accept them on",
        ),
        ({"status": 404, "message": "Repository not found"}, "no such repository or organization"),
        ({"status": 404, "headers": {"X-Error-Code": "RevisionNotFound"}}, "it has no such revision"),
        ({"status": 409, "times": 3}, "changed by another push"),
        ({"status": 412}, "changed by another push"),
        ({"status": 429, "times": 3, "headers": {"Retry-After": "0"}}, "too many requests; wait"),
        ({"status": 500, "times": 3}, "the Hub is in trouble; run it again later"),
        ({"status": 400, "message": "Bad file name"}, "the Hub refuses .the Hub says: 400, Bad file name"),
    ],
    ids=lambda value: str(value.get("status")) if isinstance(value, dict) else None,
)
def test_what_does_not_pass_is_said_in_one_line_and_nothing_changes(hub_server, push, fault, message):
    push("one")
    before = state(hub_server)
    hub_server.fail(**{"path": COMMIT, **fault})
    with pytest.raises(HubError, match=message) as caught:
        push("two")
    assert "\n" not in str(caught.value) and "hf_test" not in str(caught.value) and "me/x" in str(caught.value)
    assert state(hub_server) == before and not hub_server.faults
    assert push("two").tag == "v2"


def test_what_was_uploaded_is_not_uploaded_again(hub_server, push):
    hub_server.fail(403, path=COMMIT)
    with pytest.raises(HubError):
        push("one")
    assert state(hub_server) == (0, {}, "private") and uploads(hub_server) == 1
    push("one")
    assert state(hub_server)[0] == 1 and uploads(hub_server) == 1


def test_the_wait_that_the_hub_asks_for(hub_server, push, monkeypatch):
    push("one")
    waits = []
    monkeypatch.setattr("surglavi_hf.hub.failures.time.sleep", waits.append)
    hub_server.fail(429, path=COMMIT, headers={"Retry-After": "7"})
    push("two")
    assert waits == [7.0]


def test_another_push_at_the_same_time_is_not_overwritten(hub_server, push):
    push("one")
    ours = Repository("me/x", "model")
    push("theirs")
    before = state(hub_server)
    with pytest.raises(HubError, match="changed by another push at the same time; run it again"):
        ours.push({"README.md": b"ours"}, (), "Ours", None)
    assert state(hub_server) == before


def test_two_at_once_make_one_repository(hub_server, push):
    results = []

    def work(content: bytes) -> None:
        try:
            results.append(Repository("me/x", "model").push({"README.md": content}, (), "Push", None))
        except HubError as error:
            results.append(error)

    threads = [threading.Thread(target=work, args=(content,)) for content in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [result for result in results if not isinstance(result, HubError)]
    assert done and state(hub_server)[0] == len(done)


def test_a_version_that_somebody_else_made_meanwhile(hub_server, push, monkeypatch):
    push("one")
    original = Repository.commit

    def commit(self, *arguments):
        changed = original(self, *arguments)
        HfApi().create_tag("me/x", tag="v2", revision="v1")
        return changed

    monkeypatch.setattr(Repository, "commit", commit)
    assert push("two").tag == "v3"
    assert state(hub_server)[1] == {"v1": 1, "v2": 1, "v3": 2}


@pytest.mark.parametrize("tag", ["", "bad tag", "a..b", "main", "-x", "a/b", "x.lock", "é"])
def test_a_tag_that_is_none(hub_server, push, tag):
    with pytest.raises(ValueError, match="expected letters, digits, dots"):
        push("one", tag=tag)
    assert not hub_server.repositories


def test_a_card_that_the_hub_does_not_take(hub_server):
    card = b"---\nlicense: no-such-licence\n---\nwords"
    with pytest.raises(HubError, match=r"me/x: .*license") as caught:
        Repository("me/x", "model").push({"README.md": card}, (), "Push", None)
    assert "\n" not in str(caught.value) and "run it again" not in str(caught.value)
    assert state(hub_server)[0] == 0


def test_an_upload_that_breaks_off_by_another_way(hub_server, push, monkeypatch):
    """hf_xet, which is off here, raises RuntimeError."""
    original, tries = HfApi.create_commit, []

    def create_commit(*arguments, **options):
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("Data processing error: CAS service error")
        return original(*arguments, **options)

    monkeypatch.setattr(HfApi, "create_commit", create_commit)
    assert push("one").tag == "v1" and len(tries) == 2


def test_a_password_in_the_endpoint_is_not_shown(hub_server, push, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://alice:s3cret@127.0.0.1:1")
    with pytest.raises(HubError, match=r"http://127\.0\.0\.1:1 cannot be reached") as caught:
        push("one")
    assert "s3cret" not in str(caught.value)


def test_a_text_that_is_none(hub_server):
    hub_server.add("me/x", {"README.md": b"\xff\xfe"}, "private")
    with pytest.raises(ValueError, match=r"README\.md of me/x is no UTF-8 text"):
        Repository("me/x", "model").read_text("README.md")


def test_nobody_is_logged_in(hub_server, push, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="me/x: nobody is logged in; run hf auth login, or set HF_TOKEN"):
        push("one")
    assert not hub_server.requests


def test_offline(hub_server, push, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="me/x: offline mode is on; unset HF_HUB_OFFLINE"):
        push("one")


def test_no_network(hub_server, push):
    hub_server.close()
    with pytest.raises(HubError, match=r"cannot be reached .*; check the network, HTTPS_PROXY and HF_ENDPOINT"):
        push("one")


def test_without_write_permission(hub_server, push, monkeypatch):
    hub_server.tokens["hf_read"] = ("me", "read")
    monkeypatch.setenv("HF_TOKEN", "hf_read")
    with pytest.raises(HubError, match="this login may not write there"):
        push("one")
    assert not hub_server.repositories


def test_the_repository_of_somebody_else(hub_server, push):
    with pytest.raises(HubError, match="this login may not write there"):
        push("one", repo_id="other/x")


def test_a_gated_repository(hub_server, push):
    push("one", public=True)
    hub_server.repositories["me/x"]["gated"] = True
    with pytest.raises(HubError, match="it is gated; log in, accept its terms"):
        Repository("me/x", "model", public=None).read_text("README.md")


@pytest.mark.parametrize("repo_id", ["x", "a/b/c", "me/..", "me/x y", "../x", "me/", ""])
def test_an_id_that_is_none(hub_server, push, repo_id):
    with pytest.raises(ValueError, match="repository"):
        push("one", repo_id=repo_id)
    assert not hub_server.requests


def test_reading(hub_server, push):
    push("one")
    repository = Repository("me/x", "model")
    assert repository.read_text("README.md") == "one" and repository.read_text("none.txt") is None
    assert repository.files == {".gitattributes", "README.md", "model.safetensors"}


def test_reading_is_tried_again(hub_server, push):
    push("not read yet")  # by any test, and so not in the cache
    hub_server.fail(503, path="/resolve/", method="GET")
    assert Repository("me/x", "model").read_text("README.md") == "not read yet"
    assert not hub_server.faults


def test_the_content_of_the_parent_counts(hub_server, push):
    """Equal bytes are no change, whoever committed them."""
    push("one")
    HfApi().create_commit("me/x", [CommitOperationAdd("README.md", b"two")], commit_message="by hand")
    assert push("two").changed == ("model.safetensors",)


GARBAGE = {
    "a login page": b"<html><body>Welcome to the hotel. Please log in.</body></html>",
    "nothing": b"",
    "half an answer": b'{"sha": "0123456789abcdef0123456789abcdef01234567", "siblings": [{"rfil',
    "an empty object": b"{}",
    "a list": b"[1, 2]",
    "a number": b"3",
    "null": b"null",
    "another object": b'{"status": "ok", "id": 3, "private": "yes", "sha": 7, "siblings": 3}',
    "no UTF-8": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("path", ["/api/models/me/x", COMMIT, "/refs", "/preupload/", "/objects/batch"])
def test_answers_that_no_hub_gives(hub_server, push, content, path):
    push("one")
    before = state(hub_server)
    hub_server.garble(content, path, times=3)
    with pytest.raises(HubError, match="me/x: ") as caught:
        push("two")
    message = str(caught.value)
    assert "\n" not in message and hub_server.url in message and "no Hub does" in message and "proxy" in message
    assert state(hub_server) == before


@pytest.mark.parametrize("path", ["/api/models/me/x", COMMIT, "/refs", "/preupload/"])
def test_an_answer_that_no_hub_gives_is_asked_for_again(hub_server, push, path):
    push("one")
    hub_server.garble(GARBAGE["a login page"], path)
    assert push("two").tag == "v2" and not hub_server.faults


def test_one_line_is_said_of_each_try(hub_server, push, caplog):
    """huggingface_hub's own tries of a request are part of one of ours."""
    push("one")
    hub_server.fail(503, path=OBJECTS, method="PUT", times=2)
    with caplog.at_level("WARNING"):
        push("two")
    assert not hub_server.faults and "Retrying" not in caplog.text and "503" not in caplog.text
    hub_server.fail(503, path="/refs", times=2)
    with caplog.at_level("WARNING"):
        push("three")
    lines = [record.getMessage().rpartition("; ")[2] for record in caplog.records]
    assert [line[:8] for line in lines] == ["try 2 of", "try 3 of"]
