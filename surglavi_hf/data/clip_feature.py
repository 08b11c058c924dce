# SPDX-License-Identifier: Apache-2.0
"""The `clip` column: a datasets feature that stores a video's name and an interval."""

import json
import os
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar

import datasets.features.features
import pyarrow as pa
from datasets.features.features import Value
from datasets.table import array_cast

from .clips import Clip

_STORED = {"video_name": "string", "start_time": "float64", "end_time": "float64"}


@dataclass(init=False, repr=False, eq=False)
class VideoClip:
    """
    Feature type of a column of [`Clip`] values. Arrow holds `{video_name, start_time, end_time}`, never pixels.
    Written to disk it is that plain structure, which is read without this package, too; with it, it is a `VideoClip`.

    Args:
        video_dir: Root of the video library that all clips of the column are read from, whichever they came from.
            `ds.cast_column("clip", VideoClip(video_dir=OTHER))` points a table at another disk. It also makes clips
            of the structures that another library read, and of the bytes that pandas or a written stream left.
        decode: With `False` rows hold the stored dictionary instead of a [`Clip`].
    """

    video_dir: ClassVar[str]
    decode: ClassVar[bool]
    dtype: ClassVar[str] = "surglavi_hf.data.Clip"
    pa_type: ClassVar[Any] = pa.struct({name: getattr(pa, dtype)() for name, dtype in _STORED.items()})
    # datasets writes down a feature's dataclass fields, and reads of a Value no more than it knows.
    video_name: dict = field(init=False)
    start_time: dict = field(init=False)
    end_time: dict = field(init=False)

    def __init__(self, video_dir: str, decode: bool = True):
        self.video_dir = root_of(video_dir)
        self.decode = decode

    def __getattr__(self, name: str) -> dict:
        if name not in _STORED:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        ours = {"video_dir": self.video_dir, "decode": self.decode} if name == "video_name" else {}
        return {"dtype": _STORED[name], "_type": "Value"} | ours

    def __repr__(self) -> str:
        return f"VideoClip(video_dir={self.video_dir!r}, decode={self.decode})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VideoClip) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.video_dir, self.decode))

    def __call__(self) -> pa.DataType:
        return self.pa_type

    def encode_example(self, value: Clip | dict) -> dict:
        if isinstance(value, Clip):
            return self._stored(json.loads(value))
        return value

    def decode_example(self, value: Clip | dict, token_per_repo_id: dict | None = None) -> Clip:
        if isinstance(value, Clip):
            return value
        return Clip(value["video_name"], float(value["start_time"]), float(value["end_time"]), self.video_dir)

    def flatten(self) -> "VideoClip | dict[str, Value]":
        """Datasets' rule: a column is flattened where it shows what is stored."""
        return self if self.decode else {name: Value(dtype) for name, dtype in _STORED.items()}

    def cast_storage(self, storage: pa.Array) -> pa.StructArray:
        if pa.types.is_binary(storage.type):  # clips, as pyarrow sees them
            storage = pa.array(
                [value and self._stored(json.loads(value)) for value in storage.to_pylist()], self.pa_type
            )
        return array_cast(storage, self.pa_type)

    def _stored(self, clip: dict) -> dict:
        """Returns what Arrow holds of a clip. Its library is that of the column, or it would be read elsewhere."""
        if (video_dir := root_of(clip["video_dir"])) != self.video_dir:
            raise ValueError(of_two_libraries("a column", self.video_dir, video_dir))
        return {name: clip[name] for name in _STORED}


def root_of(video_dir: str | os.PathLike) -> str:
    """Returns the root of a library as columns hold it."""
    return str(Path(video_dir).expanduser().absolute())


def of_two_libraries(column: str, one: str, other: str) -> str:
    """Returns why clips of two libraries do not go into one column, and what to do."""
    return (
        f"{column} has clips of two libraries, {one} and {other}, but is read from one; link the videos of one into "
        f"the other (surglavi adopt {other} --data-dir {one}), then make its clips with that video_dir, or "
        f"cast_column(NAME, VideoClip(video_dir={one!r})) their dataset"
    )


_generate = datasets.features.features.generate_from_dict


@wraps(_generate)
def _generate_from_dict(obj: Any):
    if isinstance(obj, dict):
        if obj.get("_type") == "VideoClip":  # as it was written at first
            return VideoClip(obj["video_dir"], obj.get("decode", True))
        stored = obj.get("video_name")
        if obj.keys() == _STORED.keys() and isinstance(stored, dict) and "video_dir" in stored:
            return VideoClip(stored["video_dir"], stored["decode"])
    return _generate(obj)


datasets.features.features.generate_from_dict = _generate_from_dict
