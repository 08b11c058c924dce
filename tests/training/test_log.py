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
