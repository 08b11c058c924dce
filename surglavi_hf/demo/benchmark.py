# SPDX-License-Identifier: Apache-2.0
"""A drawn benchmark: four operations, and a table of which tissue is worked on when, as a lab would have one."""

import csv
import io
import json
from pathlib import Path

import numpy as np

from ..files import write_text
from .corpus import PHASE_CAPTION, plan_video
from .drawing import PAUSE_S, TISSUES, Task, write_video

VIDEOS = ("operation-1", "operation-2", "operation-3", "operation-4")
_FIRST_SEED = 100_000  # no video of the corpus is drawn with it

_YAML = """# A benchmark of one's own: what is seen in four drawn operations, second by second.
# surglavi evaluate benchmark.yaml --model ../training/model
title: "Drawn operations"
kind: single_label
classes: {classes}
prompts: {prompts}
labels:
  reader: segments
  files: labels.csv
videos: "videos/{{video}}.mp4"
fps: 2
splits:
  train: {train}
  test: {test}
"""


def write_benchmark(folder: str | Path, seed: int = 0) -> Path:
    """
    Writes `benchmark.yaml`, `labels.csv` and `videos/` into `folder`; returns the path of the YAML file, which is
    written last.

    Args:
        folder: To write to.
        seed: Of everything drawn.
    """
    folder = Path(folder)
    rng = np.random.default_rng([seed, _FIRST_SEED])
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("video", "start", "end", "label"))
    for number, name in enumerate(VIDEOS):
        tasks = plan_video(rng, test=False)
        write_video(folder / "videos" / f"{name}.mp4", tasks, [seed, _FIRST_SEED + number])
        rows.writerows((name, f"{start:.1f}", f"{end:.1f}", tissue) for start, end, tissue in _phases(tasks))
    write_text(folder / "labels.csv", table.getvalue())
    text = _YAML.format(
        classes=json.dumps(list(TISSUES)),
        prompts=json.dumps({tissue: PHASE_CAPTION.format(tissue=tissue) for tissue in TISSUES}),
        train=json.dumps(VIDEOS[:2]),
        test=json.dumps(VIDEOS[2:]),
    )
    write_text(folder / "benchmark.yaml", text)
    return folder / "benchmark.yaml"


def _phases(tasks: list[Task]) -> list[tuple[float, float, str]]:
    """Start, end and tissue of each phase; the pause after a task is of its phase."""
    spans: dict[int, list[Task]] = {}
    for task in tasks:
        spans.setdefault(task.phase, []).append(task)
    return [(span[0].start_time, span[-1].end_time + PAUSE_S, span[0].tissue) for span in spans.values()]
