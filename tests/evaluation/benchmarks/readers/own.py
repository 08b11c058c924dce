# SPDX-License-Identifier: Apache-2.0
"""One small data set in every dialect that readers of anyone's labels know."""

import json
from collections.abc import Callable
from pathlib import Path

import yaml

from surglavi_hf.evaluation import Benchmark, load_benchmark

CLASSES = ["Cut", "Sew", "Rinse, then look"]
# Of each video start, end in seconds, and label; without a label from 8 to 9 s of op1.
SEGMENTS = {
    "op1": [(0.0, 4.0, "Cut"), (4.0, 8.0, "Sew"), (9.0, 12.0, "Cut")],
    "op 2": [(0.0, 3.6, "Sew"), (3.6, 12.0, "Rinse, then look")],
}
LABELS = {"op1": [0, 0, 0, 0, 1, 1, 1, 1, None, 0, 0, 0], "op 2": [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]}


def write_yaml(root: Path, labels: dict, **more) -> Path:
    root.mkdir(exist_ok=True)
    path = root / "mine.yaml"
    content = {"kind": "single_label", "classes": CLASSES, "labels": labels, **more}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def rows_of() -> list[tuple[str, float, float, str]]:
    return [(video, *segment) for video, segments in SEGMENTS.items() for segment in segments]


def text(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _seconds(root: Path) -> dict:
    lines = [f'{video},{start},{end},"{label}"' for video, start, end, label in rows_of()]
    text(root / "labels.csv", ["video,start,end,label", *lines])
    return {"reader": "segments"}


def _clock_by_tabs(root: Path) -> dict:
    lines = [f"{video}.mp4\t0:00:{start:06.3f}\t00:{end:04.1f}\t{label}" for video, start, end, label in rows_of()]
    text(root / "labels.tsv", ["Video\tStart\tEnd\tPhase", *lines])
    return {"reader": "segments", "files": "labels.tsv", "label_column": "phase"}


def _a_file_each(root: Path) -> dict:
    for video, segments in SEGMENTS.items():
        lines = [f"{label};{start:g};{end:g}".replace(".", ",") for start, end, label in segments]
        text(root / "labels" / f"{video}.csv", ["label;start;end", *lines])
    return {"reader": "segments", "files": "labels/{video}.csv"}


def _frames(root: Path) -> dict:
    lines = [f'C:\\films\\{v}.MP4,{a * 25:.0f},{b * 25 - 1:.0f},"{label}"' for v, a, b, label in rows_of()]
    text(root / "labels.csv", ["video,start,end,label", *lines])
    return {"reader": "segments", "frames_per_second": 25, "ends": "included"}


def _each_second(root: Path) -> dict:
    for video, labels in LABELS.items():
        names = ["out" if label is None else CLASSES[label] for label in labels]
        text(root / "labels" / f"{video}.txt", names)
    return {"reader": "frame_labels", "files": "labels/{video}.txt", "ignore": ["out"]}


def _each_frame(root: Path) -> dict:
    for video, labels in LABELS.items():
        cells = ["" if label is None else f"{label + 1}" for label in labels for _ in range(5)]
        lines = [f"{number}\t{cell}" for number, cell in enumerate(cells, start=1)]
        text(root / "labels" / f"{video}.csv", ["Frame\tLabel", *lines])
    return {"reader": "frame_labels", "labels_per_second": 5, "class_ids_from": 1}


def _elan(root: Path) -> dict:
    from pympi.Elan import Eaf

    (root / "labels").mkdir()
    for video, segments in SEGMENTS.items():
        eaf = Eaf()
        eaf.add_tier("phases")
        eaf.add_tier("notes")
        for start, end, label in segments:
            eaf.add_annotation("phases", round(1000 * start), round(1000 * end), label)
        eaf.add_annotation("notes", 0, 500, "start")
        eaf.to_file(str(root / "labels" / f"{video}.eaf"))
    return {"reader": "elan", "tier": "phases"}


BORIS_HEADER = "Observation id,Media duration (s),FPS,Subject,Behavior,Behavioral category"


def _boris_tabular(root: Path) -> dict:
    for video, segments in SEGMENTS.items():
        events = [(time, label, kind) for a, b, label in segments for time, kind in ((a, "START"), (b, "STOP"))]
        lines = [
            f'{video} seen,12.0,5,No focal subject,"{label}",,{kind},{time:.3f},films/{video}.mp4,NA'
            for time, label, kind in sorted(events, key=lambda event: (event[0], event[2] == "START"))
        ]
        text(root / "labels" / f"{video}.csv", [f"{BORIS_HEADER},Behavior type,Time,Media file name,Comment", *lines])
    return {"reader": "boris"}


def _boris_aggregated(root: Path) -> dict:
    lines = [
        f'o\t12\t5\tNo focal subject\t"{label}"\t\tSTATE\t{a:.3f}\t{b:.3f}\t{v}.mp4' for v, a, b, label in rows_of()
    ]
    lines.append("o\t12\t5\tNo focal subject\tbell\t\tPOINT\t1.000\t1.000\top1.mp4")
    header = f"{BORIS_HEADER},Behavior type,Start (s),Stop (s),Media file name".replace(",", "\t")
    text(root / "labels" / "all.tsv", ["Exported by BORIS", "", header, *lines])
    return {"reader": "boris", "files": "labels/*.tsv", "ignore": ["bell"]}


def _label_studio(root: Path) -> dict:
    def region(number: int, start: float, end: float, label: str) -> dict:
        ranges = [{"start": round(start * 25) + 1, "end": round(end * 25)}]
        value = {"ranges": ranges, "timelinelabels": [label]}
        return {"id": f"r{number}", "type": "timelinelabels", "value": value}

    tasks = [
        {
            "id": task,
            "data": {"video": f"/data/upload/3/1a2b3c4d-{video}.mp4"},
            "annotations": [
                {"was_cancelled": True, "result": [region(0, 0, 1, "Cut")]},
                {"result": [region(n, *segment) for n, segment in enumerate(segments)] + [_CHOICE]},
            ],
        }
        for task, (video, segments) in enumerate(SEGMENTS.items())
    ]
    text(root / "labels.json", [json.dumps(tasks)])
    return {"reader": "label_studio", "frames_per_second": 25}


_CHOICE = {"id": "c", "type": "choices", "value": {"choices": ["good"]}}


def _label_studio_min(root: Path) -> dict:
    tasks = [
        {"video": f"{video}.mp4", "id": 1, "phases": [{"start": a, "end": b, "labels": [c]} for a, b, c in segments]}
        for video, segments in SEGMENTS.items()
    ]
    text(root / "labels.json", [json.dumps(tasks)])
    return {"reader": "label_studio"}


# Each writes files below a root and returns what the YAML says of labels.
DIALECTS: dict[str, Callable[[Path], dict]] = {
    "segments in seconds": _seconds,
    "segments by the clock, by tabs": _clock_by_tabs,
    "segments, a file each, as German Excel writes": _a_file_each,
    "segments in frames": _frames,
    "a label a second": _each_second,
    "a label a frame": _each_frame,
    "ELAN": _elan,
    "BORIS, tabular": _boris_tabular,
    "BORIS, aggregated": _boris_aggregated,
    "Label Studio": _label_studio,
    "Label Studio, JSON_MIN in seconds": _label_studio_min,
}


def load_own(root: Path, labels: dict, **more) -> Benchmark:
    return load_benchmark(write_yaml(root, labels, **more))
