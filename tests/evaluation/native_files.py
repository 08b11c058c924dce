# SPDX-License-Identifier: Apache-2.0
"""Writes two short videos in the form each benchmark is shipped in, and in the common form."""

import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from PIL import Image

from surglavi_hf.evaluation.benchmarks import find_benchmark
from surglavi_hf.evaluation.benchmarks.definition import Definition
from surglavi_hf.media import decode_frames

SECONDS = 8
# Of each benchmark two videos, and the arguments that choose their split.
VIDEOS = {
    "cholec80_phases": (["video41", "video80"], {}),
    "cholec80_tools": (["video41", "video80"], {}),
    "autolaparo": (["15", "21"], {}),
    "bernbypass70_phases": (["BBP02", "BBP70"], {"variant": "fold-1"}),
    "bernbypass70_steps": (["BBP02", "BBP70"], {"variant": "fold-1"}),
    "strasbypass70_phases": (["SBP09", "SBP20"], {"split": "val"}),
    "strasbypass70_steps": (["SBP09", "SBP20"], {"split": "val"}),
    "grasp_phases": (["CASE041", "CASE053"], {}),
    "grasp_steps": (["CASE041", "CASE053"], {}),
    "grasp_tools": (["CASE041", "CASE053"], {}),
    "sar_rarp50": (["video_41", "video_50"], {}),
    "cholect50": (["VID92", "VID111"], {}),
    "cholect50_phases": (["VID92", "VID111"], {}),
    "heichole_phases": (["Hei-Chole1", "Hei-Chole24"], {}),
    "heichole_tools": (["Hei-Chole1", "Hei-Chole24"], {}),
}


@cache
def definition_of(name: str) -> Definition:
    return find_benchmark(name)


def numbers_of(name: str, count: int = SECONDS) -> list[int]:
    """The numbers of the frames, as the owners count."""
    numbering = definition_of(name).reader.numbering
    return [numbering.first + place * numbering.step for place in range(count)]


def classes_of(name: str) -> list[str]:
    return list(definition_of(name).classes)


def some_labels(name: str, count: int = SECONDS, shift: int = 0) -> list:
    """Classes, or tuples of 0 and 1, that differ from frame to frame."""
    size, kind = len(classes_of(name)), definition_of(name).kind
    if kind == "single_label":
        return [(place // 2 + shift) % min(size, 5) for place in range(count)]
    return [tuple(int((place + shift + index) % 4 == 0) for index in range(size)) for place in range(count)]


def write_native(name: str, root: Path, video: str, labels: Sequence) -> None:
    """Writes the labels of one video as the owners do."""
    {
        "cholec80": _write_cholec80,
        "autolaparo": _write_autolaparo,
        "bernbypass70": _write_multibypass140,
        "strasbypass70": _write_multibypass140,
        "sar_rarp50": _write_sar_rarp50,
        "cholect50": _write_cholect50,
        "heichole": _write_heichole,
    }[name.split("_phases")[0].split("_steps")[0].split("_tools")[0]](name, root, video, labels)


def _text(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def _cells(values: Sequence, delimiter: str) -> str:
    return delimiter.join(map(str, values))


def _write_cholec80(name: str, root: Path, video: str, labels: Sequence) -> None:
    if name == "cholec80_phases":
        rows = [
            f"{25 * second + part}\t{classes_of(name)[label]}"
            for second, label in enumerate(labels)
            for part in range(25)
        ]
        _text(root / "phase_annotations" / f"{video}-phase.txt", ["Frame\tPhase", *rows])
    else:
        rows = [f"{25 * second}\t{_cells(label, chr(9))}" for second, label in enumerate(labels)]
        _text(root / "tool_annotations" / f"{video}-tool.txt", [_cells(("Frame", *classes_of(name)), "\t"), *rows])


def _write_autolaparo(name: str, root: Path, video: str, labels: Sequence) -> None:
    rows = [f"{number}\t{label + 1}" for number, label in enumerate(labels, start=1)]
    _text(root / "labels" / f"label_{video}.txt", ["Frame\tPhase", *rows])


def _write_multibypass140(name: str, root: Path, video: str, labels: Sequence) -> None:
    centre = "bern" if video.startswith("B") else "strasbourg"
    items = [
        {"start": 1000 * number, "end": 1000 * (number + 1), "label_name": "", "label_id": label}
        for number, label in enumerate(labels, start=1)
    ]
    content: dict = {"phases": [], "steps": []}
    content[name.split("_")[1]] = items
    content["phases"].insert(0, {"start": 0, "end": 10**6, "label_name": "out_of_body", "label_id": 12})
    _text(root / "labels" / centre / "labels_by70" / f"{video}.mp4.json", [json.dumps(content)])


def _write_sar_rarp50(name: str, root: Path, video: str, labels: Sequence) -> None:
    rows = [f"{6 * place:09d},{label}" for place, label in enumerate(labels)]
    _text(root / video / "action_discrete.txt", rows)


def _write_cholect50(name: str, root: Path, video: str, labels: Sequence) -> None:
    def instance(triplet: int, phase: int) -> list[float]:
        return [triplet, 0, 1.0, 0.1, 0.1, 0.2, 0.2, 0, 0, 1.0, -1, -1, -1, -1, phase]

    annotations = {
        str(second): [instance(-1, label)]
        if name == "cholect50_phases"
        else [instance(triplet, 0) for triplet, present in enumerate(label) if present]
        for second, label in enumerate(labels)
    }
    _text(root / "labels" / f"{video}.json", [json.dumps({"video": 1, "fps": 1, "annotations": annotations})])


def _write_heichole(name: str, root: Path, video: str, labels: Sequence) -> None:
    kind = "Phase" if name == "heichole_phases" else "Instrument"
    rows = []
    for second, label in enumerate(labels):
        cells = label if kind == "Phase" else _cells((*label, *[0] * 14), ",")
        rows += [f"{25 * second + part},{cells}" for part in range(25)]
    _text(root / "annotations" / f"{video}_Annotation_{kind}.csv", rows)


def write_common(name: str, root: Path, labels: dict[str, Sequence]) -> None:
    """Writes annotation and frame list of the common form."""
    files = definition_of(name).common
    key, categories_key = files.label_key, files.classes_key
    images, annotations, rows = [], [], []
    single = definition_of(name).kind == "single_label"
    for place, (video, values) in enumerate(labels.items()):
        for number, label in zip(numbers_of(name), values, strict=True):
            path, image = f"{video}/{number:05d}.png", len(images) + 1
            rows.append(f"{video} {place + 1} {number} {path}")
            images.append({"id": image, "file_name": path, "video_name": video, "frame_num": number})
            common = {"id": len(annotations), "image_id": image, "image_name": path}
            if single:
                annotations.append({**common, key: label})
            elif name == "cholect50":
                annotations.append({**common, key: {"triplet": list(label), "verb": [0] * 10}})
            else:
                annotations.append({**common, key: [index + 1 for index, present in enumerate(label) if present]})
    first = 0 if single or name == "cholect50" else 1
    categories = [
        {"id": index, "name": text, "description": f"a view of {text}", "supercategory": key}
        for index, text in enumerate(classes_of(name), start=first)
    ]
    content = {categories_key: categories, "images": images, "annotations": annotations}
    _text(root / files.annotations.format(split="test"), [json.dumps(content)])
    _text(root / "frame_lists" / "frames.csv", rows)


def write_frames(name: str, root: Path, video: str, drawn: Path, common: bool = False) -> None:
    """Decodes the frames a folder of the benchmark would have."""
    form = definition_of(name).reader
    folder = root / ("frames/{video}" if common else form.frame_folders[0]).format(video=video)
    folder.mkdir(parents=True)
    numbers = numbers_of(name)
    for number, frame in zip(numbers, decode_frames(drawn, [form.numbering.time(n) for n in numbers]), strict=True):
        save_frame(
            frame,
            folder / f"{video}_{number:05d}.png" if "BP" in video and not common else folder / f"{number:05d}.png",
        )


def save_frame(frame: torch.Tensor, path: Path) -> None:
    Image.fromarray(frame.permute(1, 2, 0).numpy()).save(path)


def copy_video(name: str, root: Path, video: str, drawn: Path) -> None:
    """Puts the video where the benchmark has it."""
    path = root / definition_of(name).reader.video_files[0].format(video=video)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(drawn, path)
