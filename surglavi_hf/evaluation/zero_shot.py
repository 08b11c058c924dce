# SPDX-License-Identifier: Apache-2.0
"""Zero-shot recognition on a benchmark: every labelled frame by the prompts, seen in the window around it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from .benchmarks import Benchmark
from .decoding import Decoding, decode
from .encoders import text_encoder_of
from .measures import MeasureOptions, calibration_protocol, measure_frames
from .overlap import benchmark_overlap
from .report import EvalReport, library_versions
from .video_encoder import VideoEncoder
from .video_store import VideoResult, VideoStore, store_key
from .window_embeddings import Windows, check_can_be_seen, embed_benchmark, embed_view, features_view


def zero_shot(
    model: Any,
    processor: Any,
    benchmark: Benchmark,
    windows: Windows | None = None,
    measures: MeasureOptions | None = None,
    output_dir: str | os.PathLike | None = None,
    batch_size: int = 32,
    num_workers: int = 0,
    clean_prompts: bool = False,
    decoding: Decoding | None = None,
    train: Benchmark | None = None,
    features_dir: str | os.PathLike | None = None,
) -> EvalReport:
    """
    Scores every labelled frame by the mean cosine similarity of the window around it with each class's prompt, or by
    what else the model itself scores; several prompts of a class are averaged, and normalised again. One class is the
    best, several are ranked by their scores. Prompts are tokenized as they are, as the released evaluation does.

    Under `accelerate launch` or torchrun the processes share the videos, and each returns the whole report.

    Args:
        model: SurgCLIP; CLIP, SigLIP or the like, whose frames are averaged over the window; or a [`VideoEncoder`].
        processor: The model's.
        benchmark: From [`load_benchmark`].
        windows: Which frames are shown; by default those of SurgCLIP's official evaluation.
        measures: What is measured beside the figures of the published table, and what absent classes count.
        output_dir: Folder for the scores, a file a video as soon as it is done, below a folder of the benchmark's
            name. An evaluation that was stopped goes on from there; files of another one are refused.
        batch_size: Windows a forward pass; changes scores by rounding alone.
        num_workers: Processes that read frames.
        clean_prompts: Clean prompts first as the captions were that the model was trained on.
        decoding: What is measured of scores that are decoded over time, apart from the frame-wise figures.
        train: The training split, for `decoding.viterbi`; its labels are enough.
        features_dir: Take the windows' embeddings from such a folder as [`linear_probe`] fills, and write none of the
            scores. What is not there yet is computed, and kept there.

    Returns:
        The [`EvalReport`]. It is the same, but for the seconds, however often the evaluation was stopped and on
        however many processes it ran.

    Raises:
        FileNotFoundError, VideoDecodeError: a frame or video cannot be read.
        ValueError: `benchmark` has labels alone, no video or no prompts, the scores are of another evaluation, or an
            embedding is not finite, or prompts are to be cleaned for a model that was not trained so.
    """
    check_can_be_seen(benchmark)
    windows, measures = windows or Windows(), measures or MeasureOptions()
    encoder = text_encoder_of(model, processor)
    seen = {**windows.protocol_of(encoder), **encoder.frame_protocol()}
    averaging = "mean of their unit vectors, normalised again" if encoder.unit_texts else "mean of their embeddings"
    read = {
        "prompt_cleaning": "as the model's captions" if clean_prompts else "none, tokenized as they are",
        "several_prompts": averaging,
        **encoder.text_protocol(_texts(benchmark.prompts)),
    }
    protocol = {**benchmark.protocol, **seen, **read, **measures.protocol(len(benchmark.videos), benchmark.kind)}
    protocol["trained_on_videos"] = benchmark_overlap(getattr(encoder, "model", None), benchmark.videos)
    protocol["score"] = f"{encoder.score_protocol}; of equal ones the first class"
    description, store = encoder.describe(), None
    if output_dir is not None and features_dir is None:
        read_as = benchmark.protocol["frame_reading"]
        key = store_key(benchmark.fingerprint, description, benchmark.prompts, read_as, seen, read)
        store = VideoStore(Path(output_dir) / benchmark.name / "scores", key)
    with encoder.evaluating():
        class_embeds = embed_classes(encoder, benchmark.prompts, clean_prompts)  # (C, D)

        def keep(embeds: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"scores": encoder.score(embeds, class_embeds)}  # (B, C)

        if features_dir is None:
            scored = embed_benchmark(encoder, benchmark, windows, keep, store, batch_size, num_workers)
        else:
            view = features_view(features_dir, benchmark, encoder, windows, scored=True)
            found = embed_view(view, benchmark, batch_size, num_workers)
            scored = {name: _scored(encoder, result, class_embeds) for name, result in found.items()}
    labels = [benchmark.labels(name) for name in benchmark.videos]
    none = np.zeros((0, len(benchmark.classes)), np.float32)
    scores = [scored[name].arrays.get("scores", none) for name in benchmark.videos]
    single = benchmark.kind == "single_label"
    if single:
        protocol["calibration"] = calibration_protocol(encoder.logit_scale)
    metrics, per_class, measured = measure_frames(
        *(benchmark.kind, benchmark.classes, list(benchmark.videos), labels, scores, measures),
        times=[benchmark.times(name) for name in benchmark.videos],
        logit_scale=encoder.logit_scale,
    )
    decoded = decode(benchmark, scores, decoding or Decoding(), measures, encoder.logit_scale, train)
    report = EvalReport(
        benchmark=benchmark.name,
        metrics=metrics,
        protocol=protocol,
        per_class=[
            row | {"prompts": " / ".join(texts)} for row, texts in zip(per_class, benchmark.prompts, strict=True)
        ],
        predictions=np.concatenate([values.argmax(axis=1) for values in scores]).tolist() if single else [],
        model=description,
        data_fingerprint=benchmark.fingerprint,
        versions=library_versions(),
        seconds=round(sum(result.seconds for result in scored.values()), 3),
        title=benchmark.title,
        published=dict(benchmark.published.zero_shot),
        published_note=benchmark.published.note,
        intervals=measured.intervals(),
        per_video=measured.per_video,
        decoded=[way for way, _ in decoded],
        scores=dict(zip(benchmark.videos, scores, strict=True)),
    )
    report.draws = measured.draws | {f"{way['name']}: {name}": v for way, m in decoded for name, v in m.draws.items()}
    return report


def _scored(encoder: VideoEncoder, result: VideoResult, class_embeds: torch.Tensor) -> VideoResult:
    """Of embeddings that are known."""
    if not result.arrays:
        return result
    known = {name: torch.from_numpy(np.array(values)) for name, values in result.arrays.items()}
    return VideoResult({"scores": encoder.score(known, class_embeds).numpy()}, result.seconds)


def embed_classes(
    encoder: VideoEncoder, prompts: tuple[tuple[str, ...], ...], clean_prompts: bool = False
) -> torch.Tensor:
    """
    Returns an embedding for each class, of shape `(num_classes, projection_dim)`, unit vectors where those of texts
    are; each text is embedded once.
    """
    if clean_prompts and not encoder.cleans_captions:
        name = type(encoder.model or encoder).__name__
        raise ValueError(
            f"prompts of {name} cannot be cleaned: its processor cleans no captions; leave clean_prompts "
            "(--clean-prompts) out"
        )
    texts = _texts(prompts)
    embed = encoder.embed_captions if clean_prompts else encoder.embed_texts
    embeds = torch.cat([embed(texts[start : start + 64]).float().cpu() for start in range(0, len(texts), 64)])
    place = {text: index for index, text in enumerate(texts)}
    classes = [embeds[[place[text] for text in of_class]] for of_class in prompts]  # each (num_prompts, D)
    return torch.stack([_mean(texts, encoder.unit_texts) for texts in classes])


def _mean(embeds: torch.Tensor, normalise: bool) -> torch.Tensor:
    if len(embeds) == 1:
        return embeds[0]
    mean = embeds.mean(dim=0)
    return F.normalize(mean, dim=0) if normalise else mean


def _texts(prompts: tuple[tuple[str, ...], ...]) -> list[str]:
    return list(dict.fromkeys(text for of_class in prompts for text in of_class))
