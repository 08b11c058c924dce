# SPDX-License-Identifier: Apache-2.0
"""Several processes, as `accelerate launch` or torchrun starts them, share the videos of an evaluation."""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from ..media import VideoDecodeError

T = TypeVar("T")


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

    def gather(self, value: T) -> list[T]:
        """Returns the values of all processes, in their order, to all of them; every process must call it."""
        return [value] if self.count == 1 else gather_object([value])

    def merge(self, mine: dict[str, Any]) -> dict[str, Any]:
        """Returns what all processes have, to all of them; every process must call it."""
        merged: dict[str, Any] = {}
        for part in self.gather(mine):
            merged |= part
        return merged

    def together(self, call: Callable[[], T]) -> list[T]:
        """
        Returns what the call gives on each process, to all of them, none of which goes on where another failed.

        Raises:
            OSError, ValueError, VideoDecodeError: what the call raised on this process; what else it raises ends this
                process at once.
            ValueError: with the message of what it raised on another.
        """
        result, error = None, None
        try:
            result = call()
        except (OSError, ValueError, VideoDecodeError) as caught:
            error = caught
        outcomes = self.gather((result, str(error) if error else None))
        if error:
            raise error
        if failed := [message for _, message in outcomes if message is not None]:
            raise ValueError(failed[0])
        return [value for value, _ in outcomes]

    def first(self, call: Callable[[], T]) -> T:
        """Returns what the call gives on the first process, which alone makes it, to all. Raises as `together`."""
        return self.together(lambda: call() if self.index == 0 else None)[0]
