# SPDX-License-Identifier: Apache-2.0
"""Several models on one benchmark, on the same footing: frames read once, and every number with its interval."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from datasets import Dataset

from ..files import write_text
from ..options import option
from .benchmarks import Benchmark
from .benchmarks.published_figures import PublishedFigure, measures_of
from .clip_embeddings import EmbeddingOptions
from .decoding import Decoding
from .launched import Processes
from .linear_probe import Probe, linear_probe, probe_protocol
from .measures import CONFIDENCE, MeasureOptions
from .report import EvalReport
from .retrieval import retrieval
from .video_encoder import VideoEncoder
from .video_store import store_key
from .window_embeddings import View, Windows, embed_views, features_view
from .zero_shot import zero_shot

Task = Literal["zero_shot", "probe", "retrieval"]
AVERAGES = ("video_mean", "all_frames")
RECALLS = ("text_to_video_R@1", "text_to_video_R@5", "video_to_text_R@1")


@dataclass(frozen=True)
class CompareOptions:
    """
    Args:
        tasks: What models are compared at.
        average: Which of the two averages tables show; the CSV files have both.

    Raises:
        ValueError: no task is named.
    """

    tasks: tuple[Task, ...] = option(("zero_shot",), "What models are compared at; retrieval needs --data-dir.")
    average: Literal["video_mean", "all_frames"] = option(
        "video_mean", "Which average tables show: over videos, or over all frames; the CSV files have both."
    )

    def __post_init__(self):
        if not self.tasks:
            raise ValueError("tasks=(), expected some of zero_shot, probe and retrieval")


@dataclass(frozen=True)
class Figure:
    """
    One number of one model.

    Args:
        benchmark: What was measured on.
        task: "zero-shot", "linear probe, 10 %" and the like, or "retrieval".
        prompts: The prompt set; "mean of …" of several; "" where there are none.
        decoding: How scores were decoded over time; "" for the frame-wise figure.
        model: Its name.
        measure: Such as "macro_f1_video_mean".
        value: From 0 to 1; None where there is nothing to measure.
        interval: The ends of its 95 % interval over videos; None where there is one video alone.
        spread: Of several prompt sets the standard deviation (ddof 1), and of probing that over seeds (ddof 0).
        draws: Its values in the draws of videos, which are the same for all models.
    """

    benchmark: str
    task: str
    prompts: str
    decoding: str
    model: str
    measure: str
    value: float | None
    interval: tuple[float, float] | None = None
    spread: float | None = None
    draws: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def column(self) -> tuple[str, str, str, str, str]:
        """What a column of a table has in common."""
        return (self.benchmark, self.task, self.prompts, self.decoding, self.measure)


@dataclass(frozen=True)
class Difference:
    """
    Of two models on the same videos.

    Args:
        one, other: Figures of one column.
        value: Of `one` minus that of `other`.
        interval: The ends of its 95 % interval, from the differences in each draw of videos.
    """

    one: Figure
    other: Figure
    value: float
    interval: tuple[float, float] | None


@dataclass
class ComparedModel:
    """
    Args:
        parameters: Their number.
        licence: As its card says it; None where that is not known.
        about: As a report has the model.
        seen: By benchmark how it was shown frames and texts.
        seconds: By benchmark how long embedding it took, over all runs.
    """

    parameters: int
    licence: str | None
    about: dict[str, str | None]
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Comparison:
    """
    Args:
        figures: All numbers.
        models: By name.
        titles: Of the benchmarks.
        protocols: By benchmark the choices that are the same for all models.
        published: By benchmark what others measured.
        predictions: By benchmark, video and model the classes that are predicted frame by frame with the first prompt
            set.
        reports: By benchmark, model and prompt set what [`zero_shot`] returns, without scores.
        frames_read: By benchmark how many frames were read, once for all models.
        notes: What is not there, and why.
    """

    figures: list[Figure] = field(default_factory=list)
    models: dict[str, ComparedModel] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    protocols: dict[str, dict[str, Any]] = field(default_factory=dict)
    published: dict[str, list[PublishedFigure]] = field(default_factory=dict)
    predictions: dict[str, dict[str, dict[str, np.ndarray]]] = field(default_factory=dict)
    reports: dict[tuple[str, str, str], EvalReport] = field(default_factory=dict)
    frames_read: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def columns(self, average: str, decoded: bool = False) -> list[tuple[str, str, str, str, str]]:
        """Returns the columns of a table: of several prompt sets their means."""
        chosen = []
        for figure in self.figures:
            several = any(f.prompts.startswith("mean of") for f in self.figures if f.benchmark == figure.benchmark)
            shown = not several or not figure.prompts or figure.prompts.startswith("mean of")
            averaged = figure.measure.endswith(average) or not figure.measure.endswith(AVERAGES)
            if shown and averaged and bool(figure.decoding) == decoded and figure.column not in chosen:
                chosen.append(figure.column)
        return chosen

    def of_column(self, column: tuple[str, str, str, str, str]) -> dict[str, Figure]:
        """Returns the figures of a column, by model."""
        return {figure.model: figure for figure in self.figures if figure.column == column}

    def differences(self) -> Iterator[Difference]:
        """Yields each pair of models in each column."""
        for column in dict.fromkeys(figure.column for figure in self.figures):
            figures = [figure for figure in self.of_column(column).values() if figure.value is not None]
            for one, other in combinations(figures, 2):
                draws = None if one.draws is None or other.draws is None else one.draws - other.draws
                yield Difference(one, other, one.value - other.value, None if draws is None else interval_of(draws))


def interval_of(draws: np.ndarray) -> tuple[float, float] | None:
    """Returns the ends of the 95 % interval of draws, as `scipy.stats.bootstrap` with method "percentile"."""
    if np.isnan(draws).all():
        return None
    low, high = np.nanpercentile(draws, (50 - CONFIDENCE / 2, 50 + CONFIDENCE / 2))
    return float(low), float(high)


def compare(
    models: Mapping[str, VideoEncoder],
    benchmark: Benchmark,
    output_dir: str | os.PathLike,
    train: Benchmark | None = None,
    prompt_sets: Mapping[str, Benchmark] | None = None,
    options: CompareOptions | None = None,
    windows: Windows | None = None,
    measures: MeasureOptions | None = None,
    probe: Probe | None = None,
    decoding: Decoding | None = None,
    embedding: EmbeddingOptions | None = None,
    licences: Mapping[str, str | None] | None = None,
) -> Comparison:
    """
    Measures models on a benchmark: zero-shot recognition, linear probing, or both. A frame is read once for all models
    that still need it, and preprocessed once for those that do it alike. Features lie in `output_dir`, a file a video
    as soon as it is done, so that a comparison that was stopped goes on, and one with more models or prompts reads
    only what is new to it.

    Under `accelerate launch` or torchrun the processes share the videos, and each returns the whole comparison.

    Args:
        models: By name.
        benchmark: The split that is tested on.
        output_dir: For features and probes that are done.
        train: The training split, for probing and `decoding.viterbi`.
        prompt_sets: By name the benchmark with other prompts; by default its own. Of several there are means, too.
        options: What is compared.
        windows, measures, probe, decoding: As [`zero_shot`] and [`linear_probe`]. Each model is shown as many frames
            as it takes, if `windows` does not say.
        embedding: How windows are embedded.
        licences: Of the models' weights, by name.

    Raises:
        FileNotFoundError, VideoDecodeError: a frame or video cannot be read.
        ValueError: an argument does not go with the benchmark, or a file in `output_dir` is of another comparison.
    """
    options, windows, measures = options or CompareOptions(), windows or Windows(), measures or MeasureOptions()
    embedding, probe = embedding or EmbeddingOptions(), probe or Probe()
    prompt_sets = prompt_sets or {_first_words(benchmark.protocol.get("prompts")): benchmark}
    comparison = Comparison(
        models={
            name: ComparedModel(_count_parameters(model), (licences or {}).get(name), model.describe())
            for name, model in models.items()
        },
        titles={benchmark.name: benchmark.title or benchmark.name},
        published={
            benchmark.name: [*benchmark.published.zero_shot_figures] * ("zero_shot" in options.tasks)
            + [*benchmark.published.linear_probe_figures] * ("probe" in options.tasks)
        },
    )
    scored, probed = _who_does_what(models, benchmark, train, options, comparison)
    protocol = _shared_protocol(benchmark, windows, measures)
    if scored:
        protocol["prompts"] = "; ".join(str(variant.protocol.get("prompts")) for variant in prompt_sets.values())
    if probed and train is not None:
        protocol |= {
            name: value for name, value in probe_protocol(train, benchmark, probe).items() if name != "features"
        }
    comparison.protocols[benchmark.name] = protocol
    folder = Path(output_dir)
    _read_once(models, scored, probed, benchmark, train, windows, embedding, folder / "features", comparison)
    settings = (windows, measures, embedding)
    for name, model in models.items():
        comparison.models[name].seen[benchmark.name] = {
            **{name: value for name, value in windows.protocol_of(model).items() if name != "window_frames"},
            **model.frame_protocol(),
        }
        if name in scored:
            _add_zero_shot(comparison, name, model, benchmark, prompt_sets, settings, decoding, train, folder)
        if name in probed and train is not None:
            _add_probe(comparison, name, model, train, benchmark, settings, probe, folder)
    return comparison


def compare_retrieval(
    models: Mapping[str, VideoEncoder],
    dataset: Dataset,
    name: str,
    title: str,
    output_dir: str | os.PathLike,
    protocol: Mapping[str, Any],
    measures: MeasureOptions | None = None,
    embedding: EmbeddingOptions | None = None,
    licences: Mapping[str, str | None] | None = None,
) -> Comparison:
    """
    Measures models at retrieval on a corpus; each reads its clips by itself.

    Args:
        models, embedding, licences: As [`compare`].
        dataset: As [`retrieval`].
        name, title: Of the corpus.
        output_dir: For the embeddings of clips.
        protocol: Which captions these are.
        measures: How many draws there are for intervals.
    """
    resamples = (measures or MeasureOptions()).resamples
    comparison = Comparison(titles={name: title}, protocols={name: dict(protocol)})
    for model, encoder in models.items():
        about = ComparedModel(_count_parameters(encoder), (licences or {}).get(model), encoder.describe())
        comparison.models[model] = about
        if not encoder.has_text_encoder:
            comparison.notes.append(f"{model} has no text encoder: no retrieval")
            continue
        report = retrieval(
            *(encoder, None, dataset, name),
            options=embedding,
            parts=Path(output_dir) / "clips",
            resamples=resamples,
        )
        if report.unreadable:
            comparison.notes.append(f"{title}: {len(report.unreadable):,} clips cannot be read and are left out")
        about.seen[name] = {"window_num_frames": encoder.num_frames, **encoder.frame_protocol()}
        about.seconds[name] = report.seconds
        comparison.protocols[name] |= {
            key: report.protocol[key] for key in ("num_clips", "num_captions", "match", "ties", "intervals")
        }
        for measure in RECALLS:
            values = report.metrics[measure], report.draws.get(measure)
            comparison.figures.append(_figure((name, "retrieval", "", "", measure), model, *values))
    comparison.notes = list(dict.fromkeys(comparison.notes))
    return comparison


def join(comparisons: Sequence[Comparison]) -> Comparison:
    """Returns one comparison of the same models on several benchmarks."""
    joined = Comparison()
    for comparison in comparisons:
        joined.figures += comparison.figures
        joined.notes += [note for note in comparison.notes if note not in joined.notes]
        for name, model in comparison.models.items():
            known = joined.models.setdefault(name, replace(model, seen={}, seconds={}))
            known.seen |= model.seen
            known.seconds |= model.seconds
        for item in ("titles", "protocols", "published", "predictions", "reports", "frames_read"):
            if twice := set(getattr(joined, item)) & set(getattr(comparison, item)):
                raise ValueError(f"{min(twice)} is compared twice, expected each benchmark once")
            getattr(joined, item).update(getattr(comparison, item))
    return joined


def _who_does_what(
    models: Mapping[str, VideoEncoder],
    benchmark: Benchmark,
    train: Benchmark | None,
    options: CompareOptions,
    comparison: Comparison,
) -> tuple[set[str], set[str]]:
    """Which models are scored by texts and which are probed; notes say why others are not."""
    scored = {name for name, model in models.items() if "zero_shot" in options.tasks and model.has_text_encoder}
    for name in models:
        if "zero_shot" in options.tasks and name not in scored:
            comparison.notes.append(f"{name} has no text encoder: no zero-shot recognition")
    if "probe" not in options.tasks:
        return scored, set()
    if benchmark.kind != "single_label":
        comparison.notes.append(f"{benchmark.name} has several classes a frame: no linear probing")
        return scored, set()
    if train is None:
        raise ValueError(f"{benchmark.name} is read without its training split, which probing needs")
    return scored, set(models)


def _read_once(
    models: Mapping[str, VideoEncoder],
    scored: set[str],
    probed: set[str],
    benchmark: Benchmark,
    train: Benchmark | None,
    windows: Windows,
    embedding: EmbeddingOptions,
    folder: Path,
    comparison: Comparison,
) -> None:
    """Fills the features of every model that lacks some."""
    comparison.frames_read[benchmark.name] = 0

    def seen(count: int) -> None:
        comparison.frames_read[benchmark.name] += count

    views: dict[str, list[View]] = {"test": [], "train": []}
    for name, model in models.items():
        # Of a model that scores by its embeddings both are the same features.
        both_ways = type(model).score is not VideoEncoder.score
        ways = [True] * (name in scored) + [False] * (name in probed and (both_ways or name not in scored))
        views["test"] += [features_view(folder, benchmark, model, windows, way) for way in ways]
        if name in probed and train is not None:
            views["train"].append(features_view(folder, train, model, windows, scored=False))
    with ExitStack() as stack:
        for model in models.values():
            stack.enter_context(model.evaluating())
        for split, of_split in (("test", benchmark), ("train", train)):
            if of_split is not None and views[split]:
                for _ in embed_views(views[split], of_split, embedding.batch_size, embedding.num_workers, seen):
                    pass
    comparison.frames_read[benchmark.name] = sum(Processes().gather(comparison.frames_read[benchmark.name]))


def _add_zero_shot(
    comparison: Comparison,
    name: str,
    model: VideoEncoder,
    benchmark: Benchmark,
    prompt_sets: Mapping[str, Benchmark],
    settings: tuple[Windows, MeasureOptions, EmbeddingOptions],
    decoding: Decoding | None,
    train: Benchmark | None,
    folder: Path,
) -> None:
    windows, measures, embedding = settings
    by_column: dict[tuple[str, str, str], list[Figure]] = {}
    decoded = decoding if benchmark.kind == "single_label" else None
    if decoding and not decoded:
        comparison.notes.append(f"{benchmark.name} has several classes a frame: no decoding over time")
    if decoded and decoded.viterbi and model.logit_scale is None:
        comparison.notes.append(f"{name} says no scale of its scores: no viterbi")
        decoded = replace(decoded, viterbi=False)
    seen = comparison.models[name].seen[benchmark.name]
    every = chain.from_iterable(of_class for variant in prompt_sets.values() for of_class in variant.prompts)
    seen |= model.text_protocol([*every])
    for prompts, variant in prompt_sets.items():
        report = zero_shot(
            *(model, None, variant, windows, measures, None, embedding.batch_size, embedding.num_workers),
            decoding=decoded,
            train=train,
            features_dir=folder / "features",
        )
        comparison.reports[benchmark.name, name, prompts] = replace(report, scores={})
        comparison.models[name].seconds[benchmark.name] = report.seconds
        seen |= {key: report.protocol[key] for key in ("score", "trained_on_videos")}
        seen |= {way["name"]: way["how"] for way in report.decoded}
        if benchmark.kind == "single_label" and prompts == next(iter(prompt_sets)):
            _add_predictions(comparison, name, report)
        for way, values in [("", report.metrics), *((way["name"], way["metrics"]) for way in report.decoded)]:
            for measure in _measures(benchmark):
                if measure in values:
                    draws = report.draws.get(f"{way}: {measure}" if way else measure)
                    column = (benchmark.name, "zero-shot", prompts, way, measure)
                    found = _figure(column, name, values[measure], draws)
                    by_column.setdefault((way, measure, ""), []).append(found)
                    comparison.figures.append(found)
    if len(prompt_sets) > 1:
        together = f"mean of {', '.join(prompt_sets)}"
        comparison.figures += [_mean(found, together) for found in by_column.values()]


def _add_predictions(comparison: Comparison, name: str, report: EvalReport) -> None:
    of_videos = comparison.predictions.setdefault(report.benchmark, {})
    for video, scores in report.scores.items():
        of_videos.setdefault(video, {})[name] = scores.argmax(axis=1)


def _add_probe(
    comparison: Comparison,
    name: str,
    model: VideoEncoder,
    train: Benchmark,
    test: Benchmark,
    settings: tuple[Windows, MeasureOptions, EmbeddingOptions],
    probe: Probe,
    folder: Path,
) -> None:
    windows, measures, embedding = settings
    parts = [model.describe(), test.fingerprint, train.fingerprint, asdict(probe), asdict(windows), asdict(measures)]
    parts += [model.frame_protocol(), test.protocol["frame_reading"]]
    path = folder / "probes" / f"{test.name}-{store_key(*parts)}.json"
    if not path.is_file():
        report = linear_probe(
            *(model, None, train, test, probe, windows, folder / "features"),
            *(embedding.batch_size, embedding.num_workers, measures),
        )
        amounts = [f"{percent}_percent" for percent in probe.percents] + [f"{shots}_shots" for shots in probe.shots]
        figures = {
            f"{measure}_at_{amount}": {
                "value": report.metrics[f"{measure}_at_{amount}_mean"],
                "std": report.metrics[f"{measure}_at_{amount}_std"],
                "draws": report.draws.get(f"{measure}_at_{amount}_mean", np.zeros(0)).tolist(),
            }
            for amount in amounts
            for measure in _measures(test)
        }
        if not Processes().index:
            path.parent.mkdir(parents=True, exist_ok=True)
            fits = f"{report.protocol['num_fits_not_converged']} of {report.protocol['num_fits']}"
            content = {"features": report.protocol["features"], "fits_not_converged": fits}
            content |= {"seconds": report.seconds, "figures": figures}
            write_text(path, json.dumps(content))
        Processes().gather(None)  # which waits until it is there
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        comparison.models[name].seen[test.name] |= {
            "probed_features": content["features"],
            "fits_not_converged": content["fits_not_converged"],
        }
        comparison.models[name].seconds[f"{test.name}, probe"] = content["seconds"]
        for key, values in content["figures"].items():
            measure, amount = key.split("_at_")
            task = f"linear probe, {amount.replace('_percent', ' %').replace('_', ' ')}"
            draws = np.array(values["draws"]) if values["draws"] else None
            found = _figure((test.name, task, "", "", measure), name, values["value"], draws)
            comparison.figures.append(replace(found, spread=values["std"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error!r}); delete it") from error


def _figure(
    column: tuple[str, str, str, str, str], model: str, value: float | None, draws: np.ndarray | None
) -> Figure:
    benchmark, task, prompts, decoding, measure = column
    interval = None if draws is None else interval_of(draws)
    return Figure(benchmark, task, prompts, decoding, model, measure, value, interval, draws=draws)


def _mean(figures: list[Figure], prompts: str) -> Figure:
    """Over prompt sets, draw by draw."""
    if any(figure.value is None for figure in figures):
        return replace(figures[0], prompts=prompts, value=None, interval=None, draws=None)
    values = [figure.value for figure in figures if figure.value is not None]
    draws = [figure.draws for figure in figures if figure.draws is not None]
    together = np.mean(draws, axis=0) if len(draws) == len(figures) else None
    return replace(
        figures[0],
        prompts=prompts,
        value=float(np.mean(values)),
        spread=float(np.std(values, ddof=1)),
        interval=None if together is None else interval_of(together),
        draws=together,
    )


def _measures(benchmark: Benchmark) -> list[str]:
    """Names of what a table has of a benchmark, by both averages."""
    return [f"{measure}_{average}" for average in AVERAGES for measure in measures_of(benchmark.kind)]


def _shared_protocol(benchmark: Benchmark, windows: Windows, measures: MeasureOptions) -> dict[str, Any]:
    shown = {"window_frames": windows.protocol(0)["window_frames"], "window": "as each model is shown, below"}
    read = {name: value for name, value in benchmark.protocol.items() if not name.startswith("prompts")}
    return {**read, **shown, **measures.protocol(len(benchmark.videos), benchmark.kind)}


def _count_parameters(encoder: VideoEncoder) -> int:
    modules = [value for value in vars(encoder).values() if isinstance(value, torch.nn.Module)]
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _first_words(prompts: Any) -> str:
    """The name of a prompt set, of what a protocol says of it."""
    return re.split(r"[:;]", str(prompts or "prompts"))[0]
