# SPDX-License-Identifier: Apache-2.0
"""What an evaluation returns."""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path


@dataclass
class EvalReport:
    """
    Result of an evaluation; written to JSON and read back without loss.

    Args:
        benchmark: What was measured on.
        metrics: Values by full name.
        protocol: Every choice the values depend on, by name.
        predictions: What was predicted: for each clip in order a class, or for each query the rank of its first match.
        seconds: How long it took, without embeddings that were given.
    """

    benchmark: str
    metrics: dict[str, float]
    protocol: dict[str, str | int | float | bool | None]
    predictions: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self, path: str | os.PathLike) -> None:
        """Writes the report, beside and then renamed."""
        path = Path(path)
        beside = path.with_name(f".{path.name}-unfinished")
        beside.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(path)

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> "EvalReport":
        """
        Reads a report.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no report.
        """
        names = {item.name for item in fields(cls)}
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not JSON ({error}); expected what EvalReport.to_json writes") from error
        if not isinstance(content, dict) or set(content) != names:
            raise ValueError(f"{path} is no EvalReport, expected an object with the keys {', '.join(sorted(names))}")
        return cls(**content)
