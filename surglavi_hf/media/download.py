# SPDX-License-Identifier: Apache-2.0
"""Downloading the videos of a library: what is missing, until it is all there or there is a reason why not."""

import contextlib
import math
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from tqdm.auto import tqdm

from .download_options import DownloadOptions
from .fetch import Fetcher
from .library import VideoLibrary, is_file_name
from .manifest import PASSING, THROTTLED, Attempt, Manifest, Status, without_secrets
from .sources import VideoSource

_TRIES = 3
_IN_A_ROW = {"rate-limited": 3, "network": 10}  # ends a run
LONGEST_SLEEP_S = 86_400
_PATIENCE_S = 5.0
_REFRESH_S = 0.2
_REMEDIES = {
    "network": "the network seems to be down; see to it, then run again",
    "rate-limited": "the server limits how much this address may download; wait an hour, then run again with a longer "
    "--sleep, fresh --cookies or a --proxy",
    "bot-check": "the server takes this machine for a robot; run again with fresh --cookies of an account (or "
    "--cookies-from-browser), wait, or use a --proxy; `surglavi doctor` says whether a JavaScript runtime is missing",
}


@dataclass
class DownloadSummary:
    """
    The outcome of [`download_videos`].

    Args:
        statuses: What is known of each video: `"ok"`, the reason it is not there, or `None` where it was not tried.
        attempts: Those of this run, in order.
        stopped: Why the run ended early, if it did.
        left_out: Names of videos that were not to be tried in this run.
    """

    statuses: dict[str, Status | None]
    attempts: list[Attempt] = field(default_factory=list)
    stopped: str | None = None
    left_out: frozenset[str] = frozenset()

    @property
    def counts(self) -> dict[str | None, int]:
        """How many videos have each status."""
        return dict(Counter(self.statuses.values()).most_common())

    @property
    def missing(self) -> list[str]:
        """Names of the videos that are not there."""
        return [name for name, status in self.statuses.items() if status != "ok"]

    @property
    def exit_status(self) -> int:
        """0 where all are there but those left out by `limit`, 1 where others are not, 2 where it ended early."""
        return 2 if self.stopped else 1 if set(self.missing) - self.left_out else 0


@dataclass(frozen=True)
class DownloadPlan:
    """
    What there is to do.

    Args:
        statuses: As in [`DownloadSummary`], before anything is done.
        todo: The videos to try.
        left_out: Names of those that `limit` leaves to another run.
        unnoted: Videos that are there without a line in the manifest: adopted, or put in place just before a kill.
    """

    statuses: dict[str, Status | None]
    todo: list[VideoSource]
    left_out: frozenset[str] = frozenset()
    unnoted: tuple[VideoSource, ...] = ()


def plan_downloads(
    library: VideoLibrary, sources: Sequence[VideoSource], retry_failed: bool = False, limit: int | None = None
) -> DownloadPlan:
    """
    Returns which videos to try: those that are not there and were not tried, or in vain for a reason that passes (a
    rate limit, a bot check; the network or a truncated file up to three times).

    Args:
        library: Where they should be.
        sources: The videos. Of several with one name the first counts.
        retry_failed: Try all that are not there.
        limit: Try so many at most.
    """
    there, tried = set(library.downloaded_names()), Manifest(library.manifest_path).by_video()
    statuses: dict[str, Status | None] = {}
    todo: list[VideoSource] = []
    unnoted: list[VideoSource] = []
    for source in sources:
        if source.name in statuses:
            continue
        all_attempts = [attempt.status for attempt in tried.get(source.name, ())]
        attempts = [status for status in all_attempts if status != "ok"]
        if source.name in there:
            statuses[source.name] = "ok"
            if "ok" not in all_attempts:
                unnoted.append(source)
        elif not is_file_name(source.name):
            statuses[source.name] = "format"
        elif retry_failed or _is_open(attempts):
            todo.append(source)
            statuses[source.name] = attempts[-1] if attempts else None
        else:
            statuses[source.name] = attempts[-1]
    left_out = frozenset(source.name for source in todo[limit:]) if limit is not None else frozenset()
    return DownloadPlan(statuses, todo[:limit], left_out, tuple(unnoted))


def _is_open(failures: list[Status]) -> bool:
    if not failures or failures[-1] in THROTTLED:
        return True
    return failures[-1] in PASSING and sum(status in PASSING for status in failures) < _TRIES


def download_videos(
    library: VideoLibrary,
    plan: DownloadPlan,
    options: DownloadOptions | None = None,
    num_workers: int = 1,
    sleep: float = 0.0,
    lock: str = "download",
) -> DownloadSummary:
    """
    Downloads the videos of a plan and notes each attempt in the library's manifest. Shows a progress bar. A video is
    in its place only when it is whole; what is in flight when the run ends is taken up by the next one. Three rate
    limits or bot checks in a row end the run, as do ten failures of the network and a disk that is full.

    Args:
        library: Where they go.
        plan: From [`plan_downloads`].
        options: How; by default 720p without sound or cookies.
        num_workers: Videos at a time.
        sleep: Seconds that each worker waits after a video.
        lock: Name of the lock; runs that share a library at a time need different ones.

    Raises:
        BlockingIOError: another run holds the lock.
        OSError: the cookie file cannot be read.
        ValueError: `num_workers` is below 1, `sleep` below 0, or the cookies cannot be read.
    """
    if num_workers < 1 or not 0 <= sleep <= LONGEST_SLEEP_S:
        raise ValueError(f"num_workers={num_workers}, sleep={sleep}, expected at least 1 and 0 to {LONGEST_SLEEP_S}")
    options = options or DownloadOptions()
    summary = DownloadSummary(dict(plan.statuses), left_out=plan.left_out)
    if not plan.todo and not plan.unnoted:
        return summary
    with library.lock(lock):
        cookies = options.read_cookies()
        manifest = Manifest(library.manifest_path)
        if plan.unnoted:
            manifest.append(*map(_found, plan.unnoted))
        crew = _Crew(library, plan.todo, options, cookies, min(num_workers, len(plan.todo)), sleep)
        bar = tqdm(total=len(plan.todo), desc="videos", unit=" video", dynamic_ncols=True, disable=not plan.todo)
        row = _Row()

        def note(attempt: Attempt) -> None:
            manifest.append(attempt)
            summary.attempts.append(attempt)
            summary.statuses[attempt.name] = attempt.status
            if attempt.status != "ok":
                bar.write(f"{attempt.name}: {attempt.status}: {attempt.message}")

        try:
            for attempt in crew.run(bar):
                note(attempt)
                if row.is_full(attempt.status):
                    summary.stopped = f"{row.length} × {attempt.status} in a row: {_REMEDIES[attempt.status]}"
                    break
        except OSError as error:
            summary.stopped = f"{error}; make room, then run again"
        except KeyboardInterrupt:
            summary.stopped = "stopped; run again to go on"
        finally:
            for attempt in crew.stop():  # what was done meanwhile
                note(attempt)
            bar.close()
    for name in set(summary.missing) & set(library.downloaded_names()):  # by another run
        summary.statuses[name] = "ok"
    return summary


class _Row:
    """Attempts that failed alike, one after the other."""

    def __init__(self) -> None:
        self.kind: Status | None = None
        self.length = 0

    def is_full(self, status: Status) -> bool:
        """Adds an attempt; returns whether so many failed alike that the next would, too."""
        kind = "rate-limited" if status in THROTTLED else status if status == "network" else None
        self.length = self.length + 1 if kind and kind == self.kind else 1
        self.kind = kind
        return self.length >= _IN_A_ROW.get(kind, math.inf)


def _found(source: VideoSource) -> Attempt:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Attempt(now, source.name, without_secrets(source.youtube_id or source.url or ""), "ok", "was there already")


class _Crew:
    """Threads that each fetch one video after another."""

    def __init__(
        self,
        library: VideoLibrary,
        todo: Sequence[VideoSource],
        options: DownloadOptions,
        cookies: str | None,
        num_workers: int,
        sleep: float,
    ):
        self._todo = deque(todo)
        self._results: queue.SimpleQueue[Attempt | BaseException | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._bytes: deque[int] = deque()
        self._sleep = sleep
        fetchers = [
            Fetcher(library, options, cookies, self._stopped.is_set, self._bytes.append) for _ in range(num_workers)
        ]
        # Daemons: one that waits for a server that is silent must not keep the process from ending.
        self._threads = [threading.Thread(target=self._work, args=(fetcher,), daemon=True) for fetcher in fetchers]

    def run(self, bar: tqdm) -> Iterator[Attempt]:
        """Yields the attempts as they end."""
        for thread in self._threads:
            thread.start()
        at_work, num_bytes = len(self._threads), 0
        while at_work:
            try:
                result = self._results.get(timeout=_REFRESH_S)
            except queue.Empty:
                result = False
            while self._bytes:
                num_bytes += self._bytes.popleft()
            bar.set_postfix_str(f"{num_bytes / 1e6:,.0f} MB")
            if result is None:
                at_work -= 1
            elif isinstance(result, BaseException):
                raise result
            elif result:
                bar.update()
                yield result

    def stop(self) -> list[Attempt]:
        """Ends the work; returns the attempts that [`run`] did not yield. It does not wait for a silent server."""
        self._stopped.set()
        deadline = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        attempts = []
        with contextlib.suppress(queue.Empty):
            while True:
                result = self._results.get_nowait()
                attempts += [result] if isinstance(result, Attempt) else []
        return attempts

    def _work(self, fetcher: Fetcher) -> None:
        try:
            while self._todo and not self._stopped.is_set():
                try:
                    source = self._todo.popleft()
                except IndexError:  # another thread was faster
                    break
                attempt = fetcher.fetch(source)
                if attempt is not None:
                    self._results.put(attempt)
                if self._todo:
                    self._stopped.wait(self._sleep)
        except BaseException as error:
            self._results.put(error)
        self._results.put(None)
