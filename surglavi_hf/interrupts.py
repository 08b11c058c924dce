# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, which a terminal sends to a command and to all processes that it has started."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType

INTERRUPTED = 130  # the exit status that shells give to Ctrl-C

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
    if "--debug" in sys.argv:
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    before = sys.excepthook

    def hook(kind, error, trace) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("surglavi: stopped", file=sys.stderr)
        else:
            before(kind, error, trace)

    sys.excepthook = hook


def _stop(number: int, frame: FrameType | None) -> None:
    """
    As Python's own, but for imports: there KeyboardInterrupt may come out as an ImportError of a library in C, end in
    an abort, or be lost. What is written at that moment is as safe as from a kill.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"surglavi: stopped\n")  # a print may be what was interrupted
            os._exit(INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt
