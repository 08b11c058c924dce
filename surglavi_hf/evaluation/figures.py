# SPDX-License-Identifier: Apache-2.0
"""Evaluations to look at."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from colorsys import hls_to_rgb
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from datasets import Dataset

from ..files import written_whole
from .benchmarks import Benchmark
from .report import EvalReport, check_replaceable

if TYPE_CHECKING:
    from .compare import Comparison
    from .predict import PredictedVideo

FRAMES_SHOWN = 6
_LINE = 130  # characters that fit above a row of frames
_PANELS = 3  # beside one another
_SERIES = ("#1f5f8b", "#b3541e", "#2e7d32", "#7b3fa0", "#8b1a4a", "#00838f", "#6d5f00", "#444444")
_COLUMNS = 800  # of a ribbon, each at least a pixel wide
_FEW_CLASSES = 15  # whose names fit below a matrix
_ROWS_OF_PRESENCE = 15  # of a video


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
            f"{_shortened('true: ' + row['caption'])}\n{_shortened('predicted: ' + prediction)}",
            x=0.01,
            horizontalalignment="left",
            fontsize=9,
            parse_math=False,
            color="#1a7f37" if prediction == row["caption"] else "#b3261e",
        )
    _save(figure, path)


def draw_confusion_matrix(benchmark: Benchmark, predictions: Sequence[int], path: str | os.PathLike) -> None:
    """
    Writes a PNG of the share of each true class (rows) that was predicted as each class (columns), over all frames.
    The row of a class without a true frame is hatched: it has no share.

    Args:
        benchmark: Of one class a frame.
        predictions: Of `benchmark.rows`, in order.
        path: File to write, beside and then renamed.
    """
    size = len(benchmark.classes)
    labels = np.concatenate([benchmark.labels(name) for name in benchmark.videos])
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (labels, np.asarray(predictions)), 1)
    frames = counts.sum(axis=1)
    shares = 100 * counts / np.maximum(frames, 1)[:, None]
    cell = 0.45 if size <= _FEW_CLASSES else 0.28  # inches
    figure = _figure(4.5 + cell * size, 2.5 + cell * size)
    axis = figure.subplots()
    image = axis.imshow(shares, vmin=0, vmax=100, cmap="Blues")
    for row, column in zip(*np.nonzero(counts), strict=True):
        share = shares[row, column]
        color = (
            "white" if share > 60 else "black" if share >= 5 or row == column or size <= _FEW_CLASSES else "#999999"
        )
        axis.text(column, row, _percent(share), ha="center", va="center", color=color, fontsize=7)
    for row in np.flatnonzero(frames == 0):
        axis.axhspan(row - 0.5, row + 0.5, facecolor="#dddddd", edgecolor="#999999", hatch="////", linewidth=0)
    names = [f"{place}  {name}" for place, name in enumerate(benchmark.classes)]
    rows = zip(names, frames, strict=True)
    said = [f"{name}  ({count:,} frames)" if count else f"{name}  (no frames)" for name, count in rows]
    axis.set_yticks(range(size), said, fontsize=8, parse_math=False)
    if size <= _FEW_CLASSES:
        axis.set_xticks(range(size), names, rotation=45, ha="right", fontsize=8, parse_math=False)
    else:
        axis.set_xticks(range(size), names, rotation=90, fontsize=7, parse_math=False)
        axis.set_xticks([place + 0.5 for place in range(4, size, 5)], minor=True)  # lines to go along by
        axis.set_yticks([place + 0.5 for place in range(4, size, 5)], minor=True)
        axis.grid(which="minor", color="#cccccc", linewidth=0.6)
        axis.tick_params(which="minor", length=0)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.set_title(f"{benchmark.title or benchmark.name}: % of the frames of each true class", fontsize=9)
    figure.colorbar(image, shrink=0.7)
    _save(figure, path)


def draw_ribbons(benchmark: Benchmark, predictions: Sequence[int], path: str | os.PathLike) -> None:
    """
    Writes a PNG with two ribbons for each video, the true classes above the predicted ones. Every labelled frame is at
    its time, or at its number where times are not known; between frames that have a label they are white.

    Args:
        benchmark: Of one class a frame.
        predictions: Of `benchmark.rows`, in order.
        path: File to write, beside and then renamed.
    """
    from matplotlib.patches import Patch

    labels = {name: benchmark.labels(name) for name in benchmark.videos}
    ends = np.cumsum([len(of_video) for of_video in labels.values()])[:-1]
    parts = np.split(np.asarray(predictions, np.int64), ends)
    occurring = np.unique(np.concatenate([*labels.values(), *parts]))
    colours = class_colours(len(benchmark.classes))
    figure = _figure(11, 1.2 + 0.75 * len(labels) + 0.2 * -(-len(occurring) // 4))
    axes = figure.subplots(len(labels), 1, squeeze=False)[:, 0]
    scales = [_scale(benchmark, name) for name in labels]
    for (name, true), predicted, (unit, starts, period), axis in zip(labels.items(), parts, scales, axes, strict=True):
        end = max(starts, default=0.0) + period
        for row, classes in enumerate((true, predicted)):
            _draw_ribbon(axis, row, _columns(starts, period, end, classes), end, colours)
        axis.axhline(1, color="black", linewidth=0.5)
        axis.set_xlim(-end / 300, end + end / 300)  # else the first and last frames are under the frame
        axis.set_ylim(2, 0)
        axis.set_yticks([0.5, 1.5], [f"{name} true", "predicted"], fontsize=7, parse_math=False)
        axis.tick_params(axis="x", labelsize=7)
        if axis is axes[-1] or len({unit for unit, _, _ in scales}) > 1:
            axis.set_xlabel(unit, fontsize=7)
    handles = [Patch(color=colours[place], label=f"{place}  {benchmark.classes[place]}") for place in occurring]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7)
    _save(figure, path)


def draw_model_ribbons(
    benchmark: Benchmark, name: str, predictions: Mapping[str, np.ndarray], prompts: str, path: str | os.PathLike
) -> None:
    """
    Writes a PNG of one video with a ribbon for each model below that of the true classes, as [`draw_ribbons`].

    Args:
        benchmark: Of one class a frame.
        name: Of the video.
        predictions: By model the classes of its labelled frames.
        prompts: Name of the prompt set that these are by.
        path: File to write, beside and then renamed.
    """
    from matplotlib.patches import Patch

    rows = {"true": benchmark.labels(name), **predictions}
    occurring, colours = np.unique(np.concatenate([*rows.values()])), class_colours(len(benchmark.classes))
    longest = max(map(len, rows))
    legend = -(-len(occurring) // 4)
    figure = _figure(11 + 0.06 * max(0, longest - 20), 1.2 + 0.32 * len(rows) + 0.2 * legend)
    axis = figure.subplots()
    unit, starts, period = _scale(benchmark, name)
    end = max(starts, default=0.0) + period
    for row, classes in enumerate(rows.values()):
        _draw_ribbon(axis, row, _columns(starts, period, end, classes), end, colours)
        axis.axhline(row, color="black", linewidth=0.5)
        agree = 100 * (classes == rows["true"]).mean() if len(classes) and row else None
        if agree is not None:
            axis.text(end * 1.005, row + 0.5, f"{agree:.0f} %", va="center", fontsize=7)
    axis.axhline(1, color="black", linewidth=1.5)
    axis.set_xlim(-end / 300, end + end / 300)
    axis.set_ylim(len(rows), 0)
    axis.set_yticks([row + 0.5 for row in range(len(rows))], list(rows), fontsize=8, parse_math=False)
    axis.tick_params(axis="x", labelsize=7)
    axis.set_xlabel(unit, fontsize=7)
    title = f"{benchmark.title or benchmark.name}, {name}, prompts {prompts}: % of frames that are right"
    axis.set_title(title, fontsize=9, parse_math=False)
    handles = [Patch(color=colours[place], label=f"{place}  {benchmark.classes[place]}") for place in occurring]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7)
    _save(figure, path)


def draw_comparison(comparison: "Comparison", average: str, path: str | os.PathLike) -> None:
    """
    Writes a PNG with a panel for each column of the table: for each model its figure and 95 % interval over videos,
    below them, hollow, what others published by their own protocols.

    Args:
        comparison: From [`compare`].
        average: "video_mean" or "all_frames".
        path: File to write, beside and then renamed.
    """
    from .comparison_tables import column_name, published_in, sources

    columns = comparison.columns(average)
    numbers = {source: place for place, source in enumerate(sources(comparison, average), start=1)}
    colours = dict(zip(comparison.models, cycle(_SERIES), strict=False))
    across = min(len(columns), _PANELS)
    heights = []
    for column in columns:
        heights.append(len(comparison.of_column(column)) + len(published_in(comparison, column)))
    down = -(-len(columns) // max(across, 1))
    tallest = [max(heights[row * across : (row + 1) * across], default=1) for row in range(down)]
    figure = _figure(4.6 * max(across, 1), sum(0.9 + 0.26 * tall for tall in tallest) or 1)
    axes = figure.subplots(down, across, squeeze=False, height_ratios=tallest or None).ravel()
    for axis in axes[len(columns) :]:
        axis.set_axis_off()
    for column, axis in zip(columns, axes, strict=False):
        labels = []
        for figure_of in comparison.of_column(column).values():
            row, colour = len(labels), colours[figure_of.model]
            labels.append(figure_of.model)
            if figure_of.value is None:
                continue
            value = 100 * figure_of.value
            if figure_of.interval:
                low, high = (100 * end for end in figure_of.interval)
                axis.plot([low, high], [row, row], color=colour, linewidth=2.5, alpha=0.5, solid_capstyle="butt")
            axis.plot([value], [row], "o", color=colour, markersize=6)
            axis.annotate(
                f"{value:.1f}", (value, row), (0, 6), textcoords="offset points", ha="center", va="bottom", fontsize=6
            )
        for published in published_in(comparison, column):
            labels.append(f"{published.system} [{numbers[published.source]}]")
            row = len(labels) - 1
            axis.plot([published.value], [row], "D", markersize=5, markerfacecolor="white", color="#777777")
            axis.annotate(
                f"{published.value:.1f}",
                *((published.value, row), (7, 0)),
                textcoords="offset points",
                va="center",
                fontsize=6,
                color="#777777",
            )
        axis.set_yticks(range(len(labels)), labels, fontsize=7, parse_math=False)
        axis.set_ylim(max(len(labels), 1) - 0.5, -1)  # room for the first figure
        axis.margins(x=0.12)
        axis.grid(axis="x", color="#dddddd", linewidth=0.6)
        axis.tick_params(axis="x", labelsize=7)
        title = textwrap.fill(f"{column_name(comparison, column)}, %", 62)
        axis.set_title(title, fontsize=8, parse_math=False)
    if numbers:
        said = [f"[{number}] {source}" for source, number in numbers.items()]
        figure.supxlabel(
            "\n".join(["hollow: published by their own protocols", *map(_shortened, said)]),
            fontsize=6,
            parse_math=False,
        )
    _save(figure, path)


def draw_average_precision(report: EvalReport, path: str | os.PathLike) -> None:
    """
    Writes a PNG with the average precision of each class over all frames, and what a score that says nothing gets: the
    share of frames that have the class. Classes that no frame has are named without a bar.

    Args:
        report: Of several classes a frame.
        path: File to write, beside and then renamed.
    """
    rows = report.per_class
    number = int(report.protocol["num_labelled_frames"]) or 1
    figure = _figure(8, 1.2 + 0.22 * len(rows))
    axis = figure.subplots()
    places = np.arange(len(rows))
    values = [row["average_precision_all_frames"] for row in rows]
    axis.barh(places, [100 * (value or 0) for value in values], color="#2f6f9f")
    chance = [100 * row["num_frames"] / number for row in rows]
    axis.scatter(chance, places, marker="|", s=60, color="black", label="chance: share of frames", zorder=3)
    names = [f"{row['class']}  ({row['num_frames']:,} frames)" for row in rows]
    axis.set_yticks(places, names, fontsize=7, parse_math=False)
    for place, value in enumerate(values):
        axis.text(
            100 * (value or 0) + 0.5, place, "–" if value is None else f"{100 * value:.1f}", va="center", fontsize=6
        )
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlim(0, 108)
    axis.set_xlabel("average precision over all frames, %")
    axis.set_title(report.title or report.benchmark, fontsize=10, parse_math=False)
    figure.legend(loc="outside lower center", fontsize=7)
    _save(figure, path)


def draw_presence(benchmark: Benchmark, report: EvalReport, path: str | os.PathLike) -> None:
    """
    Writes a PNG with a panel for each video: for each class when it is there, as bars, and its score, as a line from
    the least to the largest of the video. Of many classes those that most frames have.

    Args:
        benchmark: Of several classes a frame.
        report: Of it, with its scores.
        path: File to write, beside and then renamed.
    """
    counts = sum(benchmark.labels(name).sum(axis=0) for name in benchmark.videos)
    shown = sorted(np.argsort(-counts, kind="stable")[:_ROWS_OF_PRESENCE])
    figure = _figure(11, 0.8 + len(benchmark.videos) * (0.5 + 0.22 * len(shown)))
    axes = figure.subplots(len(benchmark.videos), 1, squeeze=False)[:, 0]
    colours = class_colours(len(benchmark.classes))
    for name, axis in zip(benchmark.videos, axes, strict=True):
        labels, scores = benchmark.labels(name), report.scores[name]
        unit, starts, period = _scale(benchmark, name)
        for row, place in enumerate(shown):
            there = labels[:, place].astype(bool)
            spans = [(start, period) for start in starts[there]]
            axis.broken_barh(spans, (row + 0.05, 0.9), facecolors=colours[place], alpha=0.35)
            score = scores[:, place] if len(scores) else np.zeros(0)
            low, high = (score.min(), score.max()) if len(score) else (0.0, 1.0)
            height = (score - low) / (high - low) if high > low else np.zeros(len(score))
            axis.plot(starts + period / 2, row + 0.95 - 0.9 * height, color="black", linewidth=0.5)
        names = [f"{benchmark.classes[place]}  ({int(labels[:, place].sum()):,})" for place in shown]
        axis.set_yticks([row + 0.5 for row in range(len(shown))], names, fontsize=6, parse_math=False)
        axis.set_ylim(len(shown), 0)
        axis.set_xlim(0, max(starts, default=0.0) + period)
        axis.set_title(name, fontsize=8, parse_math=False)
        axis.tick_params(axis="x", labelsize=7)
        axis.set_xlabel(unit, fontsize=7)
    left_out = len(benchmark.classes) - len(shown)
    more = f"; {left_out} classes that fewer frames have are left out" if left_out else ""
    title = f"{benchmark.title or benchmark.name}: bars, where a class is; lines, its score{more}"
    figure.suptitle(title, fontsize=9, parse_math=False)
    _save(figure, path)


def draw_prediction(
    name: str, video: "PredictedVideo", classes: Sequence[str], smoothing: str, path: str | os.PathLike
) -> None:
    """
    Writes a PNG with the ribbon of the classes predicted for a video, and below it the confidence: the probability of
    the predicted class, or where the model gives none its score, from the least to the largest.

    Args:
        name: Of the video.
        video: From [`predict`].
        classes: Names.
        smoothing: What was done to scores, for the title.
        path: File to write, beside and then renamed.
    """
    from matplotlib.patches import Patch

    occurring, colours = np.unique(video.classes), class_colours(len(classes))
    figure = _figure(11, 2.4 + 0.2 * -(-len(occurring) // 4))
    ribbon, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    period = (video.times[1] - video.times[0] if len(video.times) > 1 else video.duration) / 60
    starts, end = video.times / 60, max(video.duration / 60, 1e-6)
    _draw_ribbon(ribbon, 0, _columns(starts, period, end, video.classes), end, colours)
    ribbon.set_ylim(1, 0)
    ribbon.set_yticks([])
    probabilities = video.probabilities
    values = (video.scores if probabilities is None else probabilities).max(axis=1)
    shown = np.append(values, values[-1:])
    below.fill_between(np.append(starts, end), shown, step="post", color="#2f6f9f", alpha=0.4)
    below.step(np.append(starts, end), shown, where="post", color="#2f6f9f", linewidth=0.7)
    if probabilities is not None:
        below.set_ylim(0, 1)
        below.axhline(1 / len(classes), color="black", linewidth=0.6, linestyle=":")
        below.text(end, 1 / len(classes), " chance", fontsize=6, va="center")
    else:
        below.set_ylim(values.min() - 1e-6, values.max() + 1e-6)
    below.set_ylabel("confidence" if probabilities is not None else "score", fontsize=8)
    below.set_xlim(0, end)
    below.set_xlabel("minutes", fontsize=8)
    below.tick_params(labelsize=7)
    figure.suptitle(f"{name}   (smoothing: {smoothing})", fontsize=9, parse_math=False)
    handles = [Patch(color=colours[place], label=f"{place}  {classes[place]}") for place in occurring]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7)
    _save(figure, path)


def class_colours(number: int) -> np.ndarray:
    """Returns a colour for each class, RGB from 0 to 1, of shape `(number, 3)`; those of neighbours are far apart."""
    golden = (5**0.5 - 1) / 2  # of a turn: no hue comes again, and the next one is on the other side
    lightness = (0.45, 0.7, 0.3)
    return np.array([hls_to_rgb(place * golden % 1, lightness[place % 3], 0.75) for place in range(number)])


def _scale(benchmark: Benchmark, name: str) -> tuple[str, np.ndarray, float]:
    """What the frames of a video are laid out by, where each that has a label starts, and how long one is."""
    video, positions = benchmark.videos[name], benchmark.positions(name)
    starts, unit = np.array([video.times[position] for position in positions]) / 60, "minutes"
    if np.isnan(starts).any():
        starts, unit = np.array([video.numbers[position] for position in positions], float), "frame number"
    steps = np.diff(np.unique(starts))
    return unit, starts, float(steps.min()) if len(steps) else (1 / 60 if unit == "minutes" else 1.0)


def _columns(starts: np.ndarray, period: float, end: float, classes: np.ndarray) -> np.ndarray:
    """
    Returns the class of each of the columns of a ribbon, that of the frame in its middle, or nearest to it; -1 where
    there is none. Not that of most frames, which would show fewer errors than there are.
    """
    columns, width = np.full(_COLUMNS, -1), end / _COLUMNS
    reach = (width + period) / 2 - width * 1e-6  # from the middle of a column to that of a frame that is in it
    for column in range(_COLUMNS if len(starts) else 0):
        distances = abs(starts + period / 2 - (column + 0.5) * width)
        if distances.min() < reach:
            columns[column] = classes[distances.argmin()]
    return columns


def _draw_ribbon(axis: Any, row: int, columns: np.ndarray, end: float, colours: np.ndarray) -> None:
    """With the number of the class where there is room for it."""
    picture = np.ones((1, len(columns), 3))
    picture[0, columns >= 0] = colours[columns[columns >= 0]]
    axis.imshow(picture, aspect="auto", interpolation="nearest", extent=(0, end, row + 1, row))
    borders = np.flatnonzero(np.diff(columns)) + 1
    for start, stop in zip([0, *borders], [*borders, len(columns)], strict=True):
        if columns[start] >= 0 and stop - start > len(columns) / 50:
            shade = "white" if colours[columns[start]] @ (0.3, 0.6, 0.1) < 0.55 else "black"
            middle = (start + stop) / 2 * end / len(columns)
            axis.text(middle, row + 0.5, columns[start], ha="center", va="center", fontsize=6, color=shade)


def _percent(share: float) -> str:
    """Rounded, but neither to nothing nor to all."""
    return "<1" if share < 0.5 else ">99" if 99.5 <= share < 100 else f"{share:.0f}"


def draw_linear_probe(report: EvalReport, path: str | os.PathLike) -> None:
    """
    Writes a PNG of macro F1 by percent of the training procedures: the published bars, and the report's with the
    standard deviation over its seeds, if there are several. Where there is no figure it says so.

    Args:
        report: From [`linear_probe`], with percents.
        path: File to write, beside and then renamed.
    """
    prefix, suffix = "macro_f1_all_frames_at_", "_percent_mean"
    mine = {
        int(name.removeprefix(prefix).removesuffix(suffix)): 100 * value
        for name, value in report.metrics.items()
        if name.startswith(prefix) and name.endswith(suffix) and value is not None
    }
    published = {
        name: {int(percent): value for percent, value in row.items()} for name, row in report.published.items()
    }
    percents = sorted({*mine, *(percent for row in published.values() for percent in row)})
    figure = _figure(2 + 2.2 * len(percents), 4)
    axis = figure.subplots()
    seeds = int(report.protocol["seeds"])
    name = report.model.get("name") or "this model"
    name += f" (mean ± standard deviation of {seeds} draws)" if seeds > 1 else " (one draw)"
    width = 0.8 / (len(published) + 1)
    for place, (label, row) in enumerate([*published.items(), (name, mine)]):
        known = [percent for percent in percents if percent in row]
        own = {"color": "black", "ecolor": "grey"} if place == len(published) else {}
        if own and seeds > 1:
            own["yerr"] = [100 * (report.metrics[f"{prefix}{percent}_percent_std"] or 0.0) for percent in known]
        axis.bar(
            [percents.index(p) + place * width for p in known], [row[p] for p in known], width, label=label, **own
        )
        for lacking in sorted(set(percents) - set(known)):
            where = percents.index(lacking) + place * width
            axis.text(where, 0, " no figure", rotation=90, ha="center", va="bottom", fontsize=7, color="grey")
    centres = [place + width * len(published) / 2 for place in range(len(percents))]
    axis.set_xticks(centres, [f"{percent} %" for percent in percents])
    axis.set_xlabel("of the training procedures")
    axis.set_ylabel("macro F1 over all frames, %")
    axis.set_title(f"{report.benchmark}: linear probing", fontsize=10)
    figure.legend(loc="outside lower center", ncols=4, fontsize=7)
    _save(figure, path)


def draw_contact_sheet(
    title: str, clips: Sequence[tuple[str, torch.Tensor | None]], path: str | os.PathLike, columns: int = 1
) -> None:
    """
    Writes a PNG with a row of frames for each clip under its caption.

    Args:
        title: Above all.
        clips: For each its caption and uint8 frames of shape `(num_frames, 3, height, width)`, None where they cannot
            be read.
        path: File to write, beside and then renamed.
        columns: Of clips, which go down one after the other.
    """
    down = max(1, -(-len(clips) // columns))
    figure = _figure(columns * FRAMES_SHOWN * 1.6, 0.6 + down * 1.8)
    figure.suptitle(title, fontsize=11, parse_math=False)
    strips = figure.subfigures(down, columns, squeeze=False).T.ravel()
    for (caption, frames), strip in zip(clips, strips[: len(clips)], strict=True):
        strip.suptitle(
            "\n".join(map(_shortened, caption.splitlines())),
            x=0.01,
            horizontalalignment="left",
            fontsize=8,
            parse_math=False,
        )
        axes = strip.subplots(1, FRAMES_SHOWN)
        for place, axis in enumerate(axes):
            axis.set_axis_off()
            if frames is not None and place < len(frames):
                axis.imshow(frames[place].permute(1, 2, 0).numpy())
        if frames is None:
            axes[0].text(0, 0.5, "the clip cannot be read", va="center", fontsize=9, color="#b3261e")
    _save(figure, path)


def _shortened(line: str) -> str:
    return textwrap.shorten(line, _LINE, placeholder=" …")


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
