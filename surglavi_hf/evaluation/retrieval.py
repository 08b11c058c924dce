# SPDX-License-Identifier: Apache-2.0
"""Retrieval between the captions and the clips of SurgLaVi, both ways."""

import time
from typing import Any

import torch
from datasets import Dataset

from .embed import check_any, embed_clips, embed_texts, list_unreadable
from .embed_benchmark import store_key
from .embed_readable import distinct_rows
from .encoders import describe_model
from .overlap import trained_overlap
from .ranks import match_ranks, retrieval_metrics
from .report import EvalReport, library_versions


def retrieval(
    model: Any,
    processor: Any,
    dataset: Dataset,
    benchmark: str = "surglavi",
    clip_embeds: torch.Tensor | None = None,
    chunk_size: int | None = None,
    strict: bool = False,
) -> EvalReport:
    """
    Ranks all clips for each distinct caption, and all distinct captions for each clip. Rows of one video and interval
    are one clip, with several captions; a caption matches every clip that has it. `predictions` are the ranks of the
    first match, one for each distinct caption in order of first appearance. Clips that cannot be read are left out
    with their captions; the report counts and lists them.

    Args:
        model: Has `get_video_features` and `get_text_features`, as [`SurgCLIPModel`].
        processor: A SurgCLIPProcessor.
        dataset: Rows with `video_name`, `start_time`, `end_time`, `clip` and `caption` columns.
        benchmark: Name for the report.
        clip_embeds: Embeddings of the rows, of shape `(len(dataset), projection_dim)`, where they are known already.
        chunk_size: Queries ranked at a time; by default as many as keep memory below 1 GB.
        strict: Raise at the first clip that cannot be read.

    Raises:
        ValueError: `dataset` is empty, or none of its clips can be read.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    started = time.perf_counter()
    first, unreadable = distinct_rows(dataset), []
    if clip_embeds is None:
        found = check_any(embed_clips(model, processor, dataset.select(first), strict=strict))
        unreadable = list_unreadable(dataset.select(first), found.unreadable)
        first, clips = [first[row] for row in found.rows], found.embeds  # (N, D)
    else:
        clips = clip_embeds[first]
    interval_columns = dataset.select_columns(["video_name", "start_time", "end_time"])[:]
    intervals = list(zip(*interval_columns.values(), strict=True))
    clip_of = {intervals[row]: index for index, row in enumerate(first)}
    rows = [row for row, interval in enumerate(intervals) if interval in clip_of]
    captions, intervals = list(dataset.select(rows)["caption"]), [intervals[row] for row in rows]
    text_of = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
    pairs = {(text_of[caption], clip_of[interval]) for caption, interval in zip(captions, intervals, strict=True)}
    matches = torch.tensor(sorted(pairs))
    text_embeds = embed_texts(model, processor, list(text_of))  # (Q, D)
    ranks = match_ranks(text_embeds, clips, matches, chunk_size)
    metrics = retrieval_metrics(ranks, matches, len(clip_of), "text_to_video")
    backwards = matches.flip(1)
    text_ranks = match_ranks(clips, text_embeds, backwards, chunk_size)
    metrics |= retrieval_metrics(text_ranks, backwards, len(text_of), "video_to_text")
    return EvalReport(
        benchmark=benchmark,
        metrics=metrics,
        protocol={
            "num_clips": len(clip_of),
            "num_unreadable_clips": len(unreadable),
            "num_captions": len(text_of),
            "num_matches": len(matches),
            "num_frames": processor.video_processor.num_frames,
            "frame_sampling": "middle",
            "match": "equal caption, or another caption of the clip",
            "ties": "a non-match of equal score comes first",
            "trained_on_videos": trained_overlap(model, dataset),
        },
        predictions=ranks.tolist(),
        model=describe_model(model, processor) if hasattr(model, "state_dict") else {},
        data_fingerprint=store_key(captions, intervals),
        versions=library_versions(),
        seconds=time.perf_counter() - started,
        unreadable=unreadable,
    )
