# SPDX-License-Identifier: Apache-2.0
"""How many of the videos that a model is evaluated on it was trained on."""

from collections.abc import Iterable
from typing import Any

from datasets import Dataset

from ..data.trained_on import TrainedOn, trained_on_of, video_keys


def trained_overlap(model: Any, dataset: Dataset) -> int | str:
    """
    Returns how many videos of a SurgLaVi dataset a model was trained on, by the `training.json` of the folder or Hub
    repository it was loaded from; `"unknown: …"`, with the reason, where that cannot be known. Encoders of images and
    of texts that a model once started from do not count.

    Args:
        model: As transformers loads it.
        dataset: Rows with `youtube_id` and `video_name` columns.
    """
    columns = ["youtube_id", "video_name"]
    if missing := [name for name in columns if name not in dataset.column_names]:
        return f"unknown: the rows have no {missing[0]}"
    rows = dataset.select_columns(columns)[:]
    return _count(trained_on_of(model), video_keys(zip(*rows.values(), strict=True)))


def benchmark_overlap(model: Any, names: Iterable[str]) -> int | str:
    """As [`trained_overlap`], of the videos of a benchmark, which are known by their names alone."""
    keys = video_keys((None, name) for name in names)
    count = _count(trained_on_of(model), keys)
    # The same recording may be on YouTube.
    return f"0 of {len(keys)} by name; copies under other names cannot be known" if count == 0 else count


def overlap_notice(model: Any, overlap: int | str | None) -> str | None:
    """Returns what to tell whoever reads figures on SurgLaVi, None where none of the videos was trained on."""
    if overlap is None or overlap == 0:
        return None
    if isinstance(overlap, str):
        return f"whether the model was trained on these videos is {overlap}"
    held_out = trained_on_of(model).held_out
    remedy = (
        f"it held out {held_out:g} of its own: give --split validation --validation-fraction {held_out:g}, or less"
    )
    if not held_out:
        remedy = "it held out none: train with --validation-fraction, such as 0.05"
    return f"{_trained(overlap)}; {remedy}"


def benchmark_notice(overlap: int | str) -> str | None:
    """As [`overlap_notice`], on a benchmark, where unknown is the rule."""
    return _trained(overlap) if isinstance(overlap, int) and overlap else None


def _trained(overlap: int) -> str:
    return f"the model was trained on {overlap} of these videos, so the figures say little of others"


def _count(trained_on: TrainedOn, keys: set[str]) -> int | str:
    shared = len(keys & trained_on.videos)
    return f"unknown: {trained_on.unknown}" if not shared and trained_on.unknown else shared
