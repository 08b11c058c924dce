# SPDX-License-Identifier: Apache-2.0
"""Linear probing: how much a linear classifier finds in frozen features, from a part of the training procedures."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from tqdm.auto import tqdm

from ..options import option
from .benchmarks import Benchmark
from .classifiers import SETTINGS, Classifier, fit_and_predict
from .encoders import encoder_of
from .measures import Measured, MeasureOptions, Table, mean_of_draws, measure_single_label
from .metrics import single_label_metrics
from .overlap import benchmark_overlap
from .report import EvalReport, library_versions
from .video_store import VideoResult
from .window_embeddings import FEATURES, Windows, embed_view, features_view

DRAWS = (
    "by NumPy's default_rng of the seeds 0, 1, …; whole procedures, their number rounded, at least one, larger parts "
    "holding smaller ones; mean and standard deviation (ddof 0) over the seeds"
)


@dataclass(frozen=True)
class Probe:
    """
    What is probed, and from how much.

    Args:
        features: "raw" (the backbone's), "projected" (into the space shared with text) or "both", side by side; by
            default what the model gives of these.
        classifier: "logistic_regression" or "torch_linear".
        percents: Of the training procedures, not of their frames; at least one procedure.
        shots: Few-shot instead: so many frames of each class, from all training procedures.
        seeds: How many draws of procedures or frames are averaged.

    Raises:
        ValueError: a value is none of these.
    """

    features: Literal["raw", "projected", "both"] | None = option(
        None, "Of the backbone, projected beside texts, or both (default: both, or which the model has)."
    )
    classifier: Classifier = option("logistic_regression", "What is fitted.")
    percents: tuple[int, ...] = option((10, 50, 100), "Of the training procedures.", metavar="P")
    shots: tuple[int, ...] = option((), "Few-shot instead: so many frames of each class.", metavar="N")
    seeds: int = option(5, "Draws that are averaged.", metavar="N")

    def __post_init__(self):
        if self.features not in (None, *FEATURES, "both"):
            raise ValueError(f"features={self.features!r}, expected 'raw', 'projected' or 'both'")
        if self.classifier not in SETTINGS:
            raise ValueError(f"classifier={self.classifier!r}, expected one of {', '.join(SETTINGS)}")
        if len({*self.percents}) < len(self.percents) or len({*self.shots}) < len(self.shots):
            raise ValueError(f"percents={self.percents}, shots={self.shots}, expected each once")
        if not all(1 <= percent <= 100 for percent in self.percents):
            raise ValueError(f"percents={self.percents}, expected numbers from 1 to 100")
        if self.seeds < 1 or not all(shots >= 1 for shots in self.shots):
            raise ValueError(f"seeds={self.seeds}, shots={self.shots}, expected whole numbers >= 1")


def linear_probe(
    model: Any,
    processor: Any,
    train: Benchmark,
    test: Benchmark,
    probe: Probe | None = None,
    windows: Windows | None = None,
    cache_dir: str | os.PathLike | None = None,
    batch_size: int = 32,
    num_workers: int = 0,
    measures: MeasureOptions | None = None,
) -> EvalReport:
    """
    Fits linear classifiers to frozen features of a part of the training procedures, and evaluates them on all test
    procedures; reports mean and standard deviation (of the draws, not of their mean) over seeds.

    Args:
        model, processor: As [`zero_shot`].
        train: Benchmark of one class a frame, its training split.
        test: The same benchmark, its test split.
        probe: What is probed; by default the features there are, 10, 50 and 100 % and five seeds, as far as the
            published figure's protocol is known.
        windows, measures: As [`zero_shot`].
        cache_dir: Folder for the features, computed once: below it one for each model, data and window.
        batch_size: Windows a forward pass; changes features by rounding alone.
        num_workers: Processes that read frames.

    Returns:
        The [`EvalReport`], with metrics such as `macro_f1_all_frames_at_10_percent_mean` and `…_std`.

    Raises:
        ValueError: the benchmarks differ, share a video, or have several classes a frame.
        FileNotFoundError, VideoDecodeError: a frame or video cannot be read.
    """
    probe, windows, measures = probe or Probe(), windows or Windows(), measures or MeasureOptions()
    _check(train, test)
    encoder = encoder_of(model, processor)
    description = encoder.describe()
    seen = {**windows.protocol_of(encoder), **encoder.frame_protocol()}
    features = {}
    for name, benchmark in (("train", train), ("test", test)):
        view = features_view(cache_dir, benchmark, encoder, windows, scored=False)
        with encoder.evaluating():
            features[name] = embed_view(view, benchmark, batch_size, num_workers)
    probe = replace(probe, features=probe.features or _what_is_there(features))
    started = time.perf_counter()
    metrics: dict[str, float | None] = {}
    fits: list[bool] = []
    draws = list(_draws(train, probe))
    intervals: dict[str, list[float]] = {}
    per_video: Table = []
    resampled: dict[str, np.ndarray] = {}
    for amount in tqdm(dict.fromkeys(amount for amount, _ in draws), desc="linear probe", unit="amount", delay=0.5):
        found = [
            _evaluate(train, test, features, chosen, probe, seed, fits, measures)
            for seed, chosen in enumerate(chosen for other, chosen in draws if other == amount)
        ]
        for name, value in found[0].values.items():
            values = [measured.values[name] for measured in found]
            known = value is not None
            metrics[f"{name}_at_{amount}_mean"] = float(np.mean(values)) if known else None
            metrics[f"{name}_at_{amount}_std"] = float(np.std(values)) if known else None
        together = mean_of_draws(found)
        intervals |= {f"{name}_at_{amount}_mean": ends for name, ends in together.intervals().items()}
        resampled |= {f"{name}_at_{amount}_mean": values for name, values in together.draws.items()}
        per_video += [{"amount": amount.replace("_", " "), **row} for row in together.per_video]
    embedding = sum(result.seconds for results in features.values() for result in results.values())
    report = EvalReport(
        benchmark=test.name,
        metrics=metrics,
        protocol={
            **{name: value for name, value in test.protocol.items() if not name.startswith("prompts")},
            **seen,
            **probe_protocol(train, test, probe),
            **measures.protocol(len(test.videos), "single_label"),
            "calibration": "expected calibration error of the classifier's probabilities; 15 bins of equal width",
            "num_fits": len(fits),
            "num_fits_not_converged": fits.count(False),
            "trained_on_videos": benchmark_overlap(getattr(encoder, "model", None), test.videos),
        },
        model=description,
        data_fingerprint=f"{train.fingerprint}-{test.fingerprint}",
        versions=library_versions(),
        seconds=round(embedding + time.perf_counter() - started, 3),
        title=test.title,
        published={
            name: {str(percent): value for percent, value in row.items()}
            for name, row in test.published.linear_probe.items()
        },
        published_note=test.published.note,
        intervals=intervals,
        per_video=per_video,
    )
    report.draws = resampled
    return report


def probe_protocol(train: Benchmark, test: Benchmark, probe: Probe) -> dict[str, str | int | float | bool | None]:
    """Returns the choices of a probe, and how the training split was read where that differs from the test split."""
    return {
        **{f"train_{name}": value for name, value in _of_train(train, test).items()},
        **{name: str(value) for name, value in asdict(probe).items()},
        "draws": DRAWS,
        "classifier_settings": SETTINGS[probe.classifier],
    }


def _of_train(train: Benchmark, test: Benchmark) -> dict[str, str | int | float | bool | None]:
    """How the training split was read: its size, and what differs from the test split."""
    always = ("split", "num_videos", "videos", "num_labelled_frames")
    of_train = {name: value for name, value in train.protocol.items() if not name.startswith("prompts")}
    return {name: v for name, v in of_train.items() if name in always or v != test.protocol.get(name)}


def _check(train: Benchmark, test: Benchmark) -> None:
    if (train.name, train.classes) != (test.name, test.classes):
        raise ValueError(f"train is {train.name} and test {test.name}, expected one benchmark")
    if train.kind != "single_label":
        raise ValueError(
            f"{train.name} has several classes a frame; linear probing is for one, as in the published figure"
        )
    for benchmark in (train, test):
        if not any(benchmark.positions(name) for name in benchmark.videos):
            raise ValueError(f"split {benchmark.protocol['split']} of {benchmark.name} has no labelled frame")
    if shared := sorted(set(train.videos) & set(test.videos)):
        raise ValueError(f"video {shared[0]} is in train and in test")


def _what_is_there(features: Mapping[str, Mapping[str, VideoResult]]) -> Literal["raw", "projected", "both"]:
    every = {name for results in features.values() for result in results.values() for name in result.arrays}
    if every == {*FEATURES}:
        return "both"
    return "raw" if "raw" in every else "projected"


def _draws(train: Benchmark, probe: Probe) -> Iterator[tuple[str, Mapping[str, np.ndarray]]]:
    """Yields how much is taken and which rows of which videos, seed by seed. Larger parts hold smaller ones."""
    counts = {name: count for name in train.videos if (count := len(train.positions(name)))}
    every = np.concatenate([np.full(count, place) for place, count in enumerate(counts.values())])
    within = np.concatenate([np.arange(count) for count in counts.values()])
    labels = np.concatenate([train.labels(name) for name in counts])
    names = list(counts)
    for seed in range(probe.seeds):
        order = np.random.default_rng(seed).permutation(len(names))
        for percent in probe.percents:
            count = max(1, round(percent / 100 * len(names)))
            yield (
                f"{percent}_percent",
                {names[place]: np.arange(counts[names[place]]) for place in sorted(order[:count])},
            )
        shuffled = np.random.default_rng(seed).permutation(len(labels))
        for shots in probe.shots:
            rows = [row for label in np.unique(labels) for row in shuffled[labels[shuffled] == label][:shots]]
            chosen = {names[place]: within[[row for row in rows if every[row] == place]] for place in set(every[rows])}
            yield f"{shots}_shots", chosen


def _evaluate(
    train: Benchmark,
    test: Benchmark,
    features: Mapping[str, Mapping[str, VideoResult]],
    chosen: Mapping[str, np.ndarray],
    probe: Probe,
    seed: int,
    fits: list[bool],
    measures: MeasureOptions,
) -> Measured:
    """Returns the measures of one draw; adds to `fits` whether its classifier converged."""
    x = np.concatenate([_choose(features["train"][name], probe)[rows] for name, rows in chosen.items()])
    y = np.concatenate([train.labels(name)[rows] for name, rows in chosen.items()])
    seen = [name for name in test.videos if len(test.labels(name))]
    test_x = [_choose(features["test"][name], probe) for name in seen]
    classes = test.classes
    found, converged = fit_and_predict(probe.classifier, x, y, np.concatenate(test_x), seed, len(classes))
    fits.append(converged)
    by_video = np.split(found, np.cumsum([len(part) for part in test_x])[:-1])
    labels, predictions = [test.labels(name) for name in seen], [part.argmax(axis=1) for part in by_video]
    times = [test.times(name) for name in seen]
    measured = measure_single_label(labels, predictions, len(classes), seen, measures, times, by_video)
    metrics, _ = single_label_metrics(labels, predictions, classes, measures.absent_classes)
    measured.values |= metrics
    return measured


def _choose(result: VideoResult, probe: Probe) -> np.ndarray:
    names = FEATURES if probe.features == "both" else (probe.features,)
    if missing := [name for name in names if name not in result.arrays]:
        found = ", ".join(result.arrays)
        raise ValueError(f"the encoder gives no {missing[0]} features; choose features={found!r} (--features {found})")
    return np.concatenate([result.arrays[name] for name in names], axis=1)
