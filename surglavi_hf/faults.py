# SPDX-License-Identifier: Apache-2.0
"""What commands say when something goes wrong: one line. The traceback is for `--debug`."""

import errno
import os
import re
import sys
import traceback

from .files import printable
from .interrupts import INTERRUPTED

BROKEN_PIPE = 141  # likewise, where whoever read our output went away

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DAMAGED = "SafetensorError", "BadZipFile", "LZMAError"
# The first lines of what a process of a DataLoader raised.
_OF_A_WORKER = re.compile(r"Caught \w+ in DataLoader worker process \d+\.")


def one_line(error: BaseException) -> str:
    """
    Returns in one line what an error means, and what to do where that can be known. What is not foreseen is named by
    its type, with the way to its traceback.
    """
    outermost, error = error, _cause(error)
    kind, text = type(error).__name__, _text(error)
    if isinstance(error, KeyboardInterrupt):
        return "stopped"
    if isinstance(error, OSError) and error.errno in _FULL:
        place = f" in {_datasets_cache()}" if error is not outermost and error.filename is None else ""
        return f"there is no room to write{place} ({text}); make room, or move the cache with HF_HOME"
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError":
        return f"the memory is used up ({text or kind}); lower --batch-size, or give it more memory"
    if isinstance(error, RecursionError):
        return f"a file is nested too deep ({text}); flatten it"
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed; pip install 'surglavi-hf[{_extra(error.name)}]'"
    if hub := _of_the_hub(error):
        return hub
    if kind in _DAMAGED or type(error).__module__.split(".")[0] in ("zlib", "sqlite3", "pyarrow"):
        return f"a file is damaged ({kind}: {text}); write or download it again, or see --debug for which"
    if isinstance(error, OSError | ValueError | RuntimeError | ImportError) or kind.startswith("StrictDataclass"):
        return text or kind
    return f"{kind}: {text or 'no reason given'}; this was not foreseen, --debug shows where it comes from"


def report(error: BaseException, prefix: str, debug: bool) -> int:
    """
    Says on standard error in one line why a command failed, after the traceback with `debug`; returns its exit status.

    Args:
        error: What ended it.
        prefix: Before the line, such as `"surglavi frames: "`.
        debug: Show the traceback, too.
    """
    if debug:
        traceback.print_exception(error)
    if isinstance(error, BrokenPipeError):
        # Python flushes standard output as it ends, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    if isinstance(error, KeyboardInterrupt):
        print(f"{prefix}stopped", file=sys.stderr)
        return INTERRUPTED
    print(f"{prefix}error: {printable(one_line(error))}", file=sys.stderr)
    return 1


def _cause(error: BaseException) -> BaseException:
    """What lies behind an error that only says that making a dataset failed."""
    while type(error).__module__ == "datasets.exceptions" and error.__cause__ is not None:
        error = error.__cause__
    return error


def _datasets_cache() -> str:
    from datasets import config

    return str(config.HF_DATASETS_CACHE)


def _text(error: BaseException) -> str:
    """The message in one line; without the traceback that a DataLoader puts into that of a worker's error."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = text.strip().splitlines()
    if lines and _OF_A_WORKER.match(lines[0]):
        starts = [place for place, line in enumerate(lines) if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]
        lines = lines[starts[-1] :] if starts else lines[-1:]
        lines[0] = lines[0].partition(": ")[2] or lines[0]
    if type(error).__name__.startswith("StrictDataclass") and len(lines) > 1:  # the name of its validator comes first
        lines = [lines[-1].strip().split(": ", 1)[-1]]
    return " ".join(" ".join(lines).split())


def _of_the_hub(error: BaseException) -> str | None:
    """What an error of huggingface_hub means."""
    if type(error).__module__.split(".")[0] not in ("huggingface_hub", "httpx", "httpx2"):
        return None  # of ours that it caused, the words are better
    from .hub.failures import explain

    return explain(error)


def _extra(module: str | None) -> str:
    extras = {"peft": "lora", "torchcodec": "torchcodec", "rich": "demo"}
    return extras.get((module or "").partition(".")[0], "evaluation")
