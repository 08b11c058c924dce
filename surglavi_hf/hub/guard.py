# SPDX-License-Identifier: Apache-2.0
"""Looks at what is about to be published, and refuses what must never be: pixels, sound, scripts, pickles."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .dataset_tables import SHARD_NAME
from .repository import Content
from .takedown import TAKEDOWN_NAME

_DATASET_TEXTS = ("README.md", TAKEDOWN_NAME)
_PLAIN = (pa.int64(), pa.float64(), pa.string(), pa.bool_())
_FEATURES = {"Value", "ClassLabel", "List"}
_NO_LANGUAGE = r"\S{1000}"  # no word is that long; encoded bytes are
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}")
_MODEL_NAME = re.compile(
    r"(evaluation/([\w.-]+/)?|\.eval_results/)?[\w.-]+\.(json|jsonl|md|py|safetensors|txt|yaml)", re.ASCII
)


def check_dataset_files(files: Mapping[str, Content]) -> None:
    """
    Makes sure that nothing but tables of numbers and texts is pushed to a dataset repository.

    Raises:
        ValueError: a file has another name or kind, a column may hold bytes, or a text is none.
    """
    for name, content in files.items():
        if name in _DATASET_TEXTS:
            _check_text(name, content)
        elif SHARD_NAME.fullmatch(name) and isinstance(content, Path):
            _check_parquet(name, content)
        else:
            raise ValueError(f"{name} is not pushed: a dataset repository gets tables, its card and its takedown list")


def check_model_files(files: Mapping[str, Content]) -> None:
    """
    Makes sure that nothing but weights, code, settings and figures is pushed to a model repository.

    Raises:
        ValueError: a file has another name or kind.
    """
    for name, content in files.items():
        if not _MODEL_NAME.fullmatch(name):
            raise ValueError(f"{name} is not pushed: a model is safetensors, JSON, YAML, text and Python code")
        if not name.endswith(".safetensors"):
            _check_text(name, content)


def _check_text(name: str, content: Content) -> None:
    data = content if isinstance(content, bytes) else content.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not pushed: it is no UTF-8 text ({error.reason})") from error
    if "\0" in text:
        raise ValueError(f"{name} is not pushed: it is no text, it has zero bytes")
    if _TOKEN.search(text):
        raise ValueError(f"{name} is not pushed: it has what looks like a token of the Hub; take it out")


def _check_parquet(name: str, path: Path) -> None:
    try:
        opened = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise ValueError(f"{name} is not pushed: it is no Parquet file ({error})") from error
    with opened as file:
        schema = file.schema_arrow
        for column in schema:
            if column.type not in _PLAIN and not _is_embedding(name, column.type):
                raise ValueError(f"{name} is not pushed: column {column.name} of type {column.type} may hold video")
        features = json.loads((schema.metadata or {}).get(b"huggingface", b'{"info": {"features": {}}}'))["info"][
            "features"
        ]
        for column, feature in features.items():
            if feature.get("_type") not in _FEATURES:
                raise ValueError(
                    f"{name} is not pushed: column {column} is a {feature.get('_type')}, which needs code"
                )
        texts = [column.name for column in schema if column.type == pa.string()]
        for batch in file.iter_batches(columns=texts):
            for column in batch.schema.names:
                _check_cells(f"{name}, column {column}", batch[column])


def _is_embedding(name: str, column: pa.DataType) -> bool:
    is_list = pa.types.is_list(column) or pa.types.is_fixed_size_list(column)
    return name.startswith("embeddings/") and is_list and column.value_type == pa.float16()


def _check_cells(where: str, texts: pa.Array) -> None:
    if pc.any(pc.match_substring(texts, "\0")).as_py():
        raise ValueError(f"{where} is not pushed: a text has zero bytes, so it is none")
    if pc.any(pc.match_substring_regex(texts, _NO_LANGUAGE)).as_py():
        raise ValueError(f"{where} is not pushed: a text has 1,000 characters without a space, so it is no language")
