# SPDX-License-Identifier: Apache-2.0
"""Clip embeddings that are published beside the captions."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo, Features, List, Value
from datasets.table import InMemoryTable

from ..files import digest_of

EMBEDDINGS = "embeddings"
MAX_DIMENSION = 4096
_MAX_NORM = 1.01  # a mean of unit vectors, in float16
_EXPECTED = (
    "expected the Parquet file that surglavi embed writes, with caption_id, embedding, model_id, model_revision"
)


@dataclass(frozen=True)
class Embeddings:
    """
    Args:
        caption_id: `(num_rows,)` int64, each once.
        embedding: `(num_rows, dimension)` float16.
        model_id: Of the model that made them: on the Hub, or the name of its folder.
        model_revision: Its commit, or a digest of its weights.
    """

    caption_id: np.ndarray
    embedding: np.ndarray
    model_id: str
    model_revision: str

    @property
    def dimension(self) -> int:
        return self.embedding.shape[1]

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
            columns = ["caption_id", "embedding", "model_id", "model_revision"]
            rows = pq.read_table(path, columns=columns).combine_chunks()
            written = (rows.schema.metadata or {}).get(b"digest")  # which files of others do not have
            if rows["caption_id"].null_count:
                raise ValueError("a caption_id is null")
            caption_id = rows["caption_id"].cast(pa.int64()).to_numpy()
            embedding = np.stack(rows["embedding"].to_numpy(zero_copy_only=False)).astype(np.float32)
            models = [pc.unique(rows[name].cast(pa.string())).to_pylist() for name in ("model_id", "model_revision")]
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            raise ValueError(
                f"{path} cannot be read as embeddings ({' '.join(str(error).split())}); {_EXPECTED}"
            ) from error
        if any(len(names) != 1 or not re.fullmatch(r"[\w./@+-][\w./@+ -]{0,199}", names[0] or "") for names in models):
            raise ValueError(
                f"{path} is of the models {models[0]} at {models[1]}; expected one model and one revision"
            )
        if len(np.unique(caption_id)) != len(caption_id):
            raise ValueError(f"{path} has a caption_id more than once; expected one embedding of each caption")
        with np.errstate(over="ignore"):
            embedding = embedding.astype(np.float16)
        if written and written.decode(errors="replace") != digest_of(
            models[0][0], models[1][0], caption_id, embedding
        ):
            raise ValueError(f"{path} is not as surglavi embed wrote it; copy it again, or delete it and embed again")
        check_vectors(embedding, str(path))
        return cls(caption_id, embedding, models[0][0], models[1][0])

    def of(self, caption_ids: np.ndarray) -> Dataset:
        """Returns the embeddings of those captions that have one, in the order of `caption_ids`."""
        order = np.argsort(self.caption_id)
        place = np.searchsorted(self.caption_id, caption_ids, sorter=order)
        rows = order[np.minimum(place, len(order) - 1)] if len(order) else np.zeros(0, np.int64)
        rows = rows[self.caption_id[rows] == caption_ids[: len(rows)]]
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


def check_vectors(embedding: np.ndarray, what: str) -> None:
    """
    Makes sure that vectors can be a SurgCLIP's embeddings of clips, which are means of unit vectors.

    Args:
        embedding: `(num_rows, dimension)` float16.
        what: Where they are, for the message.

    Raises:
        ValueError: they are too wide, not finite, longer than 1, or without values on both sides of 0.
    """
    if not 1 <= embedding.shape[1] <= MAX_DIMENSION:
        raise ValueError(
            f"{what} has embeddings of {embedding.shape[1]:,} numbers, expected at most {MAX_DIMENSION:,}"
        )
    if not np.isfinite(embedding).all():
        raise ValueError(f"{what} has embeddings that are not finite in float16; embed the clips again")
    longest = np.sqrt((embedding.astype(np.float32) ** 2).sum(axis=1).max(initial=0.0))
    if longest > _MAX_NORM:
        raise ValueError(
            f"{what} has a vector of length {longest:.3g}, expected at most 1, as a SurgCLIP's embeddings"
        )
    if len(embedding) and not (embedding.min() < 0 < embedding.max()):
        raise ValueError(f"{what} has vectors of one sign, expected both, as of a SurgCLIP's embeddings")
