# SPDX-License-Identifier: Apache-2.0
"""Embeddings of clips, a row a caption: the Parquet file that holds them, and what is published beside captions."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo, Features, List, Value, load_dataset
from datasets.table import InMemoryTable

from ..files import digest_of, written_whole

EMBEDDINGS = "embeddings"  # the config of a dataset on the Hub
HUB = "hub:"
MAX_DIMENSION = 4096
_ROWS_A_PASS = 8192
_MAX_NORM = 1.01  # a mean of unit vectors, in float16
_EXPECTED = (
    "expected the Parquet file that surglavi embed writes, with caption_id, embedding, model_id, model_revision"
)


_COLUMNS = ["caption_id", "embedding", "model_id", "model_revision"]


@dataclass(frozen=True)
class Embeddings:
    """
    Args:
        caption_id: `(num_rows,)` int64, each once.
        embedding: `(num_rows, dimension)` float16.
        model_id: Of the model that made them: on the Hub, or the name of its folder or class.
        model_revision: Its commit, or a digest of its weights.
        source: Where they were read.
    """

    caption_id: np.ndarray
    embedding: np.ndarray
    model_id: str
    model_revision: str
    source: str = ""

    @property
    def dimension(self) -> int:
        return self.embedding.shape[1]

    @property
    def digest(self) -> str:
        return digest_of(self.model_id, self.model_revision, self.caption_id, self.embedding)

    @classmethod
    def load(cls, source: str | os.PathLike) -> "Embeddings":
        """
        Reads what `--embeddings` names: a Parquet file, as [`Embeddings.read`], or `hub:ID`, of a dataset on the Hub.

        Raises:
            FileNotFoundError: there is no such file or dataset.
            OSError: the Hub cannot be reached.
            ValueError: the dataset has no embeddings, or as [`Embeddings.read`].
        """
        source = os.fspath(source)
        if not source.startswith(HUB):
            return cls.read(source)
        try:
            parts = load_dataset(source.removeprefix(HUB), EMBEDDINGS)
        except ValueError as error:  # of what configs there are
            said = " ".join(str(error).split())
            raise ValueError(
                f"{source} has no embeddings ({said}); push some with surglavi push-dataset --embeddings FILE"
            ) from error
        tables = [part.data.table for part in parts.values()]
        return cls._of(pa.concat_tables(tables), source)

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Embeddings":
        """
        Reads embeddings of float16 or float32 from a Parquet file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, a column is missing or of another type, a caption is there twice, rows are of
                several models, or as [`check_vectors`].
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"no embeddings at {path}; {_EXPECTED}")
        try:
            rows = pq.read_table(path, columns=_COLUMNS)
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            raise _unreadable(path, error) from error
        found = cls._of(rows, os.fspath(path))
        written = (rows.schema.metadata or {}).get(b"digest")  # which files of others do not have
        if written and written.decode(errors="replace") != found.digest:
            raise ValueError(f"{path} is not as surglavi embed wrote it; copy it again, or delete it and embed again")
        return found

    @classmethod
    def _of(cls, rows: pa.Table, source: str) -> "Embeddings":
        try:
            rows = rows.select(_COLUMNS)
            if rows["caption_id"].null_count:
                raise ValueError("a caption_id is null")
            caption_id = rows["caption_id"].cast(pa.int64()).to_numpy()
            embedding = _matrix(rows["embedding"])
            models = [pc.unique(rows[name].cast(pa.string())).to_pylist() for name in ("model_id", "model_revision")]
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            raise _unreadable(source, error) from error
        if any(len(names) != 1 or not re.fullmatch(r"[\w./@+-][\w./@+ -]{0,199}", names[0] or "") for names in models):
            raise ValueError(
                f"{source} is of the models {models[0]} at {models[1]}; expected one model and one revision"
            )
        if len(np.unique(caption_id)) != len(caption_id):
            raise ValueError(f"{source} has a caption_id more than once; expected one embedding of each caption")
        check_vectors(embedding, source)
        return cls(caption_id, embedding, models[0][0], models[1][0], source)

    def write(self, path: str | os.PathLike) -> None:
        """Writes a Parquet file, whole or not at all, with a digest that [`Embeddings.read`] compares."""
        embedding = pa.FixedSizeListArray.from_arrays(pa.array(self.embedding.reshape(-1)), self.dimension)
        models = [
            pa.array([name] * len(self.caption_id), pa.string()) for name in (self.model_id, self.model_revision)
        ]
        table = pa.table(dict(zip(_COLUMNS, [pa.array(self.caption_id), embedding, *models], strict=True)))
        with written_whole(path) as beside:
            pq.write_table(table.replace_schema_metadata({"digest": self.digest}), beside)

    def places(self, caption_ids: np.ndarray) -> np.ndarray:
        """Returns for each caption its row here, -1 where it has none."""
        order = np.argsort(self.caption_id)
        place = np.searchsorted(self.caption_id, caption_ids, sorter=order)
        rows = order[np.minimum(place, len(order) - 1)] if len(order) else np.zeros(len(caption_ids), np.int64)
        known = self.caption_id[rows] == caption_ids if len(order) else np.zeros(len(caption_ids), bool)
        return np.where(known, rows, -1)

    def of(self, caption_ids: np.ndarray) -> Dataset:
        """Returns the embeddings of those captions that have one, in the order of `caption_ids`."""
        rows = self.places(caption_ids)
        rows = rows[rows >= 0]
        features = Features(
            {
                "caption_id": Value("int64"),
                "embedding": List(Value("float16"), length=self.dimension),
                "model_id": Value("string"),
                "model_revision": Value("string"),
            }
        )
        flat = pa.array(self.embedding[rows].reshape(-1), pa.float16())
        columns = [
            pa.array(self.caption_id[rows], pa.int64()),
            pa.FixedSizeListArray.from_arrays(flat, self.dimension),
            pa.array([self.model_id] * len(rows), pa.string()),
            pa.array([self.model_revision] * len(rows), pa.string()),
        ]
        table = pa.Table.from_arrays(columns, names=list(features)).cast(features.arrow_schema)
        return Dataset(InMemoryTable(table), info=DatasetInfo(features=features))


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    """Returns lists of one length as a matrix of float16; what does not fit is infinite. Raises ValueError."""
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) != 1 or not lengths[0]:
        raise ValueError(f"embeddings of {', '.join(map(str, lengths[:3])) or 'no'} numbers, expected one length")
    found = np.empty((len(column), lengths[0]), np.float16)
    start = 0
    with np.errstate(over="ignore"):
        for chunk in column.chunks:  # one after another: all at once would take three times the memory
            values = chunk.flatten()
            if values.null_count:
                raise ValueError("a number is null")
            found[start : start + len(chunk)] = values.to_numpy(zero_copy_only=False).reshape(len(chunk), -1)
            start += len(chunk)
    return found


def _unreadable(source: str | os.PathLike, error: Exception) -> ValueError:
    return ValueError(f"{source} cannot be read as embeddings ({' '.join(str(error).split())}); {_EXPECTED}")


def check_vectors(embedding: np.ndarray, what: str) -> None:
    """
    Makes sure that vectors can be embeddings of clips, which are means of unit vectors.

    Args:
        embedding: `(num_rows, dimension)` float16.
        what: Where they are, for the message.

    Raises:
        ValueError: they are too wide, not finite, or longer than 1.
    """
    if not 1 <= embedding.shape[1] <= MAX_DIMENSION:
        raise ValueError(
            f"{what} has embeddings of {embedding.shape[1]:,} numbers, expected at most {MAX_DIMENSION:,}"
        )
    if not np.isfinite(embedding).all():
        raise ValueError(f"{what} has embeddings that are not finite in float16; embed the clips again")
    parts = (embedding[start : start + _ROWS_A_PASS] for start in range(0, len(embedding), _ROWS_A_PASS))
    longest = max((np.linalg.norm(part.astype(np.float32), axis=1).max() for part in parts), default=0.0)
    if longest > _MAX_NORM:
        raise ValueError(f"{what} has a vector of length {longest:.3g}, expected at most 1, as embeddings of clips")
