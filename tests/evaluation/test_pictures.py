# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from PIL import Image

from surglavi_hf import EvalReport
from surglavi_hf.evaluation import load_benchmark
from surglavi_hf.evaluation.pictures import (
    draw_confusion_matrix,
    draw_contact_sheet,
    draw_linear_probe,
    draw_predictions,
    draw_ribbons,
)
from surglavi_hf.evaluation.published import published_linear_probe

from .native_files import some_labels, write_native


def test_a_strip_for_each_clip_in_green_or_red(tmp_path, clips):
    draw_predictions(clips.select([0, 1]), ["1", "wrong"], tmp_path / "picture.png")
    picture = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB")).astype(int)
    green = (picture[..., 1] > picture[..., 0] + 60).any(axis=1).nonzero()[0]
    red = (picture[..., 0] > picture[..., 1] + 60).any(axis=1).nonzero()[0]
    assert len(green) and len(red) and green.max() < red.min(), "the right clip above, the wrong one below"
    assert not list(tmp_path.glob(".*"))


def colours(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


@pytest.fixture
def benchmark(tmp_path):
    for place, video in enumerate(("15", "16")):
        write_native("autolaparo", tmp_path / "data", video, some_labels("autolaparo", shift=place))
    return load_benchmark("autolaparo", tmp_path / "data", videos=["15", "16"], source="labels")


def test_confusion_matrix(tmp_path, benchmark):
    """All right is a dark diagonal; all predicted as one class is a dark column."""
    labels = benchmark.rows["label"]
    draw_confusion_matrix(benchmark, labels, tmp_path / "right.png")
    draw_confusion_matrix(benchmark, [6] * len(labels), tmp_path / "wrong.png")
    full = {
        name: (abs(colours(tmp_path / f"{name}.png") - (8, 48, 107)) < 4).all(axis=2) for name in ("right", "wrong")
    }
    places = {name: np.argwhere(shade[:, :595]) for name, shade in full.items()}  # left of the bar of colours
    assert np.ptp(places["wrong"][:, 1]) < 60 < np.ptp(places["right"][:, 1])
    assert np.ptp(places["wrong"][:, 0]) > 100 < np.ptp(places["right"][:, 0])


def test_ribbons(tmp_path, benchmark):
    """Predictions that are right give two equal ribbons."""
    labels = benchmark.rows["label"]
    draw_ribbons(benchmark, labels, tmp_path / "right.png")
    draw_ribbons(benchmark, [6] * len(labels), tmp_path / "wrong.png")
    right, wrong = colours(tmp_path / "right.png"), colours(tmp_path / "wrong.png")
    assert right.shape == wrong.shape and (right != wrong).any(axis=2).mean() > 0.03


def test_linear_probe_bars(tmp_path):
    metrics = {
        f"macro_f1_all_frames_at_{percent}_percent_{kind}": 0.5 for percent in (10, 100) for kind in ("mean", "std")
    }
    report = EvalReport("autolaparo", metrics, {}, model={"name": "mine"})
    for name, published in (("with", published_linear_probe("autolaparo")), ("without", {})):
        draw_linear_probe(report, published, tmp_path / f"{name}.png")
    assert (colours(tmp_path / "with.png").std(axis=2) > 30).sum() > 1000, "published bars are coloured"
    assert (colours(tmp_path / "without.png").std(axis=2) > 30).sum() == 0, "and there are none where none are known"


def test_contact_sheet(tmp_path):
    red = torch.zeros(6, 3, 20, 30, dtype=torch.uint8)
    red[:, 0] = 200
    draw_contact_sheet("clip", [("first $\\x$", red), ("second, which cannot be read", None)], tmp_path / "sheet.png")
    picture = colours(tmp_path / "sheet.png")
    rows = ((picture[..., 0] == 200) & (picture[..., 1] == 0)).any(axis=1).nonzero()[0]
    assert len(rows) and rows.max() < len(picture) * 0.7
