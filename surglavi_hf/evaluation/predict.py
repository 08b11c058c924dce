# SPDX-License-Identifier: Apache-2.0
"""What a model sees in videos without labels, second by second; and beside labels, how well."""

import csv
import io
import json
import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from scipy.special import softmax
from tqdm.auto import tqdm

from ..files import write_text
from ..media import VIDEO_SUFFIXES, VideoDecodeError, is_file_name, read_header
from ..named_values import read_named_values
from ..options import option
from .benchmarks import find_benchmark
from .benchmarks.definition import check_prompts, choose_prompts
from .benchmarks.readers.segments import Segments
from .clip_embeddings import EmbeddingOptions
from .encoders import text_encoder_of
from .frame_source import VideoFrames
from .launched import Processes
from .measures import MeasureOptions, calibration_protocol, measure_frames
from .report import EvalReport, library_versions
from .video_encoder import VideoEncoder
from .video_store import VideoResult, VideoStore, store_key
from .window_embeddings import Windows, embed_windows
from .zero_shot import embed_classes

REPORT_NAME = "predictions.json"


@dataclass(frozen=True)
class PredictOptions:
    """
    Args:
        fps: Frames a second that are classified.
        smoothing: Scores are averaged over so many seconds around each frame before a class is chosen; 0 for none.

    Raises:
        ValueError: a number is out of range.
    """

    fps: float = option(1.0, "Frames a second that are classified.")
    smoothing: float = option(
        0.0, "Average scores over so many seconds around each frame before a class is chosen; 0 for none.", metavar="S"
    )

    def __post_init__(self):
        if not 0 < self.fps < math.inf or not 0 <= self.smoothing < math.inf:
            raise ValueError(f"fps={self.fps}, smoothing={self.smoothing}, expected a rate > 0 and seconds >= 0")

    def protocol(self) -> dict[str, str | float]:
        """Returns these choices by name."""
        size = self.window
        smoothing = "none" if size == 1 else f"mean of scores over {size} frames ({size / self.fps:g} s), centred"
        return {"frames_per_second": self.fps, "smoothing": smoothing}

    @property
    def window(self) -> int:
        """Frames that are averaged, an odd number."""
        return 2 * int(self.smoothing * self.fps / 2) + 1


@dataclass(frozen=True)
class Segment:
    """
    Args:
        start: In seconds, included.
        end: In seconds, excluded.
        label: The class.
        score: Mean of its scores.
        confidence: Mean of its probabilities; None where the model says no scale.
    """

    start: float
    end: float
    label: str
    score: float
    confidence: float | None


@dataclass(frozen=True)
class PredictedVideo:
    """
    Args:
        path: Of the video.
        duration: In seconds.
        times: Of the frames that were classified, in seconds, of shape `(num_frames,)`.
        scores: Cosine similarities, smoothed, of shape `(num_frames, num_classes)`.
        probabilities: Of the classes, of the same shape; None where the model says no scale.
        segments: Runs of one class.
    """

    path: Path
    duration: float
    times: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray | None
    segments: tuple[Segment, ...]

    @property
    def classes(self) -> np.ndarray:
        """The class of each frame, of shape `(num_frames,)`."""
        return self.scores.argmax(axis=1)


@dataclass
class Prediction:
    """
    Args:
        classes: Names, by class index.
        videos: By name.
        unreadable: Why others could not be read, by path.
        protocol: Every choice that results depend on.
        model: As a report has it.
        report: Measures, where labels were given.
    """

    classes: tuple[str, ...]
    videos: dict[str, PredictedVideo]
    unreadable: dict[str, str]
    protocol: dict[str, Any]
    model: dict[str, str | None]
    report: EvalReport | None = None


@dataclass(frozen=True)
class _Source:
    path: Path
    duration: float
    frames: VideoFrames = field(repr=False)


@dataclass(frozen=True)
class _Labels:
    """Of some of the videos: the class of each of their frames that has one."""

    path: Path
    reader: Segments
    by_video: Mapping[str, Mapping[int, int]]


def predict(
    model: Any,
    processor: Any,
    videos: Sequence[str | os.PathLike],
    prompts: str | os.PathLike | Mapping[str, str | list[str]],
    output_dir: str | os.PathLike,
    options: PredictOptions | None = None,
    windows: Windows | None = None,
    embedding: EmbeddingOptions | None = None,
    labels: str | os.PathLike | None = None,
    measures: MeasureOptions | None = None,
) -> Prediction:
    """
    Classifies the frames of videos by the prompts of classes, as [`zero_shot`] does those of a benchmark, and writes
    into `output_dir` for each video a table of segments, `NAME.csv`, which [`Segments`] reads; `predictions.json`,
    what they depend on; and `scores/`, from which a prediction that was stopped goes on. Under `accelerate launch` the
    processes share the videos; the first writes.

    Args:
        model, processor: As [`zero_shot`].
        videos: Files, or folders of them.
        prompts: A YAML or JSON file of class names with a text or texts each, a mapping of that form, or the name or
            YAML file of a benchmark whose classes and prompts are taken.
        output_dir: Made where it is not there.
        options, windows, embedding: How frames are chosen, seen and embedded. `embedding.strict` ends at the first
            video that cannot be read; else it is left out and listed.
        labels: A table `video,start,end,label` of some of the videos, whose frames are measured.
        measures: What is measured of them.

    Raises:
        FileNotFoundError: a video, prompts or labels are not there.
        ValueError: two videos have one name, nothing can be read, or scores there are of another prediction.
    """
    options, windows = options or PredictOptions(), windows or Windows()
    embedding, measures = embedding or EmbeddingOptions(), measures or MeasureOptions()
    encoder, output_dir = text_encoder_of(model, processor), Path(output_dir)
    classes, texts, prompts_from = _classes(prompts)
    paths = _paths(videos)
    sources, unreadable = _open(paths, options, embedding.strict)
    known = None if labels is None else _labels(Path(labels), classes, options, paths, sources)
    seen = {**windows.protocol_of(encoder), **encoder.frame_protocol(), "frames_per_second": options.fps}
    read = encoder.text_protocol(list(dict.fromkeys(text for of_class in texts for text in of_class)))
    description, processes = encoder.describe(), Processes()
    counts = {name: len(source.frames) for name, source in sources.items()}

    def score_mine() -> dict[str, tuple[VideoResult | None, str | None]]:
        """The scores of this process's videos, or why there are none."""
        results: dict[str, tuple[VideoResult | None, str | None]] = {}
        mine = processes.share(counts)
        total = sum(counts[name] for name in mine)
        with tqdm(total=total, desc="predict", unit="frame", disable=processes.index > 0) as progress:
            for name in mine:
                source = sources[name]
                about = (source.path.name, source.path.stat().st_size, source.duration)
                key = store_key(about, description, classes, texts, seen, read)
                store = VideoStore(output_dir / "scores", key)
                if (known := store.read(name, counts[name])) is not None:
                    progress.update(counts[name])
                    results[name] = known, None
                    continue
                try:
                    result = _score(encoder, source, class_embeds, windows, embedding, progress)
                except (OSError, ValueError, VideoDecodeError) as error:
                    if embedding.strict:
                        raise
                    results[name] = None, _words(error, source.path)
                    continue
                store.write(name, {"time": list(source.frames.times), "frame": list(range(counts[name]))}, result)
                results[name] = result, None
        return results

    with encoder.evaluating():
        class_embeds = embed_classes(encoder, texts)
        scored = {name: found for part in processes.together(score_mine) for name, found in part.items()}
    unreadable |= {str(sources[name].path): reason for name, (_, reason) in scored.items() if reason}
    predicted = {
        name: _predicted(sources[name], result.arrays["scores"], classes, options, encoder.logit_scale)
        for name in sources
        if (result := scored[name][0]) is not None
    }
    if not predicted:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in list(unreadable.items())[:3])
        raise ValueError(f"none of {len(paths)} videos can be read ({reasons})")
    protocol = {
        "classes": f"{len(classes)}: {', '.join(classes)}",
        "prompts": prompts_from,
        **options.protocol(),
        **seen,
        **read,
        "score": f"{encoder.score_protocol}; of equal ones the first class",
        "confidence": "none: the model says no scale of its cosine similarities"
        if encoder.logit_scale is None
        else f"softmax of scores times {encoder.logit_scale:.4g}, the model's own scale",
    }
    prediction = Prediction(classes, predicted, unreadable, protocol, description)
    if not processes.index:
        _write(prediction, output_dir)
    if known is not None:
        prediction.report = _measured(prediction, known, measures, encoder, texts)
    return prediction


def check_request(
    videos: Sequence[str | os.PathLike],
    prompts: str | os.PathLike | Mapping[str, str | list[str]],
    options: PredictOptions,
    labels: str | os.PathLike | None,
) -> None:
    """
    Raises what [`predict`] would of the names and tables it is given, before a model is loaded.

    Args:
        videos, prompts, options, labels: As [`predict`].
    """
    classes, paths = _classes(prompts)[0], _paths(videos)
    if labels is not None:
        _label_reader(Path(labels), classes, options, paths)


def _classes(prompts: Any) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], str]:
    """Names, texts, and where they come from."""
    if not isinstance(prompts, Mapping):
        path = Path(prompts)
        if not path.is_file():
            if path.suffix.lower() in (".yaml", ".yml", ".json"):
                raise FileNotFoundError(f"no prompts at {path}, expected a YAML or JSON file of classes and texts")
            definition = find_benchmark(str(prompts))
            return definition.classes, *choose_prompts(definition, None)
        given = read_named_values(path)
        if isinstance(given, Mapping) and {"classes", "kind"} <= given.keys():
            definition = find_benchmark(path)
            return definition.classes, *choose_prompts(definition, None)
        where, said = str(path), f"file {path.name}"
    else:
        given, where, said = prompts, "prompts", "given by the caller"
    if not isinstance(given, Mapping) or len(given) < 2 or not all(isinstance(name, str) for name in given):
        raise ValueError(f"{where}: expected at least two class names, each with a text or a list of texts")
    classes = tuple(given)
    return classes, check_prompts(classes, given, where), said


def _paths(videos: Sequence[str | os.PathLike]) -> dict[str, Path]:
    """Files by name, which is that of the file without its suffix."""
    found: dict[str, Path] = {}
    for given in map(Path, videos):
        inside = [given]
        if given.is_dir():
            inside = sorted(path for path in given.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
            if not inside:
                raise FileNotFoundError(f"no videos in {given}, expected files such as NAME.mp4")
        elif not given.is_file():
            raise FileNotFoundError(f"no video at {given}")
        for path in inside:
            if not is_file_name(path.stem):
                raise ValueError(f"the name of {path} cannot be that of a table; rename it")
            if (other := found.setdefault(path.stem, path)).absolute() != path.absolute():
                raise ValueError(f"{other} and {path} have one name, which their results would share; rename one")
    if not found:
        raise ValueError("no videos are given, expected files or folders of them")
    return found


def _open(
    paths: Mapping[str, Path], options: PredictOptions, strict: bool
) -> tuple[dict[str, _Source], dict[str, str]]:
    sources, unreadable = {}, {}
    for name, path in paths.items():
        try:
            duration = read_header(str(path)).duration
            if not duration:
                raise ValueError("it does not say how long it is; remux it (ffmpeg -i IN -c copy OUT.mp4)")
        except (OSError, ValueError, VideoDecodeError) as error:
            if strict:
                raise ValueError(f"{path} cannot be read ({_words(error, path)})") from error
            unreadable[str(path)] = _words(error, path)
            continue
        count = max(1, math.ceil(duration * options.fps - 1e-6))
        sources[name] = _Source(path, duration, VideoFrames(path, tuple(n / options.fps for n in range(count))))
    return sources, unreadable


def _score(
    encoder: VideoEncoder,
    source: _Source,
    class_embeds: torch.Tensor,
    windows: Windows,
    embedding: EmbeddingOptions,
    progress: tqdm,
) -> VideoResult:
    started, number = time.perf_counter(), len(source.frames)
    around = windows.shown(encoder, range(number), number)
    parts = []
    for embeds in embed_windows(encoder, source.frames, around, embedding.batch_size, embedding.num_workers):
        parts.append(encoder.score(embeds, class_embeds))
        progress.update(len(parts[-1]))
    return VideoResult({"scores": torch.cat(parts).numpy()}, time.perf_counter() - started)


def _predicted(
    source: _Source, scores: np.ndarray, classes: tuple[str, ...], options: PredictOptions, scale: float | None
) -> PredictedVideo:
    smoothed = uniform_filter1d(scores.astype(np.float64), options.window, axis=0, mode="nearest")
    probabilities = None if scale is None else softmax(scale * smoothed, axis=1)
    chosen, times = smoothed.argmax(axis=1), np.array(source.frames.times)
    borders = [0, *(np.flatnonzero(np.diff(chosen)) + 1).tolist(), len(chosen)]
    segments = []
    for first, last in pairwise(borders):
        place = int(chosen[first])
        inside = slice(first, last)
        end = source.duration if last == len(chosen) else float(times[last])
        confidence = None if probabilities is None else float(probabilities[inside, place].mean())
        score = float(smoothed[inside, place].mean())
        segments.append(Segment(float(times[first]), end, classes[place], score, confidence))
    return PredictedVideo(source.path, source.duration, times, smoothed, probabilities, tuple(segments))


def _label_reader(
    path: Path, classes: tuple[str, ...], options: PredictOptions, names: Collection[str]
) -> tuple[Segments, list[str]]:
    """And which of the videos have labels."""
    if not path.is_file():
        raise FileNotFoundError(f"no labels at {path}, expected a table video,start,end,label")
    reader = Segments(classes=classes, kind="single_label", files=path.name, fps=options.fps)
    with_labels = [name for name in reader.videos(path.parent) if name in names]
    if not with_labels:
        raise ValueError(f"{path} has labels of none of these videos; its column video has names without .mp4")
    return reader, with_labels


def _labels(
    path: Path,
    classes: tuple[str, ...],
    options: PredictOptions,
    names: Collection[str],
    sources: Mapping[str, _Source],
) -> _Labels:
    reader, with_labels = _label_reader(path, classes, options, names)
    by_video = {
        name: reader.labels_of(name, reader.labels(path.parent, name, ""), range(len(sources[name].frames)))
        for name in with_labels
        if name in sources
    }
    return _Labels(path, reader, by_video)


def _measured(
    prediction: Prediction,
    given: _Labels,
    measures: MeasureOptions,
    encoder: VideoEncoder,
    texts: tuple[tuple[str, ...], ...],
) -> EvalReport:
    path, reader = given.path, given.reader
    with_labels = [name for name in given.by_video if name in prediction.videos]
    if not with_labels:
        raise ValueError(f"none of the videos that have labels in {path} can be read; the others' tables are written")
    labels, scores, times = [], [], []
    for name in with_labels:
        video, known = prediction.videos[name], given.by_video[name]
        places = sorted(known)
        labels.append(np.array([known[place] for place in places], np.int64))
        scores.append(video.scores[places])
        times.append(video.times[places])
    metrics, per_class, measured = measure_frames(
        *("single_label", prediction.classes, with_labels, labels, scores, measures), times, encoder.logit_scale
    )
    return EvalReport(
        benchmark="predictions",
        metrics=metrics,
        protocol={
            **prediction.protocol,
            "labels": path.name,
            "videos_with_labels": ", ".join(with_labels),
            "num_videos": len(with_labels),
            "num_labelled_frames": sum(map(len, labels)),
            **reader.counted(path.parent, with_labels),
            **measures.protocol(len(with_labels), "single_label"),
            "calibration": calibration_protocol(encoder.logit_scale),
        },
        per_class=[row | {"prompts": " / ".join(of_class)} for row, of_class in zip(per_class, texts, strict=True)],
        predictions=np.concatenate([values.argmax(axis=1) for values in scores]).tolist(),
        model=prediction.model,
        versions=library_versions(),
        title=f"Predictions beside {path.name}",
        intervals=measured.intervals(),
        per_video=measured.per_video,
    )


def _write(prediction: Prediction, output_dir: Path) -> None:
    for name, video in prediction.videos.items():
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("video", "start", "end", "label", "score", "confidence"))
        for segment in video.segments:
            confidence = "" if segment.confidence is None else f"{segment.confidence:.4f}"
            times = (f"{segment.start:.3f}", f"{segment.end:.3f}")
            rows.writerow((name, *times, segment.label, f"{segment.score:.4f}", confidence))
        write_text(output_dir / f"{name}.csv", text.getvalue())
    content = {
        "model": prediction.model,
        "protocol": prediction.protocol,
        "videos": {
            name: {"file": video.path.name, "seconds": video.duration, "segments": len(video.segments)}
            for name, video in prediction.videos.items()
        },
        "unreadable": {Path(path).name: reason for path, reason in prediction.unreadable.items()},
        "versions": library_versions(),
    }
    write_text(output_dir / REPORT_NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _words(error: BaseException, path: Path) -> str:
    """Without the folder, which is of this machine."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].replace(str(path), path.name)
