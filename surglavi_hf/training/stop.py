# SPDX-License-Identifier: Apache-2.0
"""Being asked to stop."""

import signal
import threading
from contextlib import AbstractContextManager


class StopRequest(AbstractContextManager):
    """
    Notes SIGTERM, which clusters send before they kill, and the first Ctrl-C, so that a run can end between two steps.
    A second Ctrl-C interrupts as usual. Signals reach the main thread only; in another one nothing is noted.
    """

    def __init__(self):
        self.signal = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame) -> None:
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def __exit__(self, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
