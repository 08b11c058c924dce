# SPDX-License-Identifier: Apache-2.0
"""What is seen of a running training: a progress bar and metrics.jsonl."""

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tqdm.auto import tqdm

logger = logging.getLogger(__name__)

_IDS_SHOWN = 20


class MetricsLog(AbstractContextManager):
    """
    Writes a line of `metrics.jsonl` a step and moves a progress bar; does nothing where it is not `enabled`, as on all
    but the main process.

    Args:
        path: File to write, anew.
        max_steps: Length of the bar.
        clips_per_step: Clips of the global batch.
        enabled: Whether this process logs.
    """

    def __init__(self, path: Path, max_steps: int, clips_per_step: int, enabled: bool):
        self.enabled = enabled
        self.clips_per_step = clips_per_step
        self.file = path.open("w", buffering=1) if enabled else None
        self.progress = tqdm(total=max_steps, desc="train", unit="step", disable=not enabled)
        self.last = time.perf_counter()
        self.replaced: Counter[int] = Counter()

    def write(self, loss: float, replaced: Sequence[int] = (), **metrics: float) -> None:
        """
        Ends a step; adds `clips_per_second`, of the time since the step before, and `replaced`, the ids of captions
        whose clip could not be read, where there are any.
        """
        if not self.enabled:
            return
        self.replaced.update(replaced)
        now = time.perf_counter()
        line = {**metrics, "loss": loss, "clips_per_second": self.clips_per_step / (now - self.last)}
        if replaced:
            line["replaced"] = list(replaced)
        self.last = now
        self.file.write(json.dumps(line) + "\n")
        self.progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self.progress.update()

    def __exit__(self, *exception) -> None:
        self.progress.close()
        if self.enabled:
            self.file.close()
        if self.replaced:
            ids = ", ".join(map(str, sorted(self.replaced)[:_IDS_SHOWN]))
            logger.warning(
                "%d clips could not be read and were replaced, of %d captions: %s%s; metrics.jsonl has all of them",
                *(self.replaced.total(), len(self.replaced), ids, ", …" if len(self.replaced) > _IDS_SHOWN else ""),
            )
