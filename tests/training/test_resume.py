# SPDX-License-Identifier: Apache-2.0
import logging

import pytest

from surglavi_hf import TrainingConfig
from surglavi_hf.training.resume import check_resumed, describe_run


def described(processes: int = 1, data: str = "10, sha256 abc", kind: str = "data parallel", **settings) -> dict:
    return describe_run(TrainingConfig("in", "out", **settings), processes, kind, data)


def test_the_same_run(caplog):
    check_resumed(described(), described(resume="auto"))
    assert not caplog.records


@pytest.mark.parametrize(
    "changed",
    [
        {"dataloader_num_workers": 3},
        {"save_steps": 7},
        {"push_to_hub": True, "hub_model_id": "me/x"},
        {"report_to": ["wandb"]},
    ],
    ids=str,
)
def test_harmless_changes_warn(caplog, changed):
    with caplog.at_level(logging.WARNING):
        check_resumed(described(), described(**changed))
    assert len(caplog.records) == len(changed)
    for name in changed:
        assert f"which changes no result: {name} was" in caplog.text


def test_a_commit_that_was_not_written_down_warns(caplog):
    """Of checkpoints of before; one that was is another run."""
    now = described(model_name_or_path="me/x", model_revision="b")
    before = {name: value for name, value in now.items() if name != "model_revision"}
    check_resumed(before, now)
    assert "did not write down of which commit it started: model_revision was None, is b" in caplog.text
    with pytest.raises(ValueError, match="model_revision was a, is b"):
        check_resumed({**now, "model_revision": "a"}, now)


def test_the_same_global_batch_over_other_processes_warns(caplog):
    check_resumed(described(2, per_device_train_batch_size=4), described(1, per_device_train_batch_size=8))
    assert "not to the last digit: num_processes was 2, is 1" in caplog.text
    assert "per_device_train_batch_size was 4, is 8" in caplog.text and len(caplog.records) == 2


@pytest.mark.parametrize(
    "now, message",
    [
        (described(learning_rate=1e-3), "learning_rate was 0.0001, is 0.001"),
        (described(seed=1, negatives="overlap"), "negatives was all, is overlap; seed was 42, is 1"),
        (described(2), "global_batch_size was 64, is 128"),
        (described(data="11, sha256 def"), "clips was 10, sha256 abc, is 11, sha256 def"),
        (described(kind="FSDP"), "distributed_type was data parallel, is FSDP"),
    ],
)
def test_changes_that_make_another_run_are_refused(now, message):
    with pytest.raises(ValueError, match=f"cannot resume as another run: {message}; give what it was"):
        check_resumed(described(), now)


def test_a_setting_of_another_version_is_named():
    with pytest.raises(ValueError, match="old_setting was 1, is None"):
        check_resumed({**described(), "old_setting": 1}, described())
