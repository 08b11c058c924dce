# SPDX-License-Identifier: Apache-2.0
"""
Looks at what is about to be published, and lets through what is known: SurgLaVi's columns, a model's files, texts in a
language. Pixels, sound, scripts, pickles and secrets must never be.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from ..data import TAKEDOWN_NAME, Takedown
from .dataset_tables import SHARD_NAME
from .guard_model import CODE, check_code, check_json, check_log, check_report, check_weight_file
from .guard_tables import check_tables
from .guard_text import AddressTest, check_document, check_secrets
from .repository import Content

CARD_NAME = "README.md"
_MAX_DOCUMENT = 1_000_000  # bytes
_MAX_ENTRIES, _MAX_ENTRY = 500_000, 255  # of the takedown list
_SETTINGS = ("config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json", "conversion.json")
_SETTINGS += ("preprocessor_config.json", "training.json", "model.safetensors.index.json")
_LOG = "metrics.jsonl"
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors", re.ASCII)
_REPORT = re.compile(r"evaluation/([\w.-]+/report|[\w.-]+)\.json", re.ASCII)
_RESULTS = re.compile(r"\.eval_results/surglavi_hf--[\w.-]+\.yaml", re.ASCII)


def check_dataset_files(files: Mapping[str, Content]) -> None:
    """
    Makes sure that nothing but SurgLaVi's tables, their card and the takedown list is pushed to a dataset repository.

    Raises:
        ValueError: a file has another name or kind, a table has another column or more than its rows, a number is out
            of range, or a text is in no language.
    """
    tables = {}
    for name, content in files.items():
        if SHARD_NAME.fullmatch(name) and isinstance(content, Path):
            tables[name] = content
        elif name == CARD_NAME:
            check_document(f"{name} is not pushed", _text(name, content))
        elif name == TAKEDOWN_NAME:
            _check_takedown(name, _text(name, content))
        else:
            raise ValueError(f"{name} is not pushed: a dataset repository gets tables, its card and its takedown list")
    check_tables(tables)


def check_model_files(files: Mapping[str, Content]) -> None:
    """
    Makes sure that nothing but a model's own files is pushed to a model repository: those that training, `surglavi
    convert` and the evaluation write.

    Raises:
        ValueError: a file has another name or kind, or holds what such a file does not.
    """
    for name, content in files.items():
        if _WEIGHTS.fullmatch(name) and isinstance(content, Path):
            check_weight_file(name, content)
            continue
        known = name in (*_SETTINGS, _LOG, CARD_NAME) or name in CODE
        if not known and not _REPORT.fullmatch(name) and not _RESULTS.fullmatch(name):
            raise ValueError(
                f"{name} is not pushed: it is none of the files of a model that training or surglavi convert writes; "
                "move it out of the folder"
            )
        text = _text(name, content)
        if name in CODE:
            check_code(name, text)
        elif name == _LOG:
            check_log(name, text)
        elif _REPORT.fullmatch(name):
            check_report(name, text)
        elif name in _SETTINGS:
            check_json(name, text)
        else:
            check_document(f"{name} is not pushed", text)


def _text(name: str, content: Content) -> str:
    data = content if isinstance(content, bytes) else content.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not pushed: it is no UTF-8 text ({error.reason})") from error
    if "\0" in text:
        raise ValueError(f"{name} is not pushed: it is no text, it has zero bytes")
    if name.endswith((".md", ".py", ".yaml")) and len(data) > _MAX_DOCUMENT:
        raise ValueError(f"{name} is not pushed: it has {len(data):,} bytes, expected at most {_MAX_DOCUMENT:,}")
    return text


def _check_takedown(name: str, text: str) -> None:
    where = f"{name} is not pushed"
    check_secrets(where, text)
    entries = Takedown.of_text(text).entries()
    if len(entries) > _MAX_ENTRIES or max(map(len, entries), default=0) > _MAX_ENTRY:
        raise ValueError(
            f"{where}: expected at most {_MAX_ENTRIES:,} YouTube ids, names and captions of {_MAX_ENTRY} characters"
        )
    test = AddressTest(where)
    remarks = [line for line in text.splitlines() if line.startswith("#")]
    test.add((entry, entry) for entry in [*entries, *remarks] if not entry.startswith("caption:"))
    test.finish()
