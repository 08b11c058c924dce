# SPDX-License-Identifier: Apache-2.0
"""The learning rate of each step."""

import math


def learning_rate_at(step: int, max_steps: int, warmup_steps: int, peak: float, floor: float) -> float:
    """
    Returns the learning rate of step `step`, the first being 0: it rises linearly from 0 to `peak` in `warmup_steps`,
    then falls on a cosine to `floor`. A pure function, so that there is no schedule to save.
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    progress = (step - warmup_steps) / max(1, max_steps - warmup_steps)
    return floor + (peak - floor) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
