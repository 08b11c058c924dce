# SPDX-License-Identifier: Apache-2.0
"""Work that takes longer than a page waits: one piece at a time, in the background, with its progress."""

import logging
import queue
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)

WAITING, RUNNING, DONE, STOPPED, FAILED = "waiting", "running", "done", "stopped", "failed"


@dataclass
class Job:
    """
    A piece of work.

    Args:
        do: Does it; is given the job, whose `share` it sets and whose `stopped` it asks.
        state: "waiting", "running", "done", "stopped" or "failed".
        share: Of it that is done, from 0 to 1.
        message: Why it failed, in a line.
    """

    do: Callable[["Job"], None] = field(repr=False)
    state: str = WAITING
    share: float = 0.0
    message: str = ""
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def stopped(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()

    def as_json(self) -> dict[str, Any]:
        return {"state": self.state, "share": round(self.share, 4), "message": self.message}


class Jobs:
    """Does jobs in the order they were asked for, each once at a time. Ends with the process."""

    def __init__(self) -> None:
        self._jobs: dict[Hashable, Job] = {}
        self._queue: queue.Queue[Job | None] = queue.Queue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, key: Hashable, do: Callable[[Job], None]) -> Job:
        """Returns the job of that key that is not over yet, or starts one."""
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.state in (WAITING, RUNNING) and not job.stopped():
                return job
            job = self._jobs[key] = Job(do)
            self._queue.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="explorer jobs", daemon=True)
                self._thread.start()
        return job

    def get(self, key: Hashable) -> Job | None:
        return self._jobs.get(key)

    def close(self) -> None:
        """Stops what is running, and waits until it has."""
        with self._lock:
            for job in self._jobs.values():
                job.stop()
            thread = self._thread
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if job.stopped():
                job.state = STOPPED
                continue
            job.state = RUNNING
            try:
                job.do(job)
                job.state = STOPPED if job.stopped() and job.share < 1 else DONE
            except InterruptedError:
                job.state = STOPPED
            except Exception as error:  # whatever it is, the page says so and the next job runs
                job.message = (str(error).strip().splitlines() or [type(error).__name__])[0]
                job.state = FAILED
                logger.warning("%s", job.message)
