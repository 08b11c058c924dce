# SPDX-License-Identifier: Apache-2.0
"""What was computed of a video, on disk, so that an evaluation that was killed goes on where it was."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..files import digest_of, written_whole
from ..media import is_file_name


@dataclass(frozen=True)
class VideoResult:
    """
    Args:
        arrays: By name, each `np.float32` of shape `(num_labelled_frames, dim)`.
        seconds: They took.
    """

    arrays: Mapping[str, np.ndarray]
    seconds: float


def store_key(*parts: Any) -> str:
    """Returns a digest of what results depend on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


class VideoStore:
    """
    A folder with an Arrow file, `<video>.arrow`, for each video that is done: columns such as `time` in seconds,
    `frame` and `label`, and the arrays. Each has its video's name and a digest of all that is in it.

    Args:
        folder: Made where it is not there.
        key: Of everything the arrays depend on; files of another key are refused.
    """

    def __init__(self, folder: Path, key: str):
        self.folder, self.key = folder, key
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, video: str, num_frames: int) -> VideoResult | None:
        """
        Returns the result of a video; None where it is not there.

        Raises:
            ValueError: the file is damaged, or of another video or evaluation.
        """
        path = self._path(video)
        if not path.is_file():
            return None
        try:
            with pa.memory_map(str(path)) as file:
                table = pa.ipc.open_file(file).read_all()
            written = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
            if written.pop("digest") != _digest(written, table):
                raise ValueError("not as it was written")
            seconds = float(written["seconds"])
            arrays = {
                field.name: _to_numpy(table[field.name].combine_chunks(), field.type.list_size)
                for field in table.schema
                if pa.types.is_fixed_size_list(field.type)
            }
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, MemoryError) as error:
            raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())}); delete it") from error
        if written["video"] != video:
            raise ValueError(f"{path} is of the video {written['video']!r}; delete it, or give it back its name")
        if written["key"] != self.key or len(table) != num_frames:
            raise ValueError(
                f"{path} is of another evaluation (its data, model, prompts or windows differ); name another folder"
            )
        return VideoResult(arrays, seconds)

    def write(self, video: str, columns: Mapping[str, list], result: VideoResult) -> None:
        """Writes the result of a video, whole or not at all."""
        path = self._path(video)
        values = {name: pa.array(column) for name, column in columns.items()}
        for name, array in result.arrays.items():
            flat = pa.array(np.ascontiguousarray(array, np.float32).ravel())
            values[name] = pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
        table = pa.table(values)
        metadata = {"video": video, "key": self.key, "seconds": repr(result.seconds)}
        table = table.replace_schema_metadata(metadata | {"digest": _digest(metadata, table)})
        with (
            written_whole(path) as beside,
            pa.OSFile(str(beside), "wb") as file,
            pa.ipc.new_file(file, table.schema) as writer,
        ):
            writer.write_table(table)

    def _path(self, video: str) -> Path:
        if not is_file_name(video):
            raise ValueError(f"video name {video!r} cannot be a file name")
        return self.folder / f"{video}.arrow"


def _to_numpy(column: pa.Array, width: int) -> np.ndarray:
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def _digest(metadata: Mapping[str, str], table: pa.Table) -> str:
    parts = [part for name in sorted(metadata) for part in (name, metadata[name])]
    for field in table.schema:
        parts += [field.name, str(field.type), *_values(table[field.name].combine_chunks())]
    return digest_of(*parts)


def _values(column: pa.Array) -> Iterator[np.ndarray]:
    """All that is in a column of numbers, or of lists of them."""
    if column.null_count:
        raise ValueError("a value is null")
    if pa.types.is_list(column.type):
        yield column.value_lengths().to_numpy(zero_copy_only=False)
    if pa.types.is_nested(column.type):
        yield from _values(column.flatten())
    else:
        yield np.ascontiguousarray(column.to_numpy(zero_copy_only=False))
