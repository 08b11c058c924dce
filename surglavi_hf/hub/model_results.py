# SPDX-License-Identifier: Apache-2.0
"""What was measured of a model, for its card: reports of its folder, and what training logged."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
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
_METRIC_TYPES = {"accuracy": "accuracy", "macro_f1": "f1", "mean_average_precision": "mAP"}
# Choices of a protocol by which reports of one benchmark are told apart, and how each is said.
_CHOICES = {
    "split_variant": "variant {}",
    "prompts": "prompts {}",
    "prompt_cleaning": "cleaned prompts: {}",
    "features": "{} features",
    "classifier": "{}",
    "window": "{} window",
    "window_num_frames": "of {} frames",
    "window_stride": "stride {}",
    "absent_classes": "absent classes {}",
}
_LEVELS = ("task", "step", "phase")
# Type and name of a task; the Hub has no type for retrieval of video.
_ZERO_SHOT = ("video-classification", "Zero-shot video classification")
_LINEAR_PROBE = ("video-classification", "Linear probe")
_RETRIEVAL = ("text-to-video-retrieval", "Retrieval between text and video")
_LONGEST_CHOICE = 60  # characters
_UNKNOWN_OVERLAP = "Whether the model was trained on these videos is not known."


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
            ValueError: a report is none, of other weights than those in the folder, or of videos that the model was
                trained on.
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
    for name, report in reports.items():
        _check_overlap(folder / name, report)
    known: dict[Any, str] = {}
    for name, report in reports.items():
        if (other := known.setdefault((report.benchmark, repr(sorted(report.protocol.items()))), name)) != name:
            raise ValueError(
                f"{folder / EVALUATION_DIR} has two reports of {report.benchmark} by one protocol, {other} and "
                f"{name}; take one away"
            )
    return reports


def _check_overlap(path: Path, report: "EvalReport") -> None:
    trained_on = report.protocol.get("trained_on_videos")
    if isinstance(trained_on, int | float) and trained_on > 0:
        raise ValueError(
            f"{path} was measured on {trained_on:,} videos that the model was trained on; evaluate on a held-out "
            f"split, or take the report out of {EVALUATION_DIR}/"
        )


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
        except (ValueError, RecursionError):
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
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{index} is no index of weights ({error}); write the model again") from error


def results_markdown(results: Results) -> str:
    """Returns the section on results, with a table for each report; nothing where nothing was measured."""
    parts = []
    for name, report in results.reports.items():
        rows = [[key, f"{value:.4g}"] for key, value in report.metrics.items() if _is_number(value)]
        choices = [[key, str(value)] for key, value in report.protocol.items() if value is not None]
        parts += [
            f"### {inline(report.benchmark)}\n\n| measure | value |\n|---|---|\n{table(rows)}\n",
            *([f"{_UNKNOWN_OVERLAP}\n"] if _may_have_seen(report) else []),
            f"<details><summary>Protocol; the whole report is {name}</summary>\n",
            f"| choice | value |\n|---|---|\n{table(choices)}\n\n</details>\n",
        ]
    if results.validation_measures:
        rows = [[name, f"{value:.4g}"] for name, value in results.validation_measures.items()]
        heading = f"### Validation while training, step {results.validation.get('step')}"
        parts.append(f"{heading}\n\n| measure | value |\n|---|---|\n{table(rows)}\n")
    return "\n## Results\n\n" + "\n".join(parts) if parts else ""


def eval_results(results: Results) -> list[EvalResult]:
    """
    Returns what was measured as the Hub's `model-index` has it: of each report one entry of its own, told apart by
    task, dataset, config and split.
    """
    found = []
    for report, config in zip(results.reports.values(), _configs(results.reports), strict=True):
        split = report.protocol.get("split")
        entry = _entry(report.benchmark, config, _task(report), str(split) if split is not None else None)
        found += [_result(entry, name, value) for name, value in report.metrics.items() if _is_number(value)]
    for name, value in results.validation_measures.items():
        level, _, measure = name.partition("_")
        if level in _LEVELS:
            entry = _entry("surglavi", f"{level}, while training", _ZERO_SHOT, "validation")
            found.append(_result(entry, measure, value))
        else:
            entry = _entry("surglavi", "all, while training", _RETRIEVAL, "validation")
            found.append(_result(entry, name, value))
    return [result for result in found if "chance" not in result.metric_name]  # which is no result of the model


def eval_result_files(results: Results, pairs: Iterable[tuple[str, str]]) -> dict[str, bytes]:
    """
    Returns files of `.eval_results/`, which the Hub shows at a registered benchmark.

    Args:
        results: What was measured.
        pairs: `("BENCHMARK:MEASURE", "NAME/REPOSITORY:TASK")`, for example
            `("autolaparo:accuracy_all_frames", "me/autolaparo:phases")`. Where several reports of a benchmark have the
            measure, a report's path in the folder stands for the benchmark.

    Raises:
        ValueError: an id is of another form, or no report has that measure, or several have.
    """
    entries: dict[str, list[EvalResultEntry]] = {}
    for measured, registered in pairs:
        benchmark, _, measure = measured.partition(":")
        match = re.fullmatch(r"([\w.-]+/[\w.-]+):([\w.-]+)", registered, re.ASCII)
        if not match:
            raise ValueError(f"registered benchmark {registered!r}, expected NAME/REPOSITORY:TASK")
        named = {path: r for path, r in results.reports.items() if benchmark in (path, r.benchmark)}
        having = [path for path, report in named.items() if report.metrics.get(measure) is not None]
        if not having:
            there = {name for report in named.values() for name in report.metrics}
            there = sorted(there or {report.benchmark for report in results.reports.values()})
            raise ValueError(
                f"nothing was measured as {measured!r}; expected one of {', '.join(there) or 'no report'}"
            )
        if len(having) > 1:
            raise ValueError(
                f"{measured!r} was measured {len(having)} times; name the report, for example {having[0]}:{measure}"
            )
        value = named[having[0]].metrics[measure]
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


def _task(report: "EvalReport") -> tuple[str, str]:
    if any(name.startswith(("text_to_video", "video_to_text")) for name in report.metrics):
        return _RETRIEVAL
    return _LINEAR_PROBE if "classifier" in report.protocol else _ZERO_SHOT


def _configs(reports: Mapping[str, "EvalReport"]) -> list[str]:
    """Returns a name for each report, which no other of the same benchmark has: its level, and the choices made."""
    configs = []
    for report in reports.values():
        level = re.fullmatch(r"(?:surglavi|corpus)_(task|step|phase)\b.*", report.benchmark.replace("_retrieval", ""))
        choices = [text.format(_short(report.protocol[key])) for key, text in _CHOICES.items() if _has(report, key)]
        kind = [] if _task(report) == _RETRIEVAL else [_task(report)[1].lower()]
        configs.append(", ".join([*([level[1]] if level else []), *kind, *choices]))
    identities = [
        (_dataset(report.benchmark), report.protocol.get("split"), _task(report)[0], config)
        for report, config in zip(reports.values(), configs, strict=True)
    ]
    return [
        f"{config}, {path}".removeprefix(", ") if identities.count(identity) > 1 else config
        for path, config, identity in zip(reports, configs, identities, strict=True)
    ]


def _has(report: "EvalReport", key: str) -> bool:
    return report.protocol.get(key) is not None


def _short(value: Any) -> str:
    """A choice without where it comes from."""
    return inline(str(value).partition(":")[0])[:_LONGEST_CHOICE]


def _may_have_seen(report: "EvalReport") -> bool:
    """Whether the model may have been trained on what it was measured on, as far as is known."""
    trained_on = report.protocol.get("trained_on_videos")
    return not isinstance(trained_on, int | float) and (
        trained_on is not None or report.benchmark.startswith(("surglavi", "corpus_"))
    )


def _dataset(benchmark: str) -> str:
    return _SURGLAVI if benchmark.startswith("surglavi") else benchmark


def _entry(benchmark: str, config: str, task: tuple[str, str], split: str | None) -> dict[str, Any]:
    return {
        "task_type": task[0],
        "task_name": task[1],
        "dataset_type": _dataset(benchmark),
        "dataset_name": benchmark,
        "dataset_config": config or None,
        "dataset_split": split,
    }


def _result(entry: dict[str, Any], name: str, value: float) -> EvalResult:
    kind = next((kind for start, kind in _METRIC_TYPES.items() if start in name), name)
    if match := re.search(r"R@(\d+)$", name):
        kind = f"recall_at_{match[1]}"
    return EvalResult(**entry, metric_type=kind, metric_name=name, metric_value=value)
