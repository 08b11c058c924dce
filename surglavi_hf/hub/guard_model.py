# SPDX-License-Identifier: Apache-2.0
"""Looks at the files of a model that is about to be published."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .guard_text import check_document, check_secrets, without_numbers
from .language import LanguageTest

_LONGEST_TEXT = 10_000  # characters, in JSON
_MAX_NUMBERS = 5_000  # in a settings file
_MAX_DIGESTS = 100
_MAX_HEADER_PADDING = 8  # bytes
_MAX_TOKENS, _LONGEST_TOKEN = 300_000, 100
_MAX_LOG_VALUES = 200  # in a line
_SPECIAL_TOKEN = re.compile(r"\[\w+\]", re.ASCII)
_MAX_ODD_TOKENS = 50
_DIGEST = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}")
# By name: what a saved model may carry of our code.
CODE = {path.name: path for room in ("models", "surgclip") for path in (Path(__file__).parents[1] / room).glob("*.py")}


def check_json(name: str, text: str) -> None:
    """Raises ValueError where a file of settings holds more than settings."""
    content = _parse(name, text)
    if name == "tokenizer.json":
        content = _without_vocabulary(name, content)
    if name == "training.json" and isinstance(content, dict):
        content = dict(content)
        _check_videos(name, content.pop("trained_on", []))
    _check_values(name, content)


def check_report(name: str, text: str) -> None:
    """Raises ValueError where a report of an evaluation holds more than that; that it is one is known already."""
    content = _parse(name, text)
    if isinstance(content, dict):
        protocol = content.get("protocol") if isinstance(content.get("protocol"), dict) else {}
        counts = [value for key, value in protocol.items() if key.startswith("num_") and isinstance(value, int)]
        most, predictions = max(counts, default=0), content.pop("predictions", [])
        if not isinstance(predictions, list) or len(predictions) > most:
            raise ValueError(
                f"{name} is not pushed: it has more predictions than frames, clips or captions ({most:,} by its "
                "protocol)"
            )
        if not all(type(value) is int and 0 <= value <= most for value in predictions):
            raise ValueError(f"{name} is not pushed: its predictions are neither classes nor ranks")
    _check_values(name, content)


def check_log(name: str, text: str) -> None:
    """Raises ValueError where a line of training's log is more than figures by name."""
    names = LanguageTest(f"{name} is not pushed")
    check_secrets(f"{name} is not pushed", text)
    for line in filter(str.strip, text.splitlines()):
        content = _parse(name, line)
        values = list(_values(content))
        if not isinstance(content, dict) or len(values) > _MAX_LOG_VALUES:
            raise ValueError(f"{name} is not pushed: a line is no object of at most {_MAX_LOG_VALUES} figures")
        names.add(without_numbers(value.replace("_", " ").replace("/", " ")) for value in _texts(content))
    names.finish()


def check_code(name: str, text: str) -> None:
    """Raises ValueError where a file of the model's code holds what is no code; this version's own is known."""
    if CODE[name].read_text(encoding="utf-8") != text:
        check_document(f"{name} is not pushed", text)


def check_weight_file(name: str, path: Path) -> None:
    """Raises ValueError where the header of a safetensors file holds more than names, shapes and places of tensors."""
    where = f"{name} is not pushed"
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length < path.stat().st_size else b""
    try:
        content = json.loads(header)
        metadata = content.pop("__metadata__", {})
        kinds = {key: (set(value), len(value["shape"])) for key, value in content.items()}
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{where}: it cannot be read as weights; write the model again") from error
    if metadata not in ({}, {"format": "pt"}):
        raise ValueError(f"{where}: it has metadata of its own, expected the format alone; write the model again")
    compact = {"__metadata__": metadata, **content} if metadata else content
    used = len(json.dumps(compact, separators=(",", ":"), ensure_ascii=False).encode())
    if any(kind != {"dtype", "shape", "data_offsets"} for kind, _ in kinds.values()) or (
        length > used + _MAX_HEADER_PADDING
    ):
        raise ValueError(f"{where}: its header has more than tensors; write the model again")
    size = max((value["data_offsets"][1] for value in content.values()), default=0)
    if 8 + length + size != path.stat().st_size:
        raise ValueError(f"{where}: it cannot be read as weights, its size is not that of its tensors; write it again")


def _parse(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not pushed: it is not JSON ({str(error)[:100]})") from error


def _check_values(name: str, content: Any) -> None:
    where = f"{name} is not pushed"
    texts = list(_texts(content))
    numbers = sum(not isinstance(value, str) for value in _values(content))
    digests = [text for text in texts if _DIGEST.fullmatch(text)]
    if numbers > _MAX_NUMBERS or len(digests) > _MAX_DIGESTS:
        raise ValueError(
            f"{where}: it has {numbers:,} numbers and {len(digests):,} digests, expected at most {_MAX_NUMBERS:,} and "
            f"{_MAX_DIGESTS}"
        )
    longest = max(map(len, texts), default=0)
    if longest > _LONGEST_TEXT:
        raise ValueError(f"{where}: it has a text of {longest:,} characters, expected at most {_LONGEST_TEXT:,}")
    check_document(where, "\n".join(text for text in texts if not _DIGEST.fullmatch(text)))


def _without_vocabulary(name: str, content: Any) -> Any:
    """Returns the settings of a tokenizer, whose tokens have been looked at."""
    where = f"{name} is not pushed"
    try:
        vocabulary = content["model"]["vocab"]
        tokens, ids = list(vocabulary), sorted(vocabulary.values())
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where}: it has no vocabulary; write the model again") from error
    longest = max(map(len, tokens), default=0)
    if len(tokens) > _MAX_TOKENS or longest > _LONGEST_TOKEN or ids != list(range(len(ids))):
        raise ValueError(
            f"{where}: expected a vocabulary of at most {_MAX_TOKENS:,} tokens of {_LONGEST_TOKEN} characters, "
            "numbered from 0"
        )
    words = [token.removeprefix("##") for token in tokens]
    words = [word for word in words if len(word) > 4 and not word.isdigit() and not _SPECIAL_TOKEN.fullmatch(word)]
    if sum(not word.isalnum() for word in words) > _MAX_ODD_TOKENS:
        raise ValueError(f"{where}: its vocabulary has more than {_MAX_ODD_TOKENS} tokens with signs")
    test = LanguageTest(where, repeats=False)
    test.add(map(without_numbers, words))
    test.finish()
    return content | {"model": {key: value for key, value in content["model"].items() if key != "vocab"}}


def _check_videos(name: str, digests: Any) -> None:
    """Of the videos a model was trained on."""
    known = isinstance(digests, list) and all(isinstance(text, str) for text in digests)
    if not known or not all(re.fullmatch("[0-9a-f]{16}", text) for text in digests) or sorted(set(digests)) != digests:
        raise ValueError(
            f"{name} is not pushed: trained_on is no sorted list of digests of 16 hexadecimal digits; write it again"
        )


def _values(content: Any) -> Iterator[Any]:
    """Texts, numbers and the like, and names, in whatever depth."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield str(key)
            yield from _values(value)
    elif isinstance(content, list):
        for value in content:
            yield from _values(value)
    else:
        yield content


def _texts(content: Any) -> Iterator[str]:
    return (value for value in _values(content) if isinstance(value, str))
