# SPDX-License-Identifier: Apache-2.0
"""Looks at tables that are about to be published, and refuses what is not a column, number or text of SurgLaVi."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Features, are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from ..data.embeddings import EMBEDDINGS, check_vectors
from .dataset_tables import as_dataset
from .guard_text import AddressTest, check_secrets, without_numbers
from .language import LanguageTest
from .published import (
    LANGUAGE,
    LEVELS,
    MAX_LABEL,
    NAMES,
    NEVER_NULL,
    OF_VIDEO,
    RANGES,
    SHORT,
    published_features,
)

_ZERO_IS_UNKNOWN = {"fps", "width", "height", "year", "frame_count", "total_caption_count"}
_LONGEST_WORD = 500  # ASCII; of real captions 425
_TOO_LONG_WORD = f"[!-~]{{{_LONGEST_WORD + 1}}}"


def check_tables(paths: Mapping[str, Path]) -> None:
    """
    Makes sure that tables have the columns of SurgLaVi alone, with numbers in their ranges and texts in a language,
    and that the files have nothing but their rows.

    Args:
        paths: By name in the repository, `CONFIG/SPLIT-….parquet`.

    Raises:
        ValueError: it is otherwise.
    """
    tests: dict[str, LanguageTest | AddressTest] = {}
    videos = {name: _read(name, path) for name, path in paths.items() if name.startswith("videos/")}
    known = pa.concat_tables(videos.values()) if videos else None
    captions: dict[str, pa.ChunkedArray] = {}  # of config `all`, by split
    for name, path in sorted(paths.items()):
        config, split = name.split("/")[0], name.split("/")[1].split("-")[0]
        table = videos[name] if name in videos else _read(name, path)
        if config == EMBEDDINGS:
            _check_embeddings(name, table, captions.get(split))
        else:
            _check_numbers(name, table)
            _check_videos(name, table, known)
        if "caption" in table.column_names:
            _check_captions(name, table, None if config == "all" else LEVELS.index(config))
        if config == "all":
            ids = captions.get(split)
            captions[split] = pa.chunked_array((ids.chunks if ids else []) + table["caption_id"].chunks, pa.int64())
        _check_texts(name, table, tests)
    for test in tests.values():
        test.finish()


def _read(name: str, path: Path) -> pa.Table:
    """Returns the rows of a file that has nothing else."""
    config = name.split("/")[0]
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{name} is not pushed: it is no Parquet file ({' '.join(str(error).split())[:200]})"
        ) from error
    dimension = 0
    if config == EMBEDDINGS and "embedding" in table.column_names:
        kind = table.schema.field("embedding").type
        dimension = kind.list_size if pa.types.is_fixed_size_list(kind) else 0
    features = published_features(config, dimension)
    expected = features.arrow_schema
    for column in table.schema:
        if column.name not in features:
            raise ValueError(
                f"{name} is not pushed: column {column.name} is none of SurgLaVi's, expected {', '.join(features)}"
            )
        if column.type != expected.field(column.name).type:
            raise ValueError(
                f"{name} is not pushed: column {column.name} has type {column.type}, expected "
                f"{expected.field(column.name).type}"
            )
    if table.column_names != list(features):
        raise ValueError(
            f"{name} is not pushed: it has the columns {', '.join(table.column_names)}, expected each of "
            f"{', '.join(features)} once and in this order"
        )
    if _written(table, features) != path.read_bytes():
        raise ValueError(
            f"{name} is not pushed: the file has more than its rows (metadata, or bytes between its pages), or other "
            "software wrote it; let surglavi push-dataset write it"
        )
    return table


def _written(table: pa.Table, features: Features) -> bytes:
    """Returns the file that we write of these rows."""
    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        file = io.BytesIO()
        as_dataset(table.replace_schema_metadata(None), features).to_parquet(file)
        return file.getvalue()
    finally:
        if shown:
            enable_progress_bars()


def _check_numbers(name: str, table: pa.Table) -> None:
    for column in table.column_names:
        where, values = f"{name}, column {column}", table[column]
        if column in NEVER_NULL and values.null_count:
            raise ValueError(f"{where} is not pushed: {values.null_count} rows have no value; run surglavi check")
        if column in RANGES:
            low, high = RANGES[column]
            inside = pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))
            if column in _ZERO_IS_UNKNOWN:
                inside = pc.or_(inside, pc.equal(values, 0))
            outside = values.filter(pc.invert(inside))
            if len(outside):
                raise ValueError(
                    f"{where} is not pushed: it holds {outside[0]}, expected {low:,} to {high:,}; correct the "
                    "database, or make the value NULL"
                )
    own = table.column_names[0]
    if np.any(np.diff(table[own].to_numpy()) <= 0):
        raise ValueError(f"{name}, column {own} is not pushed: its numbers do not ascend, so they are no ids")


def _check_videos(name: str, table: pa.Table, known: pa.Table | None) -> None:
    """All rows of a video say the same of it, and what config `videos` says where it is there."""
    if "name" in table.column_names:
        return
    ids = table["video_id"].combine_chunks()
    reference = ids if known is None else known["video_id"].combine_chunks()
    row = pc.index_in(ids, reference)
    if row.null_count:
        raise ValueError(f"{name}, column video_id is not pushed: {row.null_count} rows are of no video of `videos`")
    for column, in_videos in OF_VIDEO.items():
        if column in table.column_names:
            values = table[column].combine_chunks()
            expected = (values if known is None else known[in_videos].combine_chunks()).take(row)
            same = pc.fill_null(pc.equal(values, expected), False)
            same = pc.or_(same, pc.and_(values.is_null(), expected.is_null()))
            if not pc.all(same, min_count=0).as_py():
                raise ValueError(
                    f"{name}, column {column} is not pushed: it differs among the rows of one video, so it is no "
                    "fact about the video"
                )


def _check_captions(name: str, table: pa.Table, level: int | None) -> None:
    start, end, duration = (table[column].to_numpy() for column in ("start_time", "end_time", "duration"))
    if np.any(start >= end):
        raise ValueError(f"{name}, column start_time is not pushed: a clip ends before it starts; run surglavi check")
    # A few databases round durations their own way.
    if len(start) and np.mean(np.abs(end - start - duration) > 1) > 0.1:
        raise ValueError(f"{name}, column duration is not pushed: it is not end_time - start_time (s)")
    for column in ("is_surgical_content", "is_descriptive"):
        if not pc.all(table[column], min_count=0).as_py():
            raise ValueError(f"{name}, column {column} is not pushed: a row is not marked, and only marked ones are")
    levels = table["level"].to_numpy()
    if level is not None and np.any(levels != level):
        raise ValueError(f"{name}, column level is not pushed: it holds other levels than {LEVELS[level]}")
    row = pc.index_in(table["parent_caption_id"].combine_chunks(), table["caption_id"].combine_chunks())
    child = np.flatnonzero(row.is_valid().to_numpy(zero_copy_only=False))
    parent = row.drop_null().to_numpy()
    video = table["video_id"].to_numpy()
    if np.any(video[child] != video[parent]) or np.any(levels[child] + 1 != levels[parent]):
        raise ValueError(
            f"{name}, column parent_caption_id is not pushed: it names captions of other videos, or not of the level "
            "above"
        )


def _check_embeddings(name: str, table: pa.Table, captions: pa.ChunkedArray | None) -> None:
    _check_numbers(name, table)
    if captions is not None and not pc.all(pc.is_in(table["caption_id"], captions), min_count=0).as_py():
        raise ValueError(f"{name}, column caption_id is not pushed: it names captions that are not in config all")
    for column in ("model_id", "model_revision"):
        if len(pc.unique(table[column])) > 1:
            raise ValueError(f"{name}, column {column} is not pushed: it has several values, expected one model")
    lists = table["embedding"].combine_chunks()
    values = lists.flatten().to_numpy().reshape(len(table), -1)
    check_vectors(values, f"{name}, column embedding is not pushed: it")
    if len(values) and not (values.min() < 0 < values.max()):
        raise ValueError(
            f"{name}, column embedding is not pushed: it has vectors of one sign, expected both, as of embeddings"
        )


def _check_texts(name: str, table: pa.Table, tests: dict[str, LanguageTest | AddressTest]) -> None:
    for column in table.column_names:
        limit = LANGUAGE.get(column) or NAMES.get(column) or SHORT.get(column)
        if limit is None:
            continue
        where, texts = f"{name}, column {column} is not pushed", table[column]
        if pc.any(pc.match_substring(texts, "\0")).as_py():
            raise ValueError(f"{where}: a text has zero bytes, so it is none")
        longest = pc.max(pc.utf8_length(texts)).as_py() or 0
        if longest > limit:
            raise ValueError(f"{where}: a text has {longest:,} characters, expected at most {limit:,}")
        check_secrets(where, texts)
        if column in LANGUAGE:
            if pc.any(pc.match_substring_regex(texts, _TOO_LONG_WORD)).as_py():
                raise ValueError(f"{where}: a text has a word of more than {_LONGEST_WORD} characters")
            test = tests.setdefault(column, LanguageTest(f"column {column} is not pushed"))
            found = pc.unique(texts).drop_null().to_pylist()
            test.add(map(without_numbers, found) if limit <= MAX_LABEL else found)  # such as "Case 1024"
        elif column in NAMES:
            test = tests.setdefault(column, AddressTest(f"column {column} is not pushed"))
            ids = table["youtube_id"]
            pairs = pa.table({"text": texts, "id": ids}).group_by(["text", "id"]).aggregate([])
            test.add(zip(pairs["text"].to_pylist(), pairs["id"].to_pylist(), strict=True))
