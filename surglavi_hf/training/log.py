# SPDX-License-Identifier: Apache-2.0
"""What is seen of a running training: a progress bar, metrics.jsonl, and trackers."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from math import isfinite
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from tqdm.auto import tqdm

from ..files import write_text

logger = logging.getLogger(__name__)

_IDS_SHOWN = 20


class MetricsLog(AbstractContextManager):
    """
    Writes a line of `metrics.jsonl` a step, moves a progress bar and tells the trackers; does nothing where it is not
    `enabled`, as on all but the main process. What cannot be written, or a tracker that fails, is said once and does
    not end the training.

    Args:
        path: File to write. Lines up to `first_step` are kept.
        max_steps: Length of the bar.
        enabled: Whether this process logs.
        first_step: Steps made before, by a run that this one resumes.
        trackers: Called with (metrics, step).
    """

    def __init__(self, path: Path, max_steps: int, enabled: bool, first_step: int = 0, trackers: Sequence = ()):
        self.path, self.enabled, self.trackers = path, enabled, list(trackers)
        self.file = None
        if enabled:
            _keep_lines(path, first_step)
            self.file = path.open("a", buffering=1)
        self.progress = tqdm(total=max_steps, initial=first_step, desc="train", unit="step", disable=not enabled)
        self.replaced: Counter[int] = Counter()

    def write(self, step: int, metrics: Mapping[str, Any], replaced: Sequence[int] = ()) -> None:
        """
        Ends a step. `replaced`, where there are any, are the ids of captions whose clip could not be read.
        """
        if not self.enabled:
            return
        self.replaced.update(replaced)
        line = {"step": step, **metrics, **({"replaced": list(replaced)} if replaced else {})}
        for name, value in line.items():
            if isinstance(value, float) and not isfinite(value):
                line[name] = None  # JSON has no NaN, which a skipped step may have
        if self.file is not None:
            try:
                self.file.write(json.dumps(line) + "\n")
            except OSError as error:
                logger.error("%s cannot be written (%s); training goes on without it", self.path, error)
                self.file = None
        numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
        for tracker in list(self.trackers):
            try:
                tracker(numbers, step)
            except Exception as error:  # whatever a tracker's library raises
                logger.warning("a tracker failed and is left out from here on: %s", error)
                self.trackers.remove(tracker)
        shown = {name: f"{metrics[name]:.3g}" for name in ("loss", "clips_per_second") if name in metrics}
        self.progress.set_postfix(shown, refresh=False)
        self.progress.update()

    def __exit__(self, *exception) -> None:
        self.progress.close()
        if self.file is not None:
            self.file.close()
        if self.replaced:
            ids = ", ".join(map(str, sorted(self.replaced)[:_IDS_SHOWN]))
            logger.warning(
                "%d clips could not be read and were replaced, of %d captions: %s%s; metrics.jsonl has all of them",
                *(self.replaced.total(), len(self.replaced), ids, ", …" if len(self.replaced) > _IDS_SHOWN else ""),
            )


def _keep_lines(path: Path, last_step: int) -> None:
    """Drops the lines of steps after `last_step`, which will be made again, and what a kill left half written."""
    kept = []
    if last_step and path.exists():
        for text in path.read_text().splitlines():
            try:
                if json.loads(text)["step"] <= last_step:
                    kept.append(text + "\n")
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
    write_text(path, "".join(kept))


def start_trackers(accelerator: Accelerator, settings: Mapping[str, Any]) -> list:
    """
    Starts the trackers `accelerator` was made with; returns what [`MetricsLog`] calls. If one cannot
    start, that is said and all are left out. Every process must call it.
    """
    flat = {name: value for name, value in settings.items() if isinstance(value, (bool, int, float, str))}
    try:
        accelerator.init_trackers("surglavi", config=flat)
    except Exception as error:  # whatever a tracker's library raises
        logger.warning("the trackers cannot be started and are left out: %s", error)
        accelerator.trackers = []
    return [lambda metrics, step, tracker=tracker: tracker.log(metrics, step=step) for tracker in accelerator.trackers]
