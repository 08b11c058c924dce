# SPDX-License-Identifier: Apache-2.0
import json

from surglavi_hf.training.log import MetricsLog


def test_a_line_a_step_at_once(tmp_path):
    """A run that is killed has written what it did."""
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, max_steps=2, clips_per_step=8, enabled=True) as log:
        log.write(1.5, step=1, epoch=0)
        (line,) = map(json.loads, path.read_text().splitlines())
        assert line.pop("clips_per_second") > 0 and line == {"step": 1, "epoch": 0, "loss": 1.5}
        log.write(1.25, step=2, epoch=0)
    assert [json.loads(line)["loss"] for line in path.read_text().splitlines()] == [1.5, 1.25]


def test_other_processes_write_nothing(tmp_path):
    with MetricsLog(tmp_path / "metrics.jsonl", max_steps=1, clips_per_step=8, enabled=False) as log:
        log.write(1.0, step=1)
    assert not list(tmp_path.iterdir())


def test_replaced_clips_are_counted_by_id(tmp_path, caplog):
    with MetricsLog(tmp_path / "metrics.jsonl", max_steps=2, clips_per_step=8, enabled=True) as log:
        for replaced in ([7, 3], [], [7]):
            log.write(1.0, replaced)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("replaced") for line in lines] == [[7, 3], None, [7]]
    (record,) = caplog.records
    assert record.getMessage() == (
        "3 clips could not be read and were replaced, of 2 captions: 3, 7; metrics.jsonl has all of them"
    )
