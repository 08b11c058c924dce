# SPDX-License-Identifier: Apache-2.0
"""Every shipped benchmark gives the numbers it gave before its file was of the form that anyone's is.

The numbers were written by `python -m tests.evaluation.test_golden_benchmarks` before that.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from surglavi_hf import load_benchmark, zero_shot
from surglavi_hf.evaluation import VideoEncoder

from .native_files import (
    SECONDS,
    VIDEOS,
    definition_of,
    numbers_of,
    save_frame,
    some_labels,
    write_common,
    write_native,
)

GOLDEN = Path(__file__).parent / "golden_benchmarks.json"
DIM = 16


class Drawn(VideoEncoder):
    """Embeds frames by a fixed matrix and texts by their digest, in double precision: the same on any machine."""

    num_frames = 4

    def __init__(self):
        super().__init__(torch.nn.Identity(), None)
        weights = np.random.default_rng(1).standard_normal((12, DIM))
        self.weights = torch.from_numpy(weights)

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        return frames[:, :, ::4, ::4].double().flatten(1) / 255 - 0.5

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        embeds = torch.nn.functional.normalize(frames @ self.weights, dim=1)[windows].mean(dim=1)
        return {"projected": embeds.float(), "raw": embeds.float()}

    def embed_texts(self, texts) -> torch.Tensor:
        seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
        embeds = [np.random.default_rng(seed).standard_normal(DIM) for seed in seeds]
        return torch.nn.functional.normalize(torch.from_numpy(np.stack(embeds)), dim=1).float()


def write_benchmark(name: str, root: Path, common: bool) -> dict:
    """Writes a small data set of a benchmark; returns the arguments that choose its split."""
    videos, arguments = VIDEOS[name]
    labels = {video: some_labels(name, shift=place) for place, video in enumerate(videos)}
    form = definition_of(name).reader
    for place, video in enumerate(videos):
        pictures = np.random.default_rng(place).integers(0, 256, (SECONDS, 3, 8, 8), np.uint8)
        folder = root / ("frames/{video}" if common else form.frame_folders[0]).format(video=video)
        folder.mkdir(parents=True)
        for number, picture in zip(numbers_of(name), pictures, strict=True):
            stem = f"{video}_{number:05d}" if "BP" in video and not common else f"{number:05d}"
            save_frame(torch.from_numpy(picture), folder / f"{stem}.png")
        if not common:
            write_native(name, root, video, labels[video])
    if common:
        write_common(name, root, labels)
        return {}
    return {**arguments, "videos": videos}


def cases() -> list[tuple[str, bool]]:
    native = [(name, False) for name in VIDEOS if not name.startswith("grasp")]
    return native + [(name, True) for name in VIDEOS if name != "cholect50_phases"]


def report_of(name: str, common: bool, root: Path) -> dict:
    arguments = write_benchmark(name, root, common)
    benchmark = load_benchmark(name, root, **arguments)
    report = zero_shot(Drawn(), None, benchmark)
    return {"metrics": report.metrics, "predictions": report.predictions, "protocol": dict(report.protocol)} | {
        "per_class": report.per_class,
        "rows": {key: list(benchmark.rows[key]) for key in ("video", "time", "frame", "position", "label")},
    }


@pytest.mark.parametrize(("name", "common"), cases(), ids=lambda value: {True: "common", False: "native"}.get(value))
def test_the_numbers_it_gave(tmp_path, name, common):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[f"{name} {'common' if common else 'native'}"]
    found = json.loads(json.dumps(report_of(name, common, tmp_path)))
    assert found["rows"] == golden["rows"]
    assert found["predictions"] == golden["predictions"]
    for measure, value in golden["metrics"].items():
        assert found["metrics"][measure] == pytest.approx(value, abs=1e-6), measure
    for choice, value in golden["protocol"].items():
        assert found["protocol"][choice] == value, choice
    assert len(found["per_class"]) == len(golden["per_class"])
    for row, expected in zip(found["per_class"], golden["per_class"], strict=True):
        for key, value in expected.items():
            assert row[key] == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else value)


if __name__ == "__main__":
    reports = {}
    for name, common in cases():
        with tempfile.TemporaryDirectory() as root:
            reports[f"{name} {'common' if common else 'native'}"] = report_of(name, common, Path(root))
    GOLDEN.write_text(json.dumps(reports, ensure_ascii=False) + "\n", encoding="utf-8")
