# SPDX-License-Identifier: Apache-2.0
import logging
import time
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi
from safetensors.numpy import load, save

from surglavi_hf.hub import BackgroundPush


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder, "first")
    return folder


def write(folder: Path, content: str) -> None:
    """As training does: beside, then renamed."""
    weights = save({content: np.zeros(1, np.float32)}, {"format": "pt"})
    for name, data in (("model.safetensors", weights), ("README.md", f"{content} README.md".encode())):
        beside = folder / f".{name}"
        beside.write_bytes(data)
        beside.rename(folder / name)


def wait_until(condition) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it takes too long")


def test_each_state_is_a_commit_of_what_was_there_then(hub_server, folder):
    push = BackgroundPush("me/x", folder, first_pause=0.01)
    push.push("Step 1")
    write(folder, "second")
    wait_until(lambda: push.pushed)
    push.push("Step 2")
    write(folder, "third, which is not pushed")
    assert push.finish("step-2")
    repository = hub_server.repositories["me/x"]
    assert repository["visibility"] == "private"
    assert [commit["message"] for commit in repository["commits"]] == ["Step 1", "Step 2"]
    cards = [commit["files"]["README.md"].decode() for commit in repository["commits"]]
    assert "first README.md" in cards[0] and "second README.md" in cards[1] and "first" not in cards[1]
    assert set(load(repository["commits"][1]["files"]["model.safetensors"])) == {"second"}
    assert repository["tags"] == {"step-2": 2}
    assert [path.name for path in folder.parent.iterdir()] == ["model"], "copies are left"


def test_a_tag_of_an_earlier_run_is_moved(hub_server, folder):
    for content in ("first", "second"):
        write(folder, content)
        push = BackgroundPush("me/x", folder, first_pause=0.01)
        push.push("Step 1")
        assert push.finish("step-1")
    assert hub_server.repositories["me/x"]["tags"] == {"step-1": 2}


def test_copies_that_a_kill_left_go(hub_server, folder):
    left = folder.with_name(".model-push-123")
    left.mkdir()
    BackgroundPush("me/x", folder)
    assert not left.exists()


def test_a_failure_is_tried_again(hub_server, folder, caplog):
    hub_server.fail(403, times=2)
    push = BackgroundPush("me/x", folder, first_pause=0.01)
    push.push("Step 1")
    assert push.finish("step-1")
    assert len(hub_server.repositories["me/x"]["commits"]) == 1
    assert "me/x: Step 1 did not reach the Hub, try 1 of 5" in caplog.text


def test_a_hub_that_is_down_never_raises(hub_server, folder, caplog):
    hub_server.close()
    push = BackgroundPush("me/x", folder, first_pause=0.001)
    with caplog.at_level(logging.WARNING):
        push.push("Step 1")
        assert not push.finish("step-1")
    assert "try 5 of 5" in caplog.text and "hf_test" not in caplog.text
    command = f"surglavi push-model {folder} --repo-id me/x --tag step-1"
    assert push.remedy("step-1") == command
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_of_states_that_wait_the_newest_is_pushed(hub_server, folder):
    hub_server.fail(403, times=1)  # holds the first up
    push = BackgroundPush("me/x", folder, first_pause=0.5)
    push.push("Step 1")
    wait_until(lambda: hub_server.requests)
    for step in (2, 3, 4):
        write(folder, str(step))
        push.push(f"Step {step}")
    assert push.finish("step-4")
    commits = hub_server.repositories["me/x"]["commits"]
    assert commits[-1]["message"] == "Step 4" and b"4 README.md" in commits[-1]["files"]["README.md"]
    assert len(commits) <= 2


def test_nothing_to_push(hub_server, tmp_path, caplog):
    push = BackgroundPush("me/x", tmp_path / "nothing", first_pause=0.01)
    push.push("Step 1")
    assert not push.finish("step-1") and "is not pushed this time" in caplog.text


def test_the_words_of_others_in_the_card_stay(hub_server, folder):
    for content in ("first", "second"):
        push = BackgroundPush("me/x", folder, first_pause=0.01)
        push.push(content)
        assert push.finish(content)
        files = hub_server.repositories["me/x"]["commits"][-1]["files"]
        if content == "first":
            HfApi().upload_file(
                path_or_fileobj=files["README.md"] + b"\nTheir words.\n", path_in_repo="README.md", repo_id="me/x"
            )
            write(folder, "second")
    assert b"second README.md" in files["README.md"] and files["README.md"].endswith(b"Their words.\n")


def test_reports_and_hidden_files_beside_the_model_stay_here(hub_server, folder):
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "report.json").write_text("{}")
    (folder / ".notes").write_text("mine")
    push = BackgroundPush("me/x", folder, first_pause=0.01)
    push.push("Step 1")
    assert push.finish("step-1")
    files = hub_server.repositories["me/x"]["commits"][0]["files"]
    assert set(files) == {".gitattributes", "README.md", "model.safetensors"}


def test_what_is_no_part_of_a_model_is_not_pushed(hub_server, folder, caplog):
    (folder / "optimizer.bin").write_bytes(b"x")
    push = BackgroundPush("me/x", folder, first_pause=0.001)
    push.push("Step 1")
    assert not push.finish("step-1") and "optimizer.bin is not pushed" in caplog.text
    assert "me/x" not in hub_server.repositories


def test_one_loop_of_tries(hub_server, folder, caplog):
    """What is asked of the Hub once a try is asked once, and said once."""
    hub_server.fail(503, path="/api/models/me/x", method="GET", times=3)
    with caplog.at_level(logging.WARNING):
        push = BackgroundPush("me/x", folder, first_pause=0.01)
        push.push("Step 1")
        assert push.finish("step-1")
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(", try ")[2][:6] for line in lines] == ["1 of 5", "2 of 5", "3 of 5"]
    assert all(line.count("me/x") == 1 for line in lines) and not hub_server.faults


def test_the_wait_that_the_hub_asks_for(hub_server, folder, monkeypatch):
    waits = []
    monkeypatch.setattr("surglavi_hf.hub.background.time.sleep", waits.append)
    hub_server.fail(429, path="/commit/", headers={"Retry-After": "7"})
    push = BackgroundPush("me/x", folder, first_pause=0.01)
    push.push("Step 1")
    assert push.finish("step-1") and waits == [7.0]


def test_what_is_refused_here_is_not_tried_again(hub_server, folder, caplog):
    (folder / "token.txt").write_text("secret")
    push = BackgroundPush("me/x", folder, first_pause=0.01)
    push.push("Step 1")
    assert not push.finish("step-1")
    assert len(caplog.records) == 1 and "token.txt is not pushed" in caplog.text


def test_answers_that_no_hub_gives(hub_server, folder, caplog):
    hub_server.garble(b"<html>log in</html>", times=1000)
    push = BackgroundPush("me/x", folder, first_pause=0.001)
    push.push("Step 1")
    assert not push.finish("step-1")
    assert "try 5 of 5" in caplog.text and len(caplog.records) == 5 and "answers what no Hub does" in caplog.text


def test_the_log_is_pushed_thinned(hub_server, folder):
    lines = [f'{{"step": {step}, "loss": 1.0}}\n' for step in range(5000)]
    (folder / "metrics.jsonl").write_text("".join(lines) + '{"step": 5000, "lo')
    push = BackgroundPush("me/x", folder, first_pause=0.01)
    push.push("Step 1")
    assert push.finish("step-1")
    pushed = (
        hub_server.repositories["me/x"]["commits"][-1]["files"]["metrics.jsonl"].decode().splitlines(keepends=True)
    )
    assert len(pushed) == 500 and pushed[-1] == lines[-1] and set(pushed) <= set(lines)
