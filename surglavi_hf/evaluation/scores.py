# SPDX-License-Identifier: Apache-2.0
"""Scores of a video on disk, so that an evaluation that was killed goes on where it was."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..media import is_file_name


@dataclass(frozen=True)
class VideoScores:
    """
    Args:
        scores: Of each labelled frame and class, `np.float32` of shape `(num_frames, num_classes)`.
        seconds: They took.
    """

    scores: np.ndarray
    seconds: float


class ScoreStore:
    """
    A folder with `<video>.parquet` for each video that is done: `time` in seconds, `frame`, `label` and `scores`.

    Args:
        folder: Made where it is not there.
        key: Of everything the scores depend on; files of another key are refused.
    """

    def __init__(self, folder: Path, key: str):
        self.folder, self.key = folder, key
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, video: str, num_frames: int) -> VideoScores | None:
        """
        Returns the scores of a video; None where they are not there.

        Raises:
            ValueError: the file is damaged, or of another evaluation.
        """
        path = self._path(video)
        if not path.is_file():
            return None
        try:
            table = pq.read_table(path)
            metadata = table.schema.metadata or {}
            key, seconds = metadata[b"key"].decode(), float(metadata[b"seconds"])
            scores = np.stack(table["scores"].to_numpy()) if len(table) else np.zeros((0, 0), np.float32)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise ValueError(f"{path} cannot be read ({error}); delete it") from error
        if key != self.key or len(table) != num_frames:
            raise ValueError(
                f"{path} is of another evaluation (its data, model, prompts or windows differ); name another folder"
            )
        return VideoScores(scores.astype(np.float32), seconds)

    def write(self, video: str, rows: dict[str, list], scores: VideoScores) -> None:
        """Writes the scores of a video, beside and then renamed."""
        path = self._path(video)
        columns = {name: pa.array(values) for name, values in rows.items()}
        columns["scores"] = pa.array(list(scores.scores), pa.list_(pa.float32()))
        metadata = {"key": self.key, "seconds": repr(scores.seconds)}
        beside = path.with_name(f".{path.name}-unfinished")
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), beside)
        beside.replace(path)

    def _path(self, video: str) -> Path:
        if not is_file_name(video):
            raise ValueError(f"video name {video!r} cannot be a file name")
        return self.folder / f"{video}.parquet"
