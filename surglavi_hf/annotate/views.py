# SPDX-License-Identifier: Apache-2.0
"""The visual side of the filter: how endoscopic and how surgical a clip looks to a zero-shot model."""

from collections import Counter
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from datasets import Dataset
from torch.nn import functional as F

from ..data import attach_clips
from ..evaluation import EmbeddingOptions, VideoEncoder, embed_clips
from ..evaluation.video_store import store_key
from ..named_values import read_named_values
from ..options import option
from .corpus import AnnotatedCorpus
from .results import Results, ViewSettings
from .transcripts import FOLDER

_SCALE = 100.0  # of models that were trained with none


@dataclass(frozen=True)
class ViewOptions:
    """What of its picture a clip must have to be kept."""

    endoscopic_threshold: float = option(
        0.5, "Least share that a clip looks endoscopic, from 0 to 1; 0 for open surgery.", metavar="SHARE"
    )
    surgical_threshold: float = option(0.5, "Least share that a clip looks surgical.", metavar="SHARE")

    def __post_init__(self):
        for name in ("endoscopic_threshold", "surgical_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name):g}, expected a share from 0 to 1")


@dataclass
class Views:
    """
    What a run looked at.

    Args:
        model: Its name.
        clips: That have shares now.
        known: Of these, from an earlier run.
        kept: That reach both thresholds.
        missing: Whose video is not on disk.
        unreadable: Why clips cannot be read, with how many.
    """

    model: str
    clips: int = 0
    known: int = 0
    kept: int = 0
    missing: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)


def look_at_clips(
    corpus: AnnotatedCorpus,
    encoder: VideoEncoder,
    options: ViewOptions,
    embedding: EmbeddingOptions | None = None,
    limit: int | None = None,
) -> Views:
    """
    Has a model look at all clips that were cut. Goes on where it was stopped.

    Args:
        corpus: Opened to write, and segmented.
        encoder: With a text encoder.
        options: Thresholds.
        embedding: How clips are embedded.
        limit: At most so many videos with a narration, the first.

    Raises:
        ValueError: the model has no text encoder, or nothing was segmented.
    """
    classes = read_named_values(Path(str(files(__package__) / "views.yaml")))
    described = encoder.describe()
    key = store_key(described, encoder.frame_protocol(), classes)
    name = str(described.get("name") or described.get("encoder"))
    settings = ViewSettings(key, name, options.endoscopic_threshold, options.surgical_threshold)
    results = Results(corpus)
    if results.settings["segment"] is None:
        raise ValueError(f"nothing to look at in {corpus.database.parent}; run surglavi annotate segment first")
    views, rows, narrated = Views(name), [], 0
    for video in results.videos("segment"):
        narrated += bool(video.sentences)
        if limit is not None and narrated > limit:
            break
        for clip in video.clips:
            known = corpus.ledger.view(key, video.name, clip.start, clip.end)
            if known is not None and known[0] is not None:
                views.known += 1
            elif corpus.library.has(video.name):
                rows.append((video.name, clip.start, clip.end))
            else:
                views.missing += 1
    corpus.ledger.set_settings("view", vars(settings))
    if rows := list(dict.fromkeys(rows)):
        _look(corpus, encoder, embedding, classes, key, rows, views)
    for video in Results(corpus).videos("filter"):
        views.clips += sum(clip.seen is not None for clip in video.clips)
        views.kept += sum(clip.seen is True for clip in video.clips)
    return views


def _look(
    corpus: AnnotatedCorpus,
    encoder: VideoEncoder,
    embedding: EmbeddingOptions | None,
    classes: dict[str, Any],
    key: str,
    rows: list[tuple[str, float, float]],
    views: Views,
) -> None:
    columns = dict(zip(("video_name", "start_time", "end_time"), map(list, zip(*rows, strict=True)), strict=True))
    dataset = attach_clips(Dataset(pa.table(columns)), corpus.library.root)
    # Of these very clips: other parts hold other rows.
    parts = corpus.library.root / FOLDER / "views" / store_key(key, rows)
    found = embed_clips(encoder, None, dataset, embedding, parts)
    shares = _shares(encoder, classes, found.embeds)  # (N, 2)
    told: dict[str, list] = {}
    for row, (endoscopic, surgical) in zip(found.rows, shares.tolist(), strict=True):
        told.setdefault(rows[row][0], []).append((*rows[row][1:], endoscopic, surgical, None))
    for row, reason in found.unreadable.items():
        told.setdefault(rows[row][0], []).append((*rows[row][1:], None, None, reason))
        views.unreadable[reason] += 1
    for video, of_video in told.items():
        corpus.ledger.add_views(key, video, of_video)


def _shares(encoder: VideoEncoder, classes: dict[str, Any], embeds: torch.Tensor) -> torch.Tensor:
    """Returns the endoscopic and the surgical share of clips, of shape `(num_clips, 2)`."""
    if not len(embeds):
        return torch.empty(0, 2)
    means = []
    with encoder.evaluating():
        for one in classes.values():
            mean = encoder.embed_texts(one["texts"]).float().cpu().mean(dim=0)
            means.append(F.normalize(mean, dim=0) if encoder.unit_texts else mean)
    scale = encoder.logit_scale or _SCALE
    shares = (embeds @ torch.stack(means).T * scale).softmax(dim=1)  # (N, C)
    marks = [[float(one[name]) for name in ("endoscopic", "surgical")] for one in classes.values()]
    return shares @ torch.tensor(marks)
