# SPDX-License-Identifier: Apache-2.0
"""Downloading the videos of a library: what is missing, until it is all there or there is a reason why not."""

import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tqdm.auto import tqdm

from .fetch import DownloadOptions, Fetcher, OutOfSpaceError
from .library import VideoLibrary, is_file_name
from .manifest import PASSING, THROTTLED, Attempt, Manifest, Status
from .sources import VideoSource

logger = logging.getLogger(__name__)

_TRIES = 3
THROTTLED_IN_A_ROW = 3
_REFRESH_S = 0.2
_REMEDIES = {
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
    """

    statuses: dict[str, Status | None]
    attempts: list[Attempt] = field(default_factory=list)
    stopped: str | None = None

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
        """0 where all are there, 1 where some are not, 2 where the run ended early."""
        return 2 if self.stopped else 1 if self.missing else 0


@dataclass(frozen=True)
class DownloadPlan:
    """
    What there is to do.

    Args:
        statuses: As in [`DownloadSummary`], before anything is done.
        todo: The videos to try.
    """

    statuses: dict[str, Status | None]
    todo: list[VideoSource]


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
        limit: Try so many at most; the rest is left out of the plan.
    """
    there, tried = set(library.downloaded_names()), Manifest(library.manifest_path).by_video()
    statuses: dict[str, Status | None] = {}
    todo: list[VideoSource] = []
    for source in sources:
        if source.name in statuses:
            continue
        attempts = [attempt.status for attempt in tried.get(source.name, ()) if attempt.status != "ok"]
        if source.name in there:
            statuses[source.name] = "ok"
        elif not is_file_name(source.name):
            statuses[source.name] = "format"
        elif retry_failed or _is_open(attempts):
            if limit is not None and len(todo) == limit:
                continue
            todo.append(source)
            statuses[source.name] = attempts[-1] if attempts else None
        else:
            statuses[source.name] = attempts[-1]
    return DownloadPlan(statuses, todo)


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
    limits or bot checks in a row end the run.

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
    if num_workers < 1 or not sleep >= 0:
        raise ValueError(f"num_workers={num_workers}, sleep={sleep}, expected at least 1 and at least 0")
    options = options or DownloadOptions()
    summary = DownloadSummary(dict(plan.statuses))
    if not plan.todo:
        return summary
    with library.lock(lock):
        cookies = options.read_cookies()
        manifest, throttled = Manifest(library.manifest_path), 0
        crew = _Crew(library, plan.todo, options, cookies, min(num_workers, len(plan.todo)), sleep)
        bar = tqdm(total=len(plan.todo), desc="videos", unit=" video", dynamic_ncols=True)
        try:
            for attempt in crew.run(bar):
                manifest.append(attempt)
                summary.attempts.append(attempt)
                summary.statuses[attempt.name] = attempt.status
                if attempt.status != "ok":
                    bar.write(f"{attempt.name}: {attempt.status}: {attempt.message}")
                throttled = throttled + 1 if attempt.status in THROTTLED else 0
                if throttled == THROTTLED_IN_A_ROW:
                    summary.stopped = f"{throttled} × {attempt.status} in a row: {_REMEDIES[attempt.status]}"
                    break
        except OutOfSpaceError as error:
            summary.stopped = f"{error}; make room, then run again"
        except KeyboardInterrupt:
            summary.stopped = "stopped; run again to go on"
        finally:
            crew.stop()
            bar.close()
    return summary


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
        self._fetchers = [
            Fetcher(library, options, cookies, self._stopped.is_set, self._bytes.append) for _ in range(num_workers)
        ]

    def run(self, bar: tqdm) -> Iterator[Attempt]:
        """Yields the attempts as they end."""
        # Daemons: one that waits for a server that is silent must not keep the process from ending.
        for fetcher in self._fetchers:
            threading.Thread(target=self._work, args=(fetcher,), daemon=True).start()
        at_work, num_bytes = len(self._fetchers), 0
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

    def stop(self) -> None:
        self._stopped.set()

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
