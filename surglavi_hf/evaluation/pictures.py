# SPDX-License-Identifier: Apache-2.0
"""Evaluations to look at."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from ..files import written_whole
from .benchmarks import Benchmark
from .report import EvalReport, check_replaceable

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
    figure = _figure(FRAMES_SHOWN * 1.6, len(dataset) * 2.3)
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
            parse_math=False,
            color="#1a7f37" if prediction == row["caption"] else "#b3261e",
        )
    _save(figure, path)


def draw_confusion_matrix(benchmark: Benchmark, predictions: Sequence[int], path: str | os.PathLike) -> None:
    """
    Writes a PNG of the share of each true class (rows) that was predicted as each class, over all frames.

    Args:
        benchmark: Of one class a frame.
        predictions: Of `benchmark.rows`, in order.
        path: File to write, beside and then renamed.
    """
    size = len(benchmark.classes)
    labels = np.concatenate([benchmark.labels(name) for name in benchmark.videos])
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (labels, np.asarray(predictions)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(3 + 0.5 * size, 2.5 + 0.45 * size)
    axis = figure.subplots()
    image = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for row, column in zip(*np.nonzero(counts), strict=True):
        color = "white" if shares[row, column] > 0.6 else "black"
        axis.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", color=color, fontsize=7)
    axis.set_xticks(range(size), benchmark.classes, rotation=45, ha="right", fontsize=8)
    axis.set_yticks(range(size), benchmark.classes, fontsize=8)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.set_title(f"{benchmark.name}: % of the frames of each true class", fontsize=9)
    figure.colorbar(image, shrink=0.7)
    _save(figure, path)


def draw_ribbons(benchmark: Benchmark, predictions: Sequence[int], path: str | os.PathLike) -> None:
    """
    Writes a PNG with two ribbons for each video, the true classes above the predicted ones over time; where no frame
    has a label they are white.

    Args:
        benchmark: Of one class a frame.
        predictions: Of `benchmark.rows`, in order.
        path: File to write, beside and then renamed.
    """
    size = len(benchmark.classes)
    figure = _figure(11, 1.2 + 0.55 * len(benchmark.videos) + 0.2 * -(-size // 4))
    axes = figure.subplots(len(benchmark.videos), 1, squeeze=False)[:, 0]
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    colors = ListedColormap(colormaps["turbo"](np.linspace(0.05, 0.95, size)))
    start = 0
    for name, axis in zip(benchmark.videos, axes, strict=True):
        video, positions, labels = benchmark.videos[name], benchmark.positions(name), benchmark.labels(name)
        ribbons = np.full((2, len(video.times)), np.nan)
        ribbons[0, positions], ribbons[1, positions] = labels, predictions[start : start + len(labels)]
        start += len(labels)
        end = max(video.times[-1] / 60, 1 / 60) if video.times else 1.0
        axis.imshow(
            ribbons,
            aspect="auto",
            cmap=colors,
            vmin=-0.5,
            vmax=size - 0.5,
            interpolation="nearest",
            extent=(0, end, 2, 0),
        )
        axis.set_yticks([0.5, 1.5], [f"{name} true", "predicted"], fontsize=7)
        axis.tick_params(axis="x", labelsize=7)
    axes[-1].set_xlabel("minutes", fontsize=8)
    handles = [Patch(color=colors(place), label=name) for place, name in enumerate(benchmark.classes)]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7)
    _save(figure, path)


def draw_linear_probe(
    report: EvalReport, published: Mapping[str, Mapping[int, float]], path: str | os.PathLike
) -> None:
    """
    Writes a PNG of macro F1 by percent of the training procedures: the published bars, and the report's with the
    standard deviation over its seeds.

    Args:
        report: From [`linear_probe`], with percents.
        published: As [`published_linear_probe`].
        path: File to write, beside and then renamed.
    """
    prefix, suffix = "macro_f1_all_frames_at_", "_percent_mean"
    mine = {
        int(name.removeprefix(prefix).removesuffix(suffix)): value
        for name, value in report.metrics.items()
        if name.startswith(prefix) and name.endswith(suffix) and value is not None
    }
    percents = sorted({*mine, *(percent for row in published.values() for percent in row)})
    figure = _figure(2 + 2.2 * len(percents), 4)
    axis = figure.subplots()
    width = 0.8 / (len(published) + 1)
    for place, (name, row) in enumerate(published.items()):
        known = [percent for percent in percents if percent in row]
        axis.bar([percents.index(p) + place * width for p in known], [row[p] for p in known], width, label=name)
    known = [percent for percent in percents if percent in mine]
    axis.bar(
        [percents.index(percent) + len(published) * width for percent in known],
        [100 * mine[percent] for percent in known],
        width,
        yerr=[100 * (report.metrics[f"{prefix}{percent}_percent_std"] or 0.0) for percent in known],
        label=report.model.get("name") or "this model",
        color="black",
        ecolor="grey",
    )
    centres = [place + width * len(published) / 2 for place in range(len(percents))]
    axis.set_xticks(centres, [f"{percent} %" for percent in percents])
    axis.set_xlabel("of the training procedures")
    axis.set_ylabel("macro F1, %")
    axis.set_title(f"{report.benchmark}: linear probing", fontsize=10)
    axis.legend(fontsize=7)
    _save(figure, path)


def draw_contact_sheet(title: str, clips: Sequence[tuple[str, torch.Tensor | None]], path: str | os.PathLike) -> None:
    """
    Writes a PNG with a row of frames for each clip under its caption.

    Args:
        title: Above all.
        clips: For each its caption and uint8 frames of shape `(num_frames, 3, height, width)`, None where there are
        none. path: File to write, beside and then renamed.
    """
    figure = _figure(FRAMES_SHOWN * 1.6, 0.6 + len(clips) * 1.8)
    figure.suptitle(title, fontsize=11, parse_math=False)
    strips = figure.subfigures(len(clips), 1, squeeze=False)[:, 0]
    for (caption, frames), strip in zip(clips, strips, strict=True):
        strip.suptitle(caption, x=0.01, horizontalalignment="left", fontsize=8, parse_math=False)
        axes = strip.subplots(1, FRAMES_SHOWN)
        for place, axis in enumerate(axes):
            axis.set_axis_off()
            if frames is not None and place < len(frames):
                axis.imshow(frames[place].permute(1, 2, 0).numpy())
    _save(figure, path)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: str | os.PathLike) -> None:
    check_replaceable(path, ".png")
    with written_whole(path) as beside:
        figure.savefig(beside, format="png", dpi=100)
