# SPDX-License-Identifier: Apache-2.0
"""Evaluations to look at."""

import os
from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset

FRAMES_SHOWN = 6


def draw_predictions(dataset: Dataset, predicted: Sequence[str], path: str | os.PathLike) -> None:
    """
    Writes a PNG with a row of frames for each clip, under its true caption and the predicted one (green where they
    agree, red where not).

    Args:
        dataset: Rows with `clip` and `caption` columns; a dozen at most fit a page.
        predicted: One caption a row.
        path: File to write, beside and then renamed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(FRAMES_SHOWN * 1.6, len(dataset) * 2.3), layout="constrained")
    FigureCanvasAgg(figure)
    strips = figure.subfigures(len(dataset), 1, squeeze=False)[:, 0]
    for row, prediction, strip in zip(dataset, predicted, strips, strict=True):
        frames = row["clip"].frames(FRAMES_SHOWN)  # (FRAMES_SHOWN, 3, H, W)
        for frame, axis in zip(frames, strip.subplots(1, FRAMES_SHOWN), strict=True):
            axis.imshow(frame.permute(1, 2, 0).numpy())
            axis.set_axis_off()
        strip.suptitle(
            f"{row['video_name']}  {row['start_time']:.1f}–{row['end_time']:.1f} s\n"
            f"true: {row['caption']}\npredicted: {prediction}",
            x=0.01,
            horizontalalignment="left",
            fontsize=9,
            color="#1a7f37" if prediction == row["caption"] else "#b3261e",
        )
    path = Path(path)
    beside = path.with_name(f".{path.name}-unfinished")
    figure.savefig(beside, format="png", dpi=100)
    beside.replace(path)
