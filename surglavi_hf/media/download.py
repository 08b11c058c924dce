# SPDX-License-Identifier: Apache-2.0
"""Downloading the videos of a library: what is missing, until it is all there or there is a reason why not."""

import contextlib
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tqdm.auto import tqdm

from .download_options import DownloadOptions
from .errors import VideoDecodeError
from .fetch import Fetcher
from .library import VideoLibrary, is_file_name
from .manifest import Attempt, Manifest, attempt_of_a_file
from .probe import probe_video
from .reasons import SPEAKS_OF, Status, Subject
from .sources import YOUTUBE, VideoSource, place_of

# A guest may have about 300 videos an hour of YouTube, whatever the number of workers; these are 240.
YOUTUBE_PACE_S = 15.0
LONGEST_SLEEP_S = 86_400
_TRIES = 3
_IN_A_ROW: dict[Subject, int] = {"account": 3, "client": 5, "unknown": 5, "network": 10}  # ends a run
_IN_A_ROW_TOGETHER = 10
_WAITS_IN_VAIN = 5
_WAITABLE: tuple[Status, ...] = ("rate-limited", "bot-check", "network")
_NETWORK = ""  # its place, whatever the server
_BY_HAND = "stopped; run again to go on"
_SAID = 120
_PATIENCE_S = 5.0
_REFRESH_S = 0.2
_REMEDIES: dict[Status, str] = {
    "network": "the network seems to be down; see to it, then run again, or let --wait MINUTES go on by itself",
    "rate-limited": "the server limits how much this address may download; wait an hour (--wait 60 does, and "
    "goes on), then run again with a longer --sleep, fresh --cookies or a --proxy",
    "bot-check": "the server takes this machine for a robot; run again with fresh --cookies of an account (or "
    "--cookies-from-browser), wait, or use a --proxy; `surglavi doctor` says whether a JavaScript runtime is missing",
    "sign-in": "the server wants an account; export fresh cookies of one that may see the videos, then run again with "
    "--cookies or --cookies-from-browser",
    "client": "yt-dlp does not get on here, which says nothing of the videos; run `surglavi doctor`, "
    "pip install --upgrade 'yt-dlp[default]', then run again",
    "unknown": "this is not known to speak of a video; see to it, pip install --upgrade 'yt-dlp[default]', then run "
    "again",
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
        """0 where all are there but those left out by `limit`, 1 where others are not, 3 where it ended early."""
        return 3 if self.stopped else 1 if set(self.missing) - self.left_out else 0


@dataclass(frozen=True)
class DownloadPlan:
    """
    What there is to do.

    Args:
        statuses: As in [`DownloadSummary`], before anything is done.
        todo: The videos to try.
        left_out: Names of those that `limit` leaves to another run.
        unnoted: Videos that are there without having been looked at: put in place by hand, or just before a kill.
    """

    statuses: dict[str, Status | None]
    todo: list[VideoSource]
    left_out: frozenset[str] = frozenset()
    unnoted: tuple[VideoSource, ...] = ()

    @property
    def at_youtube(self) -> int:
        """How many of the videos to try are YouTube's."""
        return sum(place_of(source.address or "") == YOUTUBE for source in self.todo)


def plan_downloads(
    library: VideoLibrary,
    sources: Sequence[VideoSource],
    retry_failed: bool = False,
    limit: int | None = None,
    retry_statuses: Collection[Status] = (),
) -> DownloadPlan:
    """
    Returns which videos to try: those that are not there, unless they failed for a reason of their own. What speaks of
    the account, this machine or the network counts against a video only where another one came down before it was
    tried again, and so does a truncated file: three of them, and it is given up. Those that failed least come first.

    Args:
        library: Where they should be.
        sources: The videos. Of several with one name the first counts.
        retry_failed: Try all that are not there.
        limit: Try so many at most.
        retry_statuses: Try those that failed so, too.
    """
    there, attempts = set(library.downloaded_names()), list(Manifest(library.manifest_path))
    failures: dict[str, list[Status]] = {}
    for attempt in attempts:
        failures.setdefault(attempt.name, []).extend(() if attempt.status == "ok" else (attempt.status,))
    strikes, noted = _strikes(attempts), _noted(attempts)
    statuses: dict[str, Status | None] = {}
    todo: list[VideoSource] = []
    unnoted: list[VideoSource] = []
    for source in sources:
        if source.name in statuses:
            continue
        failed = failures.get(source.name)
        statuses[source.name] = failed[-1] if failed else None
        if source.name in there:
            statuses[source.name] = "ok"
            if source.name not in noted:
                unnoted.append(source)
        elif not is_file_name(source.name):
            statuses[source.name] = "format"
        elif retry_failed or not failed or failed[-1] in retry_statuses or _is_open(failed[-1], strikes[source.name]):
            todo.append(source)
    todo.sort(key=lambda source: len(failures.get(source.name, ())))
    left_out = frozenset(source.name for source in todo[limit:]) if limit is not None else frozenset()
    return DownloadPlan(statuses, todo[:limit], left_out, tuple(unnoted))


def _noted(attempts: Sequence[Attempt]) -> set[str]:
    """Returns the names of the videos that were looked at; those that `adopt` once linked unseen have no format."""
    return {attempt.name for attempt in attempts if attempt.status == "ok" and attempt.format}


def _is_open(status: Status, strikes: int) -> bool:
    """Whether a video that failed so last, and has so many strikes, is worth another try."""
    if SPEAKS_OF[status] == "account" or status == "later":
        return True
    return (SPEAKS_OF[status] != "video" or status == "truncated") and strikes < _TRIES


def _strikes(attempts: Sequence[Attempt]) -> Counter:
    """Returns how many failures that may pass count against each video."""
    strikes: Counter = Counter()
    pending: dict[str, set[str]] = {}  # of each place
    for attempt in attempts:
        place = place_of(attempt.source)
        if attempt.status == "truncated":
            strikes[attempt.name] += 1
        elif attempt.status in ("client", "network", "unknown"):
            pending.setdefault(_NETWORK if attempt.status == "network" else place, set()).add(attempt.name)
        elif attempt.status == "ok" and attempt.seconds is not None:  # it came down in this attempt
            for one in (_NETWORK, place):
                strikes.update(pending.pop(one, set()) - {attempt.name})
    return strikes


def download_videos(
    library: VideoLibrary,
    plan: DownloadPlan,
    options: DownloadOptions | None = None,
    num_workers: int = 1,
    sleep: float | None = None,
    lock: str = "download",
    wait: float | None = None,
) -> DownloadSummary:
    """
    Downloads the videos of a plan and notes each attempt in the library's manifest. Shows a progress bar. A video is
    in its place only when it is whole; what is in flight when the run ends is taken up by the next one. A row of
    failures that speak of no video ends the run, as does a disk that is full: 3 of an account, 5 of this machine's
    yt-dlp, 5 that are not understood, 10 of the network or together. What came down ends a row.

    Args:
        library: Where they go.
        plan: From [`plan_downloads`].
        options: How; by default 720p without sound or cookies.
        num_workers: Videos at a time.
        sleep: Seconds between the starts of two videos, of all workers together; by default 15 at YouTube, and 0
            elsewhere.
        lock: Name of the lock; runs that share a library at a time need different ones.
        wait: Seconds to wait where a rate limit, a bot check or the network would end the run, before going on; five
            times at most without a video that came down.

    Raises:
        BlockingIOError: another run holds the lock.
        OSError: the cookie file cannot be read.
        ValueError: `num_workers` is below 1, `sleep` below 0, `wait` is not above 0, or the cookies cannot be read.
    """
    if num_workers < 1 or not 0 <= (sleep or 0) <= LONGEST_SLEEP_S:
        raise ValueError(f"num_workers={num_workers}, sleep={sleep}, expected at least 1 and 0 to {LONGEST_SLEEP_S}")
    if wait is not None and not 0 < wait <= LONGEST_SLEEP_S:
        raise ValueError(f"wait={wait}, expected more than 0, and {LONGEST_SLEEP_S} at most")
    options = options or DownloadOptions()
    summary = DownloadSummary(dict(plan.statuses), left_out=plan.left_out)
    if not plan.todo and not plan.unnoted:
        return summary
    with library.lock(lock):
        cookies = options.read_cookies()
        manifest = Manifest(library.manifest_path)
        wrong = _note_what_is_there(library, plan, manifest)
        summary.statuses |= wrong
        run, todo, waits, pace = _Run(manifest, plan, summary), plan.todo, 0, _Pace(sleep)
        while todo:
            num_before = len(summary.attempts)
            last = run.work(_Crew(library, todo, options, cookies, min(num_workers, len(todo)), pace))
            made = summary.attempts[num_before:]
            waits = 1 if any(attempt.status == "ok" for attempt in made) else waits + 1
            if wait is None or last is None or last.status not in _WAITABLE or waits > _WAITS_IN_VAIN:
                break
            settled = {attempt.name for attempt in made if attempt.status not in _WAITABLE}
            todo = [source for source in todo if source.name not in settled]
            if not run.wait(wait, len(todo)):
                break
        run.bar.close()
    for name in (set(summary.missing) - set(wrong)) & set(library.downloaded_names()):  # by another run
        summary.statuses[name] = "ok"
    return summary


class _Run:
    """What comes of a plan: noted, shown, and ended where going on would be in vain."""

    def __init__(self, manifest: Manifest, plan: DownloadPlan, summary: DownloadSummary):
        self.bar = tqdm(total=len(plan.todo), desc="videos", unit=" video", dynamic_ncols=True, disable=not plan.todo)
        self._manifest = manifest
        self._summary = summary
        self._places = {source.name: place_of(source.address or "") for source in plan.todo}

    def work(self, crew: "_Crew") -> Attempt | None:
        """Lets a crew work; returns the failure that filled a row, if one did."""
        row, last = _Row(), None
        try:
            for attempt in crew.run(self.bar):
                self._note(attempt)
                if length := row.filled_by(attempt.status, self._places[attempt.name]):
                    last = attempt
                    said = last.message if len(last.message) <= _SAID else f"{last.message[:_SAID]}…"
                    self._summary.stopped = f"{length} × {last.status} in a row ({said}): {_REMEDIES[last.status]}"
                    break
        except OSError as error:
            self._summary.stopped = f"{error}; make room, then run again"
        except KeyboardInterrupt:
            self._summary.stopped = _BY_HAND
        finally:
            for attempt in crew.stop():  # what was done meanwhile
                self._note(attempt)
        return last

    def wait(self, seconds: float, num_left: int) -> bool:
        """Waits; returns whether to go on."""
        until = datetime.now() + timedelta(seconds=seconds)
        self.bar.write(f"{self._summary.stopped.partition(':')[0]}; going on at {until:%H:%M:%S}")
        self.bar.n = self.bar.total - num_left
        self.bar.refresh()
        try:
            time.sleep(seconds)
        except KeyboardInterrupt:
            self._summary.stopped = _BY_HAND
            return False
        self._summary.stopped = None
        return True

    def _note(self, attempt: Attempt) -> None:
        self._manifest.append(attempt)
        self._summary.attempts.append(attempt)
        self._summary.statuses[attempt.name] = attempt.status
        if attempt.status != "ok":
            self.bar.write(f"{attempt.name}: {attempt.status}: {attempt.message}")


class _Row:
    """
    Failures that speak of no video, one after the other: of the network, and of each server apart, for one that works
    says nothing of another. What came down ends a row; what a server says of a video only shows that it is there.
    """

    def __init__(self) -> None:
        self._failures: dict[str, Counter[Subject]] = {}

    def filled_by(self, status: Status, place: str) -> int:
        """Adds an attempt; returns how many failures there are where the next would fail, too, else 0."""
        subject = SPEAKS_OF[status]
        if subject == "video":
            self._failures.pop(_NETWORK, None)
            if status in ("ok", "truncated"):
                self._failures.pop(place, None)
            return 0
        network, failures = (self._failures.setdefault(one, Counter()) for one in (_NETWORK, place))
        (network if subject == "network" else failures)[subject] += 1
        together = network.total() + failures.total()
        length = network[subject] + failures[subject]
        return length if length >= _IN_A_ROW[subject] else together if together >= _IN_A_ROW_TOGETHER else 0


def _note_what_is_there(library: VideoLibrary, plan: DownloadPlan, manifest: Manifest) -> dict[str, Status]:
    """Reads the videos that are there without having been noted; returns why those are not ok that are not."""
    wrong: dict[str, Status] = {}
    for source in tqdm(plan.unnoted, desc="reading", unit=" video", dynamic_ncols=True, delay=2):
        path = library.video_path(source.name)
        try:
            manifest.append(attempt_of_a_file(source, path, probe_video(path, source.duration), "was there already"))
        except VideoDecodeError as error:
            wrong[source.name] = "truncated"
            tqdm.write(f"{source.name}: truncated: {error}; it is {path}")
    return wrong


class _Pace:
    """Keeps the starts of videos apart, of all workers together: they share an address."""

    def __init__(self, sleep: float | None):
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = time.monotonic()

    def wait(self, source: VideoSource, stopped: threading.Event) -> None:
        """Waits until it is the turn of a video."""
        seconds = self._sleep
        if seconds is None:
            seconds = YOUTUBE_PACE_S if place_of(source.address or "") == YOUTUBE else 0.0
        if not seconds:
            return
        with self._lock:
            start = max(time.monotonic(), self._next)
            self._next = start + seconds
        stopped.wait(start - time.monotonic())


class _Crew:
    """Threads that each fetch one video after another."""

    def __init__(
        self,
        library: VideoLibrary,
        todo: Sequence[VideoSource],
        options: DownloadOptions,
        cookies: str | None,
        num_workers: int,
        pace: _Pace,
    ):
        self._todo = deque(todo)
        self._results: queue.SimpleQueue[Attempt | BaseException | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._noted = threading.Semaphore(0)  # nothing new begins before it is known whether to go on
        self._bytes: deque[int] = deque()
        self._pace = pace
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
                self._noted.release()

    def stop(self) -> list[Attempt]:
        """Ends the work; returns the attempts that [`run`] did not yield. It does not wait for a silent server."""
        self._stopped.set()
        self._noted.release(len(self._threads))
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
                self._pace.wait(source, self._stopped)
                attempt = None if self._stopped.is_set() else fetcher.fetch(source)
                if attempt is not None:
                    self._results.put(attempt)
                    self._noted.acquire()
        except BaseException as error:
            self._results.put(error)
        self._results.put(None)
