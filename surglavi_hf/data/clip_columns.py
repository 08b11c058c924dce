# SPDX-License-Identifier: Apache-2.0
"""Columns of clips that someone makes: datasets takes them for bytes, which a [`Clip`] is.

It asks no feature whether values are its own. Its functions that guess a column's type are wrapped by ones that look
for clips first; everything else is left to them.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import chain
from typing import Any

import datasets.arrow_dataset
import datasets.arrow_writer
import datasets.features.features
import datasets.iterable_dataset
import numpy as np
import pyarrow as pa
from datasets import Dataset, Features
from datasets.features.features import List, generate_from_arrow_type

from .clip_feature import VideoClip, of_two_libraries, root_of
from .clips import Clip


def clip_feature(values: Any) -> Any | None:
    """
    Returns the feature of a column that has clips, by themselves or in lists and dictionaries; `None` where it has
    none. Looks at the first value there is, and at all only where that is a clip.

    Raises:
        ValueError: they are of two libraries. A column has one.
    """
    if isinstance(values, np.ndarray):
        values = values.tolist() if values.dtype == object else []
    return _feature(lambda: iter(values)) if isinstance(values, Iterable) else None


def _feature(values: Callable[[], Iterator]) -> Any | None:
    first = next((value for value in values() if value is not None), None)
    if isinstance(first, Clip):
        video_dirs = sorted({root_of(value.video_dir) for value in values() if isinstance(value, Clip)})
        if len(video_dirs) > 1:
            raise ValueError(of_two_libraries("a column", *video_dirs[:2]))
        return VideoClip(video_dir=video_dirs[0])
    if isinstance(first, list | tuple):
        inner = _feature(lambda: chain.from_iterable(value for value in values() if isinstance(value, list | tuple)))
        return inner and List(inner)
    if isinstance(first, dict):
        parts = {name: _values_of(values, name) for name in first}
        found = {name: _feature(part) for name, part in parts.items()}
        if any(found.values()):
            other = {name: pa.array([*parts[name]()]).type for name, feature in found.items() if feature is None}
            return found | {name: generate_from_arrow_type(type_) for name, type_ in other.items()}
    return None


def _values_of(values: Callable[[], Iterator], name: str) -> Callable[[], Iterator]:
    return lambda: (value.get(name) for value in values() if isinstance(value, dict))


def _with_clips(dataset: Dataset, columns: dict[str, Any]) -> Dataset:
    """Returns a dataset whose columns of bytes are clips where their values were."""
    for name, values in columns.items():
        if feature := clip_feature(values):
            dataset = dataset.cast_column(name, feature)
    return dataset


def hook() -> None:
    """Makes datasets know clips."""
    sequence = datasets.arrow_writer.TypedSequence
    infer, infer_batch = sequence._infer_custom_type_and_encode, datasets.iterable_dataset._infer_features_from_batch
    add_column, from_pandas = Dataset.add_column, Dataset.from_pandas.__func__
    align = datasets.arrow_dataset._check_if_features_can_be_aligned

    @wraps(infer)
    def infer_clips(data: Iterable):
        feature = clip_feature(data)
        return (list(data), feature) if feature else infer(data)

    @wraps(infer_batch)
    def infer_clips_of_batch(batch: dict[str, list], *arguments, **options) -> Features:
        clips = {name: feature for name, values in batch.items() if (feature := clip_feature(values))}
        return Features({**infer_batch(batch, *arguments, **options), **clips})

    @wraps(add_column)
    def add_column_of_clips(self: Dataset, name: str, column: Any, *arguments, **options) -> Dataset:
        dataset = add_column(self, name, column, *arguments, **options)
        return dataset if isinstance(column, pa.Array) else _with_clips(dataset, {name: column})

    @wraps(from_pandas)
    def from_pandas_with_clips(cls, df, features: Features | None = None, *arguments, **options) -> Dataset:
        dataset = from_pandas(cls, df, features, *arguments, **options)
        return dataset if features else _with_clips(dataset, {name: df[name].to_numpy() for name in df})

    @wraps(align)
    def one_library_a_column(features_list: list[Features]) -> None:
        first: dict[str, str] = {}
        for name, feature in chain.from_iterable(features.items() for features in features_list):
            if isinstance(feature, VideoClip) and first.setdefault(name, feature.video_dir) != feature.video_dir:
                raise ValueError(of_two_libraries(f"column {name!r}", first[name], feature.video_dir))
        align(features_list)

    sequence._infer_custom_type_and_encode = staticmethod(infer_clips)
    datasets.iterable_dataset._infer_features_from_batch = infer_clips_of_batch
    Dataset.add_column = add_column_of_clips
    Dataset.from_pandas = classmethod(from_pandas_with_clips)
    for module in (datasets.arrow_dataset, datasets.iterable_dataset, datasets.features.features):
        module._check_if_features_can_be_aligned = one_library_a_column
