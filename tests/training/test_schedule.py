# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from surglavi_hf.training.schedule import learning_rate_at


@pytest.mark.parametrize("max_steps, warmup", [(20, 3), (20, 0), (1, 1), (7, 7)])
def test_as_transformers_has_it(max_steps, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = get_cosine_with_min_lr_schedule_with_warmup(optimizer, warmup, max_steps, min_lr_rate=0.05)
    for step in range(max_steps + 3):
        assert learning_rate_at(step, max_steps, warmup, 0.2, 0.01) == pytest.approx(scheduler.get_last_lr()[0]) or (
            step > max_steps
        )
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("max_steps, warmup", [(20, 3), (1, 0), (8, 7)])
def test_at_the_end_and_beyond_it_is_the_floor(max_steps, warmup):
    for step in (max_steps, max_steps + 10):
        assert learning_rate_at(step, max_steps, warmup, 0.2, 0.01) == pytest.approx(0.01)
