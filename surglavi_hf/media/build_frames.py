# SPDX-License-Identifier: Apache-2.0
"""Frame stores of all videos of a library, in several processes."""

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch
from tqdm.auto import tqdm

from ..interrupts import interrupts_for_us_alone
from .container import read_header
from .errors import GET_ANOTHER
from .frame_store import FrameStore, FrameStoreOptions, is_up_to_date, upgrade_frame_store, write_frame_store
from .library import VideoLibrary

logger = logging.getLogger(__name__)

_REFRESH_S = 0.2
_CRASHES = {
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS")
    if hasattr(signal, name)
}


@dataclass
class FrameStoreBuild:
    """
    The outcome of [`build_frame_stores`].

    Args:
        written: Frames, by video.
        skipped: Names of videos whose frame store was up to date.
        failed: Reasons, by video.
        upgraded: Names of videos whose frame store was written anew without decoding: one of an older version, or one
            that had another name.
    """

    written: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    upgraded: list[str] = field(default_factory=list)


def build_frame_stores(
    library: VideoLibrary,
    options: FrameStoreOptions | None = None,
    num_workers: int | None = None,
    names: Sequence[str] | None = None,
) -> FrameStoreBuild:
    """
    Writes the frame store of each video of a library that has none, or one made otherwise or from another file; one of
    an older version, or that was renamed with its video, is upgraded without decoding the video where it can be. Shows
    a progress bar. What was written stays when it is stopped; a video that fails is reported, the others go on.

    Args:
        library: Where the videos are.
        options: How; by default 4 frames a second, 256 pixels, quality 90.
        num_workers: Processes, a video each; by default as many as there are cores.
        names: The videos; by default all that are there.

    Raises:
        BlockingIOError: another process does this already.
        RuntimeError: processes cannot start.
        ValueError: `num_workers` is below 1.
    """
    options = options or FrameStoreOptions()
    num_workers = (os.cpu_count() or 1) if num_workers is None else num_workers
    if num_workers < 1:
        raise ValueError(f"num_workers={num_workers}, expected at least 1")
    build = FrameStoreBuild()
    with library.lock("frames"):
        library.remove_unfinished()
        todo: deque[str] = deque()
        for name in library.downloaded_names() if names is None else names:
            if is_up_to_date(library.frames_path(name), library.video_path(name), options):
                build.skipped.append(name)
            else:
                todo.append(name)
        if todo:
            _build(library, options, min(num_workers, len(todo)), todo, build)
    return build


def _build(
    library: VideoLibrary, options: FrameStoreOptions, num_workers: int, todo: deque[str], build: FrameStoreBuild
) -> None:
    context = multiprocessing.get_context("spawn")  # a fork would inherit PyTorch's threads
    progress = _Progress(context, len(todo))
    threads = max(1, torch.get_num_threads() // num_workers)

    def run(names: deque[str], size: int) -> list[str]:
        """Returns the videos at work when a process ended."""
        with ProcessPoolExecutor(size, context, _start_worker, (progress.counters, progress.stopped, threads)) as pool:
            running: dict[Future, str] = {}
            try:
                while names or running:
                    while names and len(running) < size:
                        with interrupts_for_us_alone():  # the processes start here
                            running[pool.submit(_build_one, library, names[0], options)] = names[0]
                        names.popleft()
                    done, _ = wait(running, _REFRESH_S, FIRST_COMPLETED)
                    for future in done:
                        result = future.result()
                        _book(build, running.pop(future), *result)
                    progress.refresh()
            except BrokenProcessPool:
                return list(running.values())
            except BaseException:
                progress.stopped.set()
                raise
        return []

    with progress:
        while todo:
            for name in run(todo, num_workers):  # one of these ended a process: each is tried again alone
                _build_alone(context, library, options, name, build, progress, threads)


def _build_alone(
    context: Any,
    library: VideoLibrary,
    options: FrameStoreOptions,
    name: str,
    build: FrameStoreBuild,
    progress: "_Progress",
    threads: int,
) -> None:
    """
    Writes the frame store of a video in a process of its own, whose end says what befell it; none where the process
    that ended had written it, and could not say so any more.

    Raises:
        RuntimeError: no process ever began with its work.
    """
    store = library.frames_path(name)
    if is_up_to_date(store, library.video_path(name), options):
        build.written[name] = len(FrameStore(store).timestamps)
        return
    receiver, sender = context.Pipe(duplex=False)
    worker = (progress.counters, progress.stopped, threads)
    process = context.Process(target=_send_one, args=(sender, worker, library, name, options))
    with interrupts_for_us_alone():
        process.start()
    sender.close()
    try:
        while not receiver.poll(_REFRESH_S):
            progress.refresh()
        result = receiver.recv()
    except (EOFError, BrokenPipeError):  # it ended
        result = None
    except BaseException:
        progress.stopped.set()
        raise
    finally:
        process.join()
        receiver.close()
    if result is not None:
        _book(build, name, *result)
    elif process.exitcode > 0 and not progress.counters[-1].value:
        raise RuntimeError(
            f"processes for frame stores end before they begin (status {process.exitcode}), which printed why; a "
            'script has to call this under `if __name__ == "__main__":`, or ask for it with `surglavi frames`'
        )
    else:
        _fail(build, name, _why_ended(process.exitcode))


def _why_ended(exitcode: int) -> str:
    """Returns what an exit code says, with advice that loses no video."""
    if exitcode >= 0:
        return f"its process ended with status {exitcode} and no word; run `surglavi frames` again"
    try:
        ended = f"its process was ended by {signal.Signals(-exitcode).name}"
    except ValueError:
        ended = f"its process was ended by signal {-exitcode}"
    if -exitcode == signal.SIGKILL:
        return f"{ended}, most likely as the memory was used up; run `surglavi frames` again with fewer --workers"
    if -exitcode in _CRASHES:
        return f"{ended}, as a decoder crashed on it; {GET_ANOTHER}"
    return f"{ended}, from outside; run `surglavi frames` again"


def _book(build: FrameStoreBuild, name: str, num_frames: int | None, reason: str | None) -> None:
    if reason is not None:
        _fail(build, name, reason)
    elif num_frames is None:
        build.upgraded.append(name)
    else:
        build.written[name] = num_frames


def _fail(build: FrameStoreBuild, name: str, reason: str) -> None:
    build.failed[name] = reason
    tqdm.write(f"{name}: {reason}")


class _Progress:
    """A bar of frames; how many there will be is known of the videos begun, and supposed of the others."""

    def __init__(self, context: Any, num_videos: int):
        self.counters = [context.Value("d", 0.0) for _ in range(3)]  # frames done, frames expected, videos begun
        self.stopped = context.Event()
        self.num_videos = num_videos

    def __enter__(self) -> None:
        self._bar = tqdm(desc=f"frames of {self.num_videos} videos", unit=" frames", unit_scale=True)

    def refresh(self) -> None:
        done, expected, begun = (counter.value for counter in self.counters)
        if begun:
            self._bar.total = max(round(expected * self.num_videos / begun), int(done))
        self._bar.update(int(done) - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self.refresh()
        self._bar.close()


def _start_worker(counters: list, stopped: Any, num_threads: int) -> None:
    global _counters, _stopped
    _counters, _stopped = counters, stopped
    torch.set_num_threads(num_threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _send_one(sender: Connection, worker: tuple, *job: Any) -> None:
    _start_worker(*worker)
    sender.send(_build_one(*job))


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _build_one(library: VideoLibrary, name: str, options: FrameStoreOptions) -> tuple[int | None, str | None]:
    """Returns the number of frames, `None` where the store that is there could be upgraded, and why there are none."""
    done, expected, begun = _counters
    source = library.video_path(name)

    def add(counter: Any, amount: float) -> None:
        if _stopped.is_set():
            raise InterruptedError("stopped")
        with counter.get_lock():
            counter.value += amount

    try:
        add(begun, 1)
        if upgrade_frame_store(source, library.frames_path(name), options):
            return None, None
        add(expected, (read_header(str(source)).duration or 0.0) * options.fps)
        return write_frame_store(source, library.frames_path(name), options, partial(add, done)), None
    except Exception as error:  # whatever it is, the others go on
        return 0, " ".join(str(error).splitlines()) or type(error).__name__
