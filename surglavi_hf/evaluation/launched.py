# SPDX-License-Identifier: Apache-2.0
"""Several processes, as `accelerate launch` or torchrun starts them, share the videos of an evaluation."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object


class Processes:
    """
    This process among those of an evaluation; the only one where none were launched.

    Args:
        index, count: Which of how many.
        device: To evaluate on.
    """

    def __init__(self):
        self.index, self.count = 0, 1
        self.device = torch.accelerator.current_accelerator() or torch.device("cpu")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            # The last to end may be days behind the first, whose results were on disk already.
            state = PartialState(cpu=not torch.accelerator.is_available(), timeout=timedelta(days=7))
            self.index, self.count, self.device = state.process_index, state.num_processes, state.device

    def share(self, sizes: Mapping[str, int]) -> list[str]:
        """
        Returns which videos are this process's: each has one process, and the longest are dealt out first.

        Args:
            sizes: Of each video.
        """
        loads = [0] * self.count
        mine = set()
        for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
            owner = loads.index(min(loads))
            loads[owner] += sizes[name]
            if owner == self.index:
                mine.add(name)
        return [name for name in sizes if name in mine]

    def merge(self, mine: dict[str, Any]) -> dict[str, Any]:
        """Returns what all processes have, to all of them; every process must call it."""
        if self.count == 1:
            return mine
        merged: dict[str, Any] = {}
        for part in gather_object([mine]):
            merged |= part
        return merged
