# SPDX-License-Identifier: Apache-2.0
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

from surglavi_hf import EvalReport
from surglavi_hf.evaluation import load_benchmark
from surglavi_hf.evaluation.benchmarks import Benchmark, find_benchmark
from surglavi_hf.evaluation.benchmarks.benchmark import LabelledVideo
from surglavi_hf.evaluation.figures import (
    class_colours,
    draw_average_precision,
    draw_confusion_matrix,
    draw_contact_sheet,
    draw_linear_probe,
    draw_predictions,
    draw_presence,
    draw_ribbons,
)

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
    places = {name: np.argwhere(shade[:, :695]) for name, shade in full.items()}  # left of the bar of colours
    assert np.ptp(places["wrong"][:, 1]) < 60 < np.ptp(places["right"][:, 1])
    assert np.ptp(places["wrong"][:, 0]) > 100 < np.ptp(places["right"][:, 0])


GREY = (221, 221, 221)


@pytest.mark.parametrize("number", [2, 7, 12, 46])
def test_a_class_without_frames_is_no_row_of_zeros(tmp_path, benchmark, number):
    """Two of all classes occur: the rows of the others are grey, and no picture is too large to be seen."""
    classes = tuple(f"s{place}_a_step_of_an_operation" for place in range(number))
    labels = {name: {1: 0, 2: number - 1} for name in benchmark.videos}
    videos = {name: replace(video, labels=labels[name]) for name, video in benchmark.videos.items()}
    few = replace(benchmark, classes=classes, videos=videos)
    draw_confusion_matrix(few, [0, number - 1] * len(videos), tmp_path / "picture.png")
    picture = colours(tmp_path / "picture.png")
    grey = (picture == GREY).all(axis=2).sum(axis=1)
    cell = 45 if number <= 15 else 28
    assert (grey > 10 * number).sum() == pytest.approx((number - 2) * cell, rel=0.3, abs=2)
    assert max(picture.shape) < 1800


def ribbon_of(path: Path, above: int = 0) -> np.ndarray:
    """The row of pixels in the middle of the first ribbon, or of the second, inside the frame around both."""
    picture = colours(path)
    black = (picture < 60).all(axis=2)
    top, bottom = np.flatnonzero(black.mean(axis=1) > 0.8)[[0, -1]]
    middle = np.flatnonzero(black[top + 3 : bottom - 3].mean(axis=0) > 0.95)
    row = top + (bottom - top) // 4 + 8 if not above else bottom - (bottom - top) // 4 - 8
    return picture[row, middle[0] + 2 : middle[-1] - 1]


def test_ribbons(tmp_path, benchmark):
    """Predictions that are right give two equal ribbons."""
    labels = benchmark.rows["label"]
    draw_ribbons(benchmark, labels, tmp_path / "right.png")
    draw_ribbons(benchmark, [6] * len(labels), tmp_path / "wrong.png")
    right, wrong = colours(tmp_path / "right.png"), colours(tmp_path / "wrong.png")
    assert right.shape == wrong.shape and (right != wrong).any(axis=2).mean() > 0.03


@pytest.mark.parametrize("times_known", [True, False])
def test_frames_are_at_their_times(tmp_path, benchmark, times_known):
    """Of two minutes the first 30 s and the last 15 s have frames; without times, of their numbers."""
    numbers = (*range(30), *range(105, 120))
    video = LabelledVideo(
        numbers,
        tuple(float(number) if times_known else math.nan for number in numbers),
        {number: int(number >= 105) for number in numbers},
        None,
    )
    draw_ribbons(replace(benchmark, videos={"15": video}), [0] * 30 + [1] * 15, tmp_path / "picture.png")
    ribbon = ribbon_of(tmp_path / "picture.png")
    first, second = np.round(255 * class_colours(7)[:2])
    shares = [np.flatnonzero((abs(ribbon - colour) < 3).all(axis=1)) / len(ribbon) for colour in (first, second)]
    assert shares[0].max() == pytest.approx(0.25, abs=0.01) and shares[0].min() < 0.01
    assert shares[1].min() == pytest.approx(0.875, abs=0.01) and shares[1].max() > 0.99
    assert len(shares[0]) / len(ribbon) > 0.23 and len(shares[1]) / len(ribbon) > 0.11
    between = ribbon[int(0.26 * len(ribbon)) : int(0.87 * len(ribbon))]
    assert (between == 255).all(), "nothing is known of the time between"


def test_one_frame_alone_in_a_long_video_is_seen(tmp_path, benchmark):
    numbers = (0, 1, 5000, 9999, 10_000)
    video = LabelledVideo(numbers, tuple(map(float, numbers)), dict.fromkeys(numbers, 2), None)
    draw_ribbons(replace(benchmark, videos={"15": video}), [2] * 5, tmp_path / "picture.png")
    ribbon = ribbon_of(tmp_path / "picture.png")
    seen = np.flatnonzero((abs(ribbon - np.round(255 * class_colours(7)[2])) < 3).all(axis=1)) / len(ribbon)
    assert seen.min() < 0.005 and seen.max() > 0.995 and ((seen > 0.495) & (seen < 0.505)).any()


def test_ribbons_show_as_many_errors_as_there_are(tmp_path, benchmark):
    """Where a pixel is of many frames, too: that of most of them would hide a third that is wrong."""
    generator = np.random.default_rng(0)
    video = LabelledVideo(
        tuple(range(20_000)), tuple(map(float, range(20_000))), dict.fromkeys(range(20_000), 0), None
    )
    predicted = np.where(generator.random(20_000) < 1 / 3, 1, 0)
    draw_ribbons(replace(benchmark, videos={"15": video}), predicted.tolist(), tmp_path / "picture.png")
    ribbon = ribbon_of(tmp_path / "picture.png", above=1)
    wrong = (abs(ribbon - np.round(255 * class_colours(7)[1])) < 3).all(axis=1)
    assert wrong.mean() == pytest.approx(1 / 3, abs=0.06)


def test_the_axis_says_what_it_is(tmp_path, benchmark, monkeypatch):
    """Minutes only where times are known; both where a benchmark has both."""
    said = []
    original = Axes.set_xlabel
    monkeypatch.setattr(
        Axes, "set_xlabel", lambda axis, text, **more: said.append(text) or original(axis, text, **more)
    )
    timed = benchmark.videos["15"]
    untimed = replace(timed, times=(math.nan,) * len(timed.times))
    for videos in ({"15": timed, "16": timed}, {"15": untimed}, {"15": timed, "16": untimed}):
        draw_ribbons(replace(benchmark, videos=videos), [0] * 8 * len(videos), tmp_path / "picture.png")
    assert said == ["minutes", "frame number", "minutes", "frame number"]


@pytest.mark.parametrize("number", [2, 7, 12, 46, 100])
def test_colours_of_neighbours_differ(number):
    found = 255 * class_colours(number)
    distances = np.linalg.norm(found[:, None] - found, axis=2)
    assert distances[np.arange(number - 1), np.arange(1, number)].min() > 100
    assert distances[~np.eye(number, dtype=bool)].min() > 5, "no two are the same"
    assert np.linalg.norm(found - 255, axis=1).min() > 100, "none is white"


def published_linear_probe(name: str) -> dict:
    rows = find_benchmark(name).published.linear_probe
    return {name: {str(percent): value for percent, value in row.items()} for name, row in rows.items()}


def probe_report(percents: tuple[int, ...], seeds: int = 5, published: dict | None = None) -> EvalReport:
    metrics = {f"macro_f1_all_frames_at_{percent}_percent_mean": 0.5 for percent in percents}
    metrics |= {f"macro_f1_all_frames_at_{percent}_percent_std": 0.1 for percent in percents}
    return EvalReport("autolaparo", metrics, {"seeds": str(seeds)}, model={"name": "mine"}, published=published or {})


def test_linear_probe_bars(tmp_path):
    for name, published in (("with", published_linear_probe("autolaparo")), ("without", {})):
        draw_linear_probe(probe_report((10, 100), published=published), tmp_path / f"{name}.png")
    assert (colours(tmp_path / "with.png").std(axis=2) > 30).sum() > 1000, "published bars are coloured"
    assert (colours(tmp_path / "without.png").std(axis=2) > 30).sum() == 0, "and there are none where none are known"


def test_a_bar_that_is_not_there_is_no_zero(tmp_path, monkeypatch):
    """And one draw has no spread, which is not one of nothing."""
    said, spreads = [], []
    original = Axes.text, Axes.bar
    monkeypatch.setattr(
        Axes, "text", lambda *given, **more: said.append(given[3].strip()) or original[0](*given, **more)
    )
    monkeypatch.setattr(
        Axes, "bar", lambda *given, **more: spreads.append("yerr" in more) or original[1](*given, **more)
    )
    published = published_linear_probe("autolaparo")
    draw_linear_probe(probe_report((10, 100), published=published), tmp_path / "probe.png")
    assert said == ["no figure"] and spreads == [False] * len(published) + [True]
    draw_linear_probe(probe_report((10, 50, 100), 1, published), tmp_path / "probe.png")
    assert said == ["no figure"] and not any(spreads[len(published) + 1 :])


def test_contact_sheet(tmp_path):
    red = torch.zeros(6, 3, 20, 30, dtype=torch.uint8)
    red[:, 0] = 200
    draw_contact_sheet("clip", [("first $\\x$", red), ("second, which cannot be read", None)], tmp_path / "sheet.png")
    picture = colours(tmp_path / "sheet.png")
    rows = ((picture[..., 0] == 200) & (picture[..., 1] == 0)).any(axis=1).nonzero()[0]
    assert len(rows) and rows.max() < len(picture) * 0.7
    said = (picture[rows.max() + 5 :, :, 0] > picture[rows.max() + 5 :, :, 1] + 60).sum()
    assert said > 50, "that it cannot be read, in red"


def test_long_captions_stay_on_the_page(tmp_path, clips):
    """Real ones reach 6,663 characters."""
    sizes = []
    for words in (1, 1000):
        row = clips.select([0]).map(lambda row, words=words: {"caption": "cystic duct " * words})
        draw_predictions(row, ["cystic duct " * words], tmp_path / "picture.png")
        draw_contact_sheet("clip", [("cystic duct " * words, None)], tmp_path / "sheet.png")
        sizes.append(
            [(colours(tmp_path / name) < 100).all(axis=2).any(axis=0) for name in ("picture.png", "sheet.png")]
        )
    for short, long in zip(*sizes, strict=True):
        assert np.array_equal(short[-20:], long[-20:]), "nothing more at the right edge"


@pytest.mark.parametrize("number", [7, 100])
def test_pictures_of_several_classes_a_frame(tmp_path, number):
    """A class that is never there has no bar; of many classes those that most frames have are shown."""
    labels = {second: tuple(int(second % 3 == 0 and place > 1) for place in range(number)) for second in range(60)}
    video = LabelledVideo(tuple(range(60)), tuple(map(float, range(60))), labels, None)
    classes = tuple(f"tool {place}" for place in range(number))
    tools = Benchmark("tools", "multi_label", classes, (), {"v": video}, {"num_labelled_frames": 60})
    rows = [
        {"class": name, "num_frames": 20 * (place > 1), "average_precision_all_frames": 0.5 if place > 1 else None}
        for place, name in enumerate(classes)
    ]
    scores = {"v": np.random.default_rng(0).random((60, number))}
    report = EvalReport("tools", {}, tools.protocol, rows, scores=scores)
    draw_average_precision(report, tmp_path / "bars.png")
    bars = (colours(tmp_path / "bars.png") == (47, 111, 159)).all(axis=2).sum(axis=1)
    heights = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], bars > 100, [0]]).astype(int)) != 0))[::2]
    assert len(heights) == number - 2, "a bar for each class that is there"
    draw_presence(tools, report, tmp_path / "presence.png")
    said = colours(tmp_path / "presence.png")
    assert said.shape[0] < 600 and (said.std(axis=2) > 20).sum() > 1000, "bars are coloured"
