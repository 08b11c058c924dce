# SPDX-License-Identifier: Apache-2.0
"""Retrieval between the captions and the clips of SurgLaVi, both ways."""

import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from .clip_embeddings import EmbeddingOptions, KnownEmbeddings, clips_of, distinct_rows, embed_texts, intervals_of
from .encoders import text_encoder_of
from .measures import CONFIDENCE, Measured
from .overlap import trained_overlap
from .ranks import match_ranks, recall_draws, retrieval_metrics
from .report import EvalReport, library_versions
from .video_store import store_key


def retrieval(
    model: Any,
    processor: Any,
    dataset: Dataset,
    benchmark: str = "surglavi",
    clip_embeds: KnownEmbeddings | None = None,
    chunk_size: int | None = None,
    options: EmbeddingOptions | None = None,
    parts: Path | None = None,
    resamples: int = 1000,
) -> EvalReport:
    """
    Ranks all clips for each distinct caption, and all distinct captions for each clip. Rows of one video and interval
    are one clip, with several captions; a caption matches every clip that has it. `predictions` are the ranks of the
    first match, one for each distinct caption in order of first appearance. Clips that cannot be read are left out
    with their captions; the report counts and lists them.

    Under `accelerate launch` or torchrun the processes share the videos, and each returns the whole report.

    Args:
        model, processor: As [`zero_shot`].
        dataset: Rows with `clip` and `caption` columns.
        benchmark: Name for the report.
        clip_embeds: Embeddings of the rows, of shape `(len(dataset), projection_dim)`, or [`Embeddings`] of a file or
            of the Hub, by the rows' `caption_id`, where they are known already: no video is read. Clips that these
            lack are left out and counted.
        chunk_size: Queries ranked at a time; by default as many as keep memory below 1 GB.
        options: How clips are embedded; by default as [`EmbeddingOptions`] says.
        parts: Folder for the embeddings, a file a video, so that a run that was stopped goes on.
        resamples: Draws of videos for the 95 % intervals of recall; 0 for none.

    Raises:
        ValueError: `dataset` is empty, none of its clips can be read or has an embedding, or embeddings are of another
            model.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    started = time.perf_counter()
    encoder = text_encoder_of(model, processor)
    found = clips_of(encoder, dataset, distinct_rows(dataset), clip_embeds, options, parts)
    clips = found.embeds  # (N, D)
    intervals = intervals_of(dataset)
    clip_of = {intervals[row]: index for index, row in enumerate(found.rows)}
    rows = [row for row, interval in enumerate(intervals) if interval in clip_of]
    captions, intervals = list(dataset.select(rows)["caption"]), [intervals[row] for row in rows]
    text_of = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
    pairs = {(text_of[caption], clip_of[interval]) for caption, interval in zip(captions, intervals, strict=True)}
    matches = torch.tensor(sorted(pairs))
    text_embeds = embed_texts(encoder, None, list(text_of))  # (Q, D)
    ranks = match_ranks(text_embeds, clips, matches, chunk_size)
    metrics = retrieval_metrics(ranks, matches, len(clip_of), "text_to_video")
    backwards = matches.flip(1)
    text_ranks = match_ranks(clips, text_embeds, backwards, chunk_size)
    metrics |= retrieval_metrics(text_ranks, backwards, len(text_of), "video_to_text")
    videos = [interval[0] for interval in intervals]
    of_caption = dict(reversed(list(zip(captions, videos, strict=True))))
    draws = recall_draws(ranks, [of_caption[caption] for caption in text_of], resamples, "text_to_video")
    draws |= recall_draws(text_ranks, [interval[0] for interval in clip_of], resamples, "video_to_text")
    report = EvalReport(
        benchmark=benchmark,
        metrics=metrics,
        protocol={
            "num_clips": len(clip_of),
            **found.protocol,
            "num_captions": len(text_of),
            "num_matches": len(matches),
            "num_frames": encoder.num_frames,
            **encoder.text_protocol(list(text_of)),
            "frame_sampling": "middle",
            "match": "equal caption, or another caption of the clip",
            "ties": "a non-match of equal score comes first",
            "intervals": (
                f"{CONFIDENCE} %, percentiles of {resamples} bootstrap draws of whole videos of queries, seed 0; a "
                "caption is of the first video that has it, and the gallery stays whole"
                if draws
                else "none: one video"
                if resamples
                else "none, as asked"
            ),
            "trained_on_videos": trained_overlap(encoder.model, dataset),
        },
        predictions=ranks.tolist(),
        model=encoder.describe(),
        data_fingerprint=store_key(captions, intervals),
        versions=library_versions(),
        seconds=time.perf_counter() - started,
        unreadable=found.listed,
        intervals=Measured(draws=draws).intervals(),
    )
    report.draws = draws
    return report
