# SPDX-License-Identifier: Apache-2.0
import pytest
from accelerate.state import AcceleratorState

from surglavi_hf import TrainingConfig
from surglavi_hf.training.accelerator import make_accelerator


def config(**settings) -> TrainingConfig:
    return TrainingConfig("in", "out", **settings)


@pytest.fixture
def no_state():
    """Accelerate keeps one state a process; whatever this one was is put aside."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_settings_reach_the_accelerator(no_state):
    accelerator = make_accelerator(config(gradient_accumulation_steps=3, mixed_precision="bf16"))
    assert accelerator.gradient_accumulation_steps == 3 and accelerator.mixed_precision == "bf16"


def test_a_tracker_that_is_not_installed_is_named():
    with pytest.raises(ValueError, match="report_to=comet_ml: no tracker of that name is installed"):
        make_accelerator(config(report_to=["comet_ml"]))
