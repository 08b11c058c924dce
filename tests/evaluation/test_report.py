# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from surglavi_hf import EvalReport


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
