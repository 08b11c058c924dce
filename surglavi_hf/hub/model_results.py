# SPDX-License-Identifier: Apache-2.0
"""What was measured of a model, for its card: reports of its folder, and what training logged."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml
from safetensors import safe_open

from .card_text import inline, table

if TYPE_CHECKING:
    from ..evaluation.report import EvalReport

EVALUATION_DIR = "evaluation"
INDEX_NAME = "model.safetensors.index.json"
MAX_LINES = 500  # of training's log, with and without measures of validation
_SURGLAVI = "aleperez24/SurgLaVi"  # on the Hub
_METRIC_TYPES = {"accuracy": "accuracy", "macro_f1": "f1"}


@dataclass(frozen=True)
class Results:
    """
    Args:
        reports: By their path in the folder.
        validation: The last line of the log that has measures of validation; empty where there is none.
    """

    reports: dict[str, "EvalReport"]
    validation: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, metrics_name: str) -> "Results":
        """
        Reads the reports in `evaluation/` (`*.json` and `*/report.json`) and the log of training.

        Raises:
            ValueError: a report is none, or of other weights than those in the folder.
        """
        evaluation = folder / EVALUATION_DIR
        paths = sorted([*evaluation.glob("*.json"), *evaluation.glob("*/report.json")])
        reports = _read_reports(folder, paths) if paths else {}
        log = folder / metrics_name
        lines = list(read_lines(log)) if log.is_file() else []
        measured = [line for line in lines if _is_measured(line)]
        return cls(reports, measured[-1] if measured else {})

    @property
    def validation_measures(self) -> dict[str, float]:
        """By name without `validation/`."""
        return {
            name.removeprefix("validation/"): value
            for name, value in self.validation.items()
            if name.startswith("validation/") and name != "validation/unreadable" and _is_number(value)
        }


def _read_reports(folder: Path, paths: list[Path]) -> dict[str, "EvalReport"]:
    # Evaluation is an extra, which training does without.
    from ..evaluation.report import EvalReport, weights_digest

    reports = {path.relative_to(folder).as_posix(): EvalReport.from_json(path) for path in paths}
    with ExitStack() as stack:
        files = [stack.enter_context(safe_open(folder / name, "pt")) for name in weight_files(folder)]
        file_of = {name: file for file in files for name in file.keys()}  # noqa: SIM118  no mapping
        digest = weights_digest((name, file_of[name].get_tensor(name)) for name in sorted(file_of))
    for name, report in reports.items():
        if report.model.get("weights_sha256") != digest:
            raise ValueError(
                f"{folder / name} is of other weights ({report.model.get('name')}) than those in {folder}; evaluate "
                "this model, or take the report away"
            )
    measured = [(report.benchmark, report.protocol.get("split")) for report in reports.values()]
    if twice := [pair for pair in measured if measured.count(pair) > 1]:
        raise ValueError(
            f"{folder / EVALUATION_DIR} has two reports of {twice[0][0]}, split {twice[0][1]}; take one away"
        )
    return reports


def thinned_log(path: Path) -> bytes:
    """
    Returns what is pushed of a file of JSON lines: of those with measures of validation and of the others up to
    `MAX_LINES` each, evenly, with the last. Pushed at every checkpoint, all lines would be pushed many times.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    parsed = [(number, next(_objects([line]), None)) for number, line in enumerate(lines)]
    kept: set[int] = set()
    for measured in (True, False):
        some = [n for n, line in parsed if line is not None and measured == _is_measured(line)]
        step = max(1, (len(some) - 1) / (MAX_LINES - 1))
        kept |= {some[-1 - round(place * step)] for place in range(min(len(some), MAX_LINES))}
    return "".join(f"{lines[number]}\n" for number in sorted(kept)).encode()


def read_lines(path: Path) -> Iterator[dict]:
    """Returns the objects of a file of JSON lines; skips what a full disk or a kill left half written."""
    return _objects(path.read_text(encoding="utf-8", errors="replace").splitlines())


def _objects(lines: Iterable[str]) -> Iterator[dict]:
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def weight_files(folder: Path) -> list[str]:
    """Returns the names of the files with the weights, whether they are there or not."""
    index = folder / INDEX_NAME
    if not index.is_file():
        return ["model.safetensors"]
    try:
        return sorted({str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{index} is no index of weights ({error}); write the model again") from error


def results_markdown(results: Results) -> str:
    """Returns the section on results, with a table for each report; nothing where nothing was measured."""
    parts = []
    for name, report in results.reports.items():
        rows = [[key, f"{value:.4g}"] for key, value in report.metrics.items() if _is_number(value)]
        choices = [[key, str(value)] for key, value in report.protocol.items() if value is not None]
        parts += [
            f"### {inline(report.benchmark)}\n\n| measure | value |\n|---|---|\n{table(rows)}\n",
            f"<details><summary>Protocol; the whole report is {name}</summary>\n",
            f"| choice | value |\n|---|---|\n{table(choices)}\n\n</details>\n",
        ]
    if results.validation_measures:
        rows = [[name, f"{value:.4g}"] for name, value in results.validation_measures.items()]
        heading = f"### Validation while training, step {results.validation.get('step')}"
        parts.append(f"{heading}\n\n| measure | value |\n|---|---|\n{table(rows)}\n")
    return "\n## Results\n\n" + "\n".join(parts) if parts else ""


def eval_results(results: Results) -> list[EvalResult]:
    """Returns what was measured as the Hub's `model-index` has it."""
    found = []
    for report in results.reports.values():
        split = report.protocol.get("split")
        for name, value in report.metrics.items():
            if _is_number(value):
                found.append(_eval_result(report.benchmark, split, name, value))
    for name, value in results.validation_measures.items():
        found.append(_eval_result("surglavi", "validation", name, value))
    return [result for result in found if "chance" not in result.metric_name]  # which is no result of the model


def eval_result_files(results: Results, pairs: Iterable[tuple[str, str]]) -> dict[str, bytes]:
    """
    Returns files of `.eval_results/`, which the Hub shows at a registered benchmark.

    Args:
        results: What was measured.
        pairs: `("BENCHMARK:MEASURE", "NAME/REPOSITORY:TASK")`, for example
            `("autolaparo:accuracy_all_frames", "me/autolaparo:phases")`.

    Raises:
        ValueError: an id is of another form, or no report has that measure.
    """
    reports = {report.benchmark: report for report in results.reports.values()}
    entries: dict[str, list[EvalResultEntry]] = {}
    for measured, registered in pairs:
        benchmark, _, measure = measured.partition(":")
        match = re.fullmatch(r"([\w.-]+/[\w.-]+):([\w.-]+)", registered, re.ASCII)
        if not match:
            raise ValueError(f"registered benchmark {registered!r}, expected NAME/REPOSITORY:TASK")
        value = reports[benchmark].metrics.get(measure) if benchmark in reports else None
        if value is None:
            there = sorted(reports) if benchmark not in reports else sorted(reports[benchmark].metrics)
            raise ValueError(
                f"nothing was measured as {measured!r}; expected one of {', '.join(there) or 'no report'}"
            )
        entry = EvalResultEntry(match[1], match[2], value, notes=f"{measured}, surglavi_hf")
        entries.setdefault(match[1], []).append(entry)
    return {
        f".eval_results/surglavi_hf--{dataset_id.replace('/', '--')}.yaml": yaml.safe_dump(
            eval_result_entries_to_yaml(found), sort_keys=False
        ).encode()
        for dataset_id, found in entries.items()
    }


def _is_measured(line: dict) -> bool:
    return any(name.startswith("validation/") for name in line)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _eval_result(benchmark: str, split: Any, name: str, value: float) -> EvalResult:
    metric_type = next((kind for start, kind in _METRIC_TYPES.items() if name.startswith(start)), name)
    return EvalResult(
        task_type="video-classification",
        dataset_type=_SURGLAVI if benchmark.startswith("surglavi") else benchmark,
        dataset_name=benchmark,
        metric_type=metric_type,
        metric_name=name,
        metric_value=value,
        dataset_split=str(split) if split is not None else None,
    )
