# SPDX-License-Identifier: Apache-2.0
import json
import shutil
from pathlib import Path

import pytest
from datasets import load_dataset

from surglavi_hf.cli import main
from surglavi_hf.data.reviews import REVIEWS_NAME, Review, ReviewLog
from surglavi_hf.hub import push_dataset


@pytest.fixture
def own(corpus, tmp_path) -> Path:
    """The drawn corpus with three reviews: a change, a flag and a change that does not fit."""
    (tmp_path / "corpus").mkdir()
    for path in corpus.glob("*.*"):
        shutil.copy(path, tmp_path / "corpus")
    log = ReviewLog(tmp_path / "corpus" / REVIEWS_NAME)
    rows = load_dataset("surglavi", data_dir=str(tmp_path / "corpus"), split="train")
    about = {"time": "2026-01-31T12:34:56.789+00:00", "reviewer": "Ann [b]"}
    for number, (row, action) in enumerate(zip(rows, ("change", "flag", "change"), strict=False)):
        of = {name: row[name] for name in ("caption_id", "video_id", "video_name")}
        values = ({"level": row["level"] + 1}, {"level": 3 - row["level"]}) if action == "change" else ({}, {})
        values = ({"raw_narration": "never said"}, {"raw_narration": "b"}) if number == 2 else values
        more = {"before": values[0], "after": values[1], "remark": "Is it?\n\tLook." if action == "flag" else ""}
        log.append(Review(f"{number:032x}", action=action, **about, **of, **more))
    return tmp_path / "corpus"


def run(capsys, monkeypatch, *arguments: str) -> tuple[int, str, str]:
    # Of the process it may be another object than os.environ by now: libraries put their own in its place.
    monkeypatch.setattr("rich.console.Console._environ", {"COLUMNS": "200", "LINES": "50"})
    status = main(["review", *arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_reviews_are_listed(own, capsys, monkeypatch):
    status, printed, _ = run(capsys, monkeypatch, "list", "--data-dir", str(own))
    assert status == 0 and "3 reviews" in printed
    assert "2026-01-31 12:34" in printed and "Ann [b]" in printed and "“Is it? Look.”" in printed
    assert 'raw_narration: "never said" → "b"' in printed
    status, printed, _ = run(capsys, monkeypatch, "list", "--data-dir", str(own), "--json")
    found = [Review(**json.loads(line)) for line in printed.splitlines()]
    assert found == ReviewLog(own / REVIEWS_NAME).read()
    (own / REVIEWS_NAME).unlink()
    assert run(capsys, monkeypatch, "list", "--data-dir", str(own))[:2][0] == 0


def test_reviews_are_applied(own, capsys, monkeypatch, tmp_path):
    with (own / REVIEWS_NAME).open("a") as file:
        file.write("no review\n")
    arguments = ("apply", "--data-dir", str(own), "--output", str(tmp_path / "new.db"))
    status, printed, _ = run(capsys, monkeypatch, *arguments)
    assert status == 1, "there is a conflict"
    assert "1 captions changed, 0 added, 0 deleted (reviews: 1 change, 1 flag)" in printed
    assert "1 captions are flagged" in printed and "1 lines of the log are no reviews" in printed
    assert "the values are others" in printed and 'raw_narration: "never said" → ' in printed
    assert f"next: surglavi check {tmp_path}/new.db" in printed
    rows = load_dataset("surglavi", data_files=str(tmp_path / "new.db"), split="train")
    before = load_dataset("surglavi", data_dir=str(own), split="train")
    assert [row["level"] for row in rows][1:] == before["level"][1:] and rows[0]["level"] != before[0]["level"]
    status, _, error = run(capsys, monkeypatch, *arguments)
    assert (
        status == 2 and error.startswith("surglavi review: error: ") and "is there already; name a new file" in error
    )
    lines = (own / REVIEWS_NAME).read_text().splitlines()
    (own / REVIEWS_NAME).write_text(lines[0] + "\n")
    status, printed, _ = run(capsys, monkeypatch, *arguments[:-1], str(tmp_path / "other.db"))
    assert status == 0 and "left as they are" not in printed and "flagged" not in printed


def test_reviews_become_a_pull_request(own, capsys, monkeypatch, hub_server):
    push_dataset(own, "me/surglavi")
    arguments = ("apply", "--data-dir", str(own), "--repo-id", "me/surglavi")
    status, printed, _ = run(capsys, monkeypatch, *arguments)
    assert status == 1 and f"{hub_server.url}/datasets/me/surglavi/discussions/1: " in printed
    assert "files change when it is merged" in printed
    lines = (own / REVIEWS_NAME).read_text().splitlines()
    (own / REVIEWS_NAME).write_text(lines[1] + "\n")
    status, printed, _ = run(capsys, monkeypatch, *arguments)
    assert status == 0 and "me/surglavi has all of it already; no pull request was opened" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["apply"],
        ["apply", "--output", "new.db", "--json"],
        ["apply", "--output", "new.db", "--test-fraction", "0.1"],
        ["list", "--output", "new.db"],
        ["list", "--repo-id", "me/x"],
        ["list", "--test-fraction", "0.1"],
    ],
)
def test_what_does_not_go_together(own, capsys, monkeypatch, arguments):
    status, _, error = run(capsys, monkeypatch, *arguments, "--data-dir", str(own))
    assert status == 2 and len(error.splitlines()) == 1 and "review apply" in error
