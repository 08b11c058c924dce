# SPDX-License-Identifier: Apache-2.0
"""The tables of SurgLaVi as Parquet files of built-in types, which anyone can load."""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features, load_dataset
from datasets.table import InMemoryTable

from ..data import CONFIGS, SplitOptions, Takedown
from ..data.embeddings import EMBEDDINGS

MAX_SHARD_BYTES = 500_000_000  # of Arrow, less as Parquet
SHARD_NAME = re.compile(
    rf"({'|'.join((*CONFIGS, EMBEDDINGS))})/(train|validation|test)-\d{{5}}-of-\d{{5}}\.parquet", re.ASCII
)
# Of this machine: where a clip is read from, and where a transcription lies.
_LOCAL = ("clip", "file")


@dataclass(frozen=True)
class SplitTables:
    """
    Args:
        config, split: Of SurgLaVi.
        dataset: The rows that are published.
        files: Where they lie, by path in the repository.
    """

    config: str
    split: str
    dataset: Dataset
    files: dict[str, Path]


def published_splits(
    data_dir: str | os.PathLike, takedown: Takedown, splits: SplitOptions, cache_dir: str | os.PathLike | None = None
) -> Iterator[tuple[str, str, Dataset]]:
    """
    Yields config, split and rows of all that is published of the database in a folder; a split without rows is left
    out.

    Args:
        data_dir: Holds `surglavi_beta.db`.
        takedown: What is left out.
        splits: Shares of the videos that make further splits.
        cache_dir: Where rows lie meanwhile; by default in the cache of datasets, for the next time.
    """
    where = {"data_dir": os.fspath(data_dir), "cache_dir": cache_dir and os.fspath(cache_dir)}
    for config in CONFIGS:
        for split, dataset in load_dataset("surglavi", config, **where, **asdict(splits)).items():
            dataset = dataset.remove_columns([name for name in _LOCAL if name in dataset.features])
            table = takedown.applied_to(dataset.data.table)
            if table.num_rows:
                yield config, str(split), as_dataset(table, dataset.features)


def with_copies(data_dir: str | os.PathLike, takedown: Takedown) -> Takedown:
    """Returns a list with the YouTube ids of the videos that it has the names of, by the database in a folder."""
    for part in load_dataset("surglavi", "videos", data_dir=os.fspath(data_dir)).values():
        takedown = takedown.with_copies(part.data.table)
    return takedown


def unknown_entries(data_dir: str | os.PathLike, takedown: Takedown) -> Takedown:
    """Returns what a list has that names nothing in the database in a folder."""
    videos, captions = takedown.videos, takedown.captions
    if videos:
        for part in load_dataset("surglavi", "videos", data_dir=os.fspath(data_dir)).values():
            videos &= takedown.unknown(part.data.table)
    if captions:
        for part in load_dataset("surglavi", "all", data_dir=os.fspath(data_dir)).values():
            captions -= {*part["caption_id"]}
    return Takedown(videos, captions)


def as_dataset(table: pa.Table, features: Features) -> Dataset:
    """Returns a table as a dataset, in memory."""
    table = table.combine_chunks().cast(features.arrow_schema)
    return Dataset(InMemoryTable(table), info=DatasetInfo(features=features))


def write_shards(config: str, split: str, dataset: Dataset, folder: Path) -> SplitTables:
    """
    Writes the rows of a split below a folder, as datasets names them. By one version of pyarrow, the same rows give
    the same bytes.
    """
    num_shards = max(1, math.ceil(dataset.data.nbytes / MAX_SHARD_BYTES))
    files = {}
    (folder / config).mkdir(exist_ok=True)
    for index in range(num_shards):
        name = f"{config}/{split}-{index:05d}-of-{num_shards:05d}.parquet"
        dataset.shard(num_shards, index, contiguous=True).to_parquet(folder / name)
        files[name] = folder / name
    return SplitTables(config, split, dataset, files)
