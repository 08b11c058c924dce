# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, which a terminal sends to a command and to all processes that it has started."""

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

_COMMAND = re.compile(r"surglavi(\.exe|-script\.py)?")


@contextmanager
def interrupts_for_us_alone() -> Iterator[None]:
    """
    Processes that are started within it leave Ctrl-C, which a terminal sends to all, to this one, which ends them.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as a child inherits, and keeps
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def say_interrupts_in_one_line() -> None:
    """Of our commands, also while their libraries are still imported; what imports us otherwise is left alone."""
    words = getattr(sys, "orig_argv", [])
    as_module = any(a == "-m" and b.partition(".")[0] == "surglavi_hf" for a, b in pairwise(words))
    if not as_module and not _COMMAND.fullmatch(Path(sys.argv[0] if sys.argv else "").name):
        return
    before = sys.excepthook

    def hook(kind, error, trace) -> None:
        if issubclass(kind, KeyboardInterrupt) and "--debug" not in sys.argv:
            print("surglavi: stopped", file=sys.stderr)
        else:
            before(kind, error, trace)

    sys.excepthook = hook
