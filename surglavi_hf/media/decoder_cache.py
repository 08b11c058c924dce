# SPDX-License-Identifier: Apache-2.0
"""Decoders that stay open between two reads."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch


class Decoder(Protocol):
    """An open video file."""

    def decode(self, times: np.ndarray) -> "torch.Tensor":
        """Returns the frames on screen at `times` (s), `torch.uint8` of shape `(len(times), 3, height, width)`."""

    def close(self) -> None: ...


class DecoderCache:
    """
    Keeps the decoders used last. One is lent to one thread at a time, closed where it failed or where others are used
    more, and never shared with a forked process: a fork closes those of the parent.
    """

    def __init__(self, size: int):
        self.size = size
        self._entries: OrderedDict[Hashable, Decoder] = OrderedDict()
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self.clear, after_in_child=self._forget)

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def lend(self, key: Hashable, open_decoder: Callable[[], Decoder]) -> Iterator[Decoder]:
        """Yields the decoder kept under `key`, or one that `open_decoder` makes."""
        with self._lock:
            decoder = self._entries.pop(key, None)
        decoder = decoder or open_decoder()
        try:
            yield decoder
        except BaseException:
            decoder.close()
            raise
        with self._lock:
            superfluous = [self._entries.pop(key)] if key in self._entries else []
            self._entries[key] = decoder
            while len(self._entries) > self.size:
                superfluous.append(self._entries.popitem(last=False)[1])
        for other in superfluous:
            other.close()

    def clear(self) -> None:
        """Closes all decoders that are not lent."""
        with self._lock:
            entries, self._entries = self._entries, OrderedDict()
        for decoder in entries.values():
            decoder.close()

    def _forget(self) -> None:
        """In a forked process: what another thread opened meanwhile is the parent's, and stays open."""
        self._inherited = self._entries
        self._entries = OrderedDict()
        self._lock = threading.Lock()
