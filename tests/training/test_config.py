# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf import TrainingConfig


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"per_device_train_batch_size": 0},
        {"num_train_epochs": -1},
        {"weight_decay": -0.1},
        {"warmup_ratio": 1.5},
        {"max_grad_norm": 0.0},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_named(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))}="):
        TrainingConfig(data_dir="in", output_dir="out", **options)
