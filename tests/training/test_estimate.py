# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

from surglavi_hf import TrainingConfig
from surglavi_hf.training.estimate import estimate_run


def test_what_a_run_takes(stored_corpus, tmp_path):
    config = TrainingConfig(str(stored_corpus), str(tmp_path / "run"), per_device_train_batch_size=8, max_steps=7200)
    found = estimate_run(config)
    assert (found.num_clips, found.num_steps, found.global_batch_size) == (243, 7200, 8)
    assert 0 < found.num_trained <= found.num_parameters < 2_000_000
    assert found.seconds_per_step > 0 and found.memory_gb > 0.1 and found.free_gb > 0
    # Weights and two moments in each of three checkpoints, and the model twice while it is replaced.
    expected = 3 * (4 * found.num_parameters + 8 * found.num_trained) + 2 * 4 * found.num_parameters
    assert found.disk_gb == expected / 1e9
    assert f"{2 * replace(found, seconds_per_step=1.0).seconds_per_step:.1f}, without" in str(
        replace(found, seconds_per_step=1.0)
    )
    assert "NOT ENOUGH" in str(replace(found, free_gb=0.0)) and "NOT ENOUGH" not in str(found)
    assert not (tmp_path / "run").exists()
