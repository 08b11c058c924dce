# SPDX-License-Identifier: Apache-2.0
"""What an evaluation returns."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import write_text

if TYPE_CHECKING:
    import numpy as np
    import torch

# How files begin that an evaluation writes.
_BEGINNINGS = {".json": b'{\n  "benchmark": ', ".md": b"### ", ".png": b"\x89PNG\r\n\x1a\n"}
_LATER = {
    "unreadable",
    "title",
    "published",
    "published_note",
    "intervals",
    "per_video",
    "decoded",
}  # which earlier reports have not
LIBRARIES = (
    "surglavi-hf",
    *("torch", "torchvision", "transformers", "tokenizers", "datasets"),
    *("numpy", "scipy", "scikit-learn", "ivtmetrics"),
    *("timm", "open_clip_torch", "sentence-transformers"),
    *("pillow", "av", "torchcodec", "decord"),
)


class _Draws:
    __slots__ = ("_draws",)  # which is no part of what is written, compared and copied

    @property
    def draws(self) -> "dict[str, np.ndarray]":
        """Of each metric that has an interval its values in the draws of videos, as it was measured; not kept."""
        return getattr(self, "_draws", {})

    @draws.setter
    def draws(self, values: "dict[str, np.ndarray]") -> None:
        self._draws = values


@dataclass
class EvalReport(_Draws):
    """
    Result of an evaluation; written to JSON and read back without loss. Two reports are equal if all but their seconds
    are.

    Args:
        benchmark: What was measured on.
        metrics: Values by full name; None where there is nothing to measure.
        protocol: Every choice the values depend on, by name.
        per_class: For each class its name, frames and values.
        predictions: What was predicted: for each clip or labelled frame in order a class, or for each query the rank
            of its first match. Empty where frames have several classes.
        model: Name, revision on the Hub, and a digest of the weights.
        data_fingerprint: A digest of labels, frames and files.
        versions: Of the libraries that took part.
        seconds: How long it took, without embeddings that were given; over all processes and runs.
        unreadable: Of each clip that was left out because it cannot be read `caption_id`, `video_name`, `start_time`,
            `end_time` (s) and the `reason`.
        title: What the report is headed with; by default the benchmark.
        published: Of systems that others measured on this benchmark the figures in percent: of zero-shot recognition
            accuracy and macro F1, or mean average precision; of probing macro F1 by percent of training procedures.
        published_note: Where these come from, and what is not known of them.
        intervals: Of each metric that has one the ends of its 95 % interval.
        per_video: For each video its name and values.
        decoded: What scores give that are decoded over time, of each way its `name`, `how`, `metrics` and `intervals`.
        scores: For each video the scores of its labelled frames, of shape `(num_frames, num_classes)`; not written.
    """

    benchmark: str
    metrics: dict[str, float | None]
    protocol: dict[str, str | int | float | bool | None]
    per_class: list[dict[str, str | int | float | None]] = field(default_factory=list)
    predictions: list[int] = field(default_factory=list)
    model: dict[str, str | None] = field(default_factory=dict)
    data_fingerprint: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)
    unreadable: list[dict[str, str | int | float | None]] = field(default_factory=list)
    title: str = ""
    published: dict[str, list[float] | dict[str, float]] = field(default_factory=dict)
    published_note: str = ""
    intervals: dict[str, list[float]] = field(default_factory=dict)
    per_video: list[dict[str, str | int | float | None]] = field(default_factory=list)
    decoded: list[dict[str, Any]] = field(default_factory=list)
    scores: "dict[str, np.ndarray]" = field(default_factory=dict, compare=False, repr=False)

    def to_json(self, path: str | os.PathLike) -> None:
        """
        Writes the report, whole or not at all, also in the place of another report.

        Raises:
            ValueError: the name does not end in `.json`.
            FileExistsError: there is something else.
        """
        check_replaceable(path, ".json")
        content = asdict(replace(self, scores={}))
        del content["scores"]
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> "EvalReport":
        """
        Reads a report.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no report.
        """
        names = {item.name for item in fields(cls)} - {"scores"}
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON ({error}); expected what EvalReport.to_json writes") from error
        if not isinstance(content, dict) or set(content) | _LATER != names:
            raise ValueError(f"{path} is no EvalReport, expected an object with the keys {', '.join(sorted(names))}")
        return cls(**content)


def check_replaceable(path: str | os.PathLike, suffix: str) -> None:
    """
    Looks whether a file may be written that could be another than the caller thinks of.

    Args:
        suffix: ".json", ".md" or ".png": what is written.

    Raises:
        ValueError: the name of `path` does not end in `suffix`.
        FileExistsError: there is something that no evaluation wrote.
    """
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise ValueError(f"{path} is to be a {suffix[1:].upper()} file; give it a name that ends in {suffix}")
    beginning = b""
    if path.is_file():
        with path.open("rb") as file:
            beginning = file.read(len(_BEGINNINGS[suffix]))
    if path.exists() and beginning != _BEGINNINGS[suffix]:
        raise FileExistsError(f"{path} is there already, and not from an evaluation; name another, or move it away")


def weights_digest(tensors: Iterable[tuple[str, "torch.Tensor"]]) -> str:
    """Returns a digest of weights, as `model["weights_sha256"]` of a report has it; in the order of their names."""
    import torch

    digest = hashlib.sha256()
    for name, value in tensors:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def library_versions() -> dict[str, str]:
    """Returns the versions of what an evaluation runs on, as far as it is installed."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
