# SPDX-License-Identifier: Apache-2.0
"""Brings the `clip` column back to a table that was published without it."""

import os
from typing import TypeVar

import pyarrow as pa
from datasets import Dataset, DatasetDict, Features, IterableDataset, IterableDatasetDict

from .clip_feature import VideoClip

AnyDataset = TypeVar("AnyDataset", Dataset, DatasetDict, IterableDataset, IterableDatasetDict)

_STORED = ("video_name", "start_time", "end_time")


def attach_clips(dataset: AnyDataset, data_dir: str | os.PathLike) -> AnyDataset:
    """
    Returns the dataset with a column `clip` of lazy [`Clip`] values, as `load_dataset("surglavi")` has it. No video is
    opened.

    Args:
        dataset: Rows with `video_name`, `start_time` and `end_time` (s), such as
            `load_dataset("me/surglavi", "phase")`; streamed or not, one split or several. A column `clip` is replaced.
        data_dir: Root of the video library, the folder that holds `videos/`.

    Raises:
        ValueError: one of these columns is missing.
    """
    if isinstance(dataset, dict):
        return type(dataset)({split: attach_clips(part, data_dir) for split, part in dataset.items()})
    if isinstance(dataset, IterableDataset) and dataset.features is None:
        dataset = dataset._resolve_features()
    if missing := [name for name in _STORED if name not in dataset.features]:
        raise ValueError(
            f"a clip needs the columns {', '.join(_STORED)}; {', '.join(missing)} not found among "
            f"{', '.join(dataset.features)}; load config task, step, phase or all"
        )
    feature = VideoClip(video_dir=os.fspath(data_dir))
    if "clip" in dataset.features:
        dataset = dataset.remove_columns("clip")
    if isinstance(dataset, IterableDataset):
        features = Features({**dataset.features, "clip": feature})
        # Features given to map would not be decoded.
        return dataset.map(_stored_clips, batched=True, input_columns=list(_STORED)).cast(features)
    table = dataset.with_format("arrow").select_columns(list(_STORED))[:]
    clips = pa.StructArray.from_arrays([table[name].combine_chunks() for name in _STORED], list(_STORED))
    return dataset.add_column("clip", clips.cast(feature()), feature=feature)


def _stored_clips(*columns: list) -> dict[str, list[dict]]:
    return {"clip": [dict(zip(_STORED, values, strict=True)) for values in zip(*columns, strict=True)]}
