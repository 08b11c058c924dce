# SPDX-License-Identifier: Apache-2.0
import json

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, on_main_process

from surglavi_hf.training.log import MetricsLog, start_trackers


def lines_of(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_a_step_at_once(tmp_path):
    """A run that is killed has written what it did."""
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, max_steps=2, enabled=True) as log:
        log.write(1, {"epoch": 0, "loss": 1.5})
        assert lines_of(path) == [{"step": 1, "epoch": 0, "loss": 1.5}]
        log.write(2, {"epoch": 0, "loss": 1.25})
    assert [line["loss"] for line in lines_of(path)] == [1.5, 1.25]


def test_a_resumed_run_goes_on_after_its_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    with MetricsLog(path, max_steps=4, enabled=True, first_step=2) as log:
        log.write(3, {"loss": 1.0})
    assert lines_of(path) == [{"step": 1}, {"step": 2}, {"step": 3, "loss": 1.0}]
    with MetricsLog(path, max_steps=4, enabled=True):
        assert path.read_text() == "", "a new run starts anew"


def test_other_processes_write_nothing(tmp_path):
    with MetricsLog(tmp_path / "metrics.jsonl", max_steps=1, enabled=False) as log:
        log.write(1, {"loss": 1.0})
    assert not list(tmp_path.iterdir())


def test_replaced_clips_are_counted_by_id(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, max_steps=2, enabled=True) as log:
        for step, replaced in enumerate(([7, 3], [], [7])):
            log.write(step, {"loss": 1.0}, replaced)
    assert [line.get("replaced") for line in lines_of(path)] == [[7, 3], None, [7]]
    (record,) = caplog.records
    assert record.getMessage() == (
        "3 clips could not be read and were replaced, of 2 captions: 3, 7; metrics.jsonl has all of them"
    )


class Tracker(GeneralTracker):
    """Fails at a step, or at the start."""

    name, requires_logging_directory = "ours", False

    def __init__(self, fails_at: int):
        super().__init__()
        self.fails_at, self.seen, self.config = fails_at, [], None

    @property
    def tracker(self):
        return self

    @on_main_process
    def store_init_configuration(self, values: dict):
        if self.fails_at == 0:
            raise ConnectionError("no such host")
        self.config = values

    @on_main_process
    def log(self, values: dict, step: int | None = None, **kwargs):
        if step == self.fails_at:
            raise ConnectionError("the connection broke")
        self.seen.append((step, values))


def test_a_tracker_gets_numbers_and_its_failure_is_not_the_runs(tmp_path, caplog):
    tracker = Tracker(fails_at=3)
    trackers = start_trackers(Accelerator(cpu=True, log_with=tracker), {"seed": 1, "level_weights": [1.0]})
    assert tracker.config == {"seed": 1}
    with MetricsLog(tmp_path / "metrics.jsonl", 4, enabled=True, trackers=trackers) as log:
        for step in (1, 2, 3, 4):
            log.write(step, {"loss": float(step), "skipped": "text"})
    assert tracker.seen == [(1, {"loss": 1.0}), (2, {"loss": 2.0})], "left out once it failed"
    assert caplog.text.count("a tracker failed and is left out from here on: the connection broke") == 1
    assert len(lines_of(tmp_path / "metrics.jsonl")) == 4


def test_a_tracker_that_cannot_start_is_left_out(caplog):
    assert start_trackers(Accelerator(cpu=True, log_with=Tracker(fails_at=0)), {}) == []
    assert "the trackers cannot be started and are left out: no such host" in caplog.text
