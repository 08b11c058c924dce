# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from surglavi_hf import EvalReport
from surglavi_hf.evaluation.figures import draw_contact_sheet
from surglavi_hf.evaluation.published import report_markdown
from surglavi_hf.evaluation.report import check_replaceable


def test_json_round_trip(tmp_path):
    report = EvalReport("cholec80 – phases", {"accuracy": 1 / 3}, {"num_frames": 16, "stride": None}, [1, 2], 0.25)
    report.to_json(tmp_path / "report.json")
    assert EvalReport.from_json(tmp_path / "report.json") == report
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    "content, message", [("{", "is not JSON"), ("{}", "is no EvalReport"), ("[]", "is no EvalReport")]
)
def test_what_is_no_report(tmp_path, content, message):
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        EvalReport.from_json(tmp_path / "report.json")


def test_a_report_of_before_clips_were_left_out(tmp_path):
    report = EvalReport("mine", {"accuracy": 1.0}, {})
    report.to_json(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    del content["unreadable"]
    (tmp_path / "report.json").write_text(json.dumps(content))
    assert EvalReport.from_json(tmp_path / "report.json") == report


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        EvalReport.from_json(tmp_path / "gone.json")


@pytest.mark.parametrize("suffix", [".json", ".md", ".png"])
def test_only_what_an_evaluation_wrote_is_replaced(tmp_path, suffix):
    path = tmp_path / f"found{suffix}"
    check_replaceable(path, suffix)
    report = EvalReport("mine", {"accuracy": 1.0}, {})
    if suffix == ".png":
        draw_contact_sheet("a text", [("a clip", None)], path)
    elif suffix == ".md":
        path.write_text(report_markdown(report))
    else:
        report.to_json(path)
    check_replaceable(path, suffix)
    for content in (b"SQLite format 3\0", b"", b"{}"):
        path.write_bytes(content)
        with pytest.raises(FileExistsError, match=r"found.* is there already, and not from an evaluation"):
            check_replaceable(path, suffix)
    path.unlink()
    path.mkdir()
    with pytest.raises(FileExistsError, match="not from an evaluation"):
        check_replaceable(path, suffix)
    with pytest.raises(ValueError, match=rf"found.db is to be a .* file; give it a name that ends in {suffix}"):
        check_replaceable(tmp_path / "found.db", suffix)


def test_who_writes_looks_first(tmp_path):
    for name in ("mine.json", "mine.png"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=r"mine\.json is there already"):
        EvalReport("mine", {}, {}).to_json(tmp_path / "mine.json")
    with pytest.raises(FileExistsError, match=r"mine\.png is there already"):
        draw_contact_sheet("a text", [("a clip", None)], tmp_path / "mine.png")
    with pytest.raises(ValueError, match=r"ends in \.png"):
        draw_contact_sheet("a text", [("a clip", None)], tmp_path / "mine.db")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}
