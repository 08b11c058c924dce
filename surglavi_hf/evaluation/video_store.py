# SPDX-License-Identifier: Apache-2.0
"""What was computed of a video, on disk, so that an evaluation that was killed goes on where it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..files import written_whole
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


class VideoStore:
    """
    A folder with an Arrow file, `<video>.arrow`, for each video that is done: columns such as `time` in seconds,
    `frame` and `label`, and the arrays.

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
            ValueError: the file is damaged, or of another evaluation.
        """
        path = self._path(video)
        if not path.is_file():
            return None
        try:
            with pa.memory_map(str(path)) as file:
                table = pa.ipc.open_file(file).read_all()
            metadata = table.schema.metadata or {}
            key, seconds = metadata[b"key"].decode(), float(metadata[b"seconds"])
            arrays = {
                field.name: _to_numpy(table[field.name].combine_chunks(), field.type.list_size)
                for field in table.schema
                if pa.types.is_fixed_size_list(field.type)
            }
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise ValueError(f"{path} cannot be read ({error}); delete it") from error
        if key != self.key or len(table) != num_frames:
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
        table = pa.table(values).replace_schema_metadata({"key": self.key, "seconds": repr(result.seconds)})
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
