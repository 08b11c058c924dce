# SPDX-License-Identifier: Apache-2.0
import json
import pickle

import pytest

from surglavi_hf.evaluation import load_benchmark
from surglavi_hf.evaluation.benchmarks import find_benchmark


def write(root, phases=(), steps=(), video="BBP01"):
    path = root / "labels" / "bern" / "labels_by70" / f"{video}.mp4.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    items = {
        key: [{"start": start, "end": end, "label_id": label} for start, end, label in values]
        for key, values in (("phases", phases), ("steps", steps))
    }
    path.write_text(json.dumps(items))


def load(root, name="bernbypass70_phases", **options):
    return load_benchmark(name, root, **{"split": "all", "source": "labels", **options})


def test_the_label_of_frame_n_is_that_of_n_seconds(tmp_path):
    """Half-open intervals, and frames from 1."""
    write(tmp_path, phases=[(0, 2000, 0), (2000, 3001, 3), (4500, 5500, 7)])
    rows = load(tmp_path).rows
    assert rows["frame"] == [1, 2, 3, 5] and rows["label"] == [0, 3, 3, 7] and rows["time"] == [1.0, 2.0, 3.0, 5.0]


def test_what_overlaps_the_phases_is_no_class(tmp_path):
    write(tmp_path, phases=[(0, 9000, 12), (1000, 3000, 11), (0, 9000, 13)])
    benchmark = load(tmp_path)
    assert benchmark.rows["label"] == [11, 11] and len(benchmark.classes) == 12
    assert benchmark.classes[11] == "other_intervention" and benchmark.prompts[11] == ("other intervention",)
    assert "other_intervention is ours" in benchmark.protocol["prompts"]


@pytest.mark.parametrize(
    "interval, message",
    [
        ((2000, 1000, 0), r"BBP01\.mp4\.json, phases item 0: .*expected 0 <= start <= end"),
        ((0, 1000, 14), "phases item 0: label_id 14, expected 0 to 11"),
        ((0.5, 1000, 1), "phases item 0"),
        ((0, 1000, -1), "phases item 0"),
    ],
)
def test_errors_name_file_and_item(tmp_path, interval, message):
    write(tmp_path, phases=[interval])
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_steps(tmp_path):
    write(tmp_path, steps=[(0, 3000, 45), (3000, 4000, 0)])
    benchmark = load(tmp_path, "bernbypass70_steps")
    assert benchmark.rows["label"] == [45, 45, 0] and benchmark.prompts[45] == ("specimen retrieval",)
    write(tmp_path, steps=[(0, 3000, 46)])
    with pytest.raises(ValueError, match="label_id 46, expected 0 to 45"):
        load(tmp_path, "bernbypass70_steps")


class Hostile:
    def __reduce__(self):
        return (exec, ("raise SystemExit('ran')",))


def test_folds_are_read_from_pickles_without_running_them(tmp_path):
    for video in ("BBP05", "BBP08"):
        write(tmp_path, phases=[(0, 3000, 0)], video=video)
    frames = {name: [{"Frame_id": f"{name}_00000005", "Phase_gt": 0}, Hostile()] for name in ("BBP08", "BBP05")}
    path = tmp_path / "labels/bern/labels_by70_splits/labels/test/1fps_0.pickle"
    with pytest.raises(FileNotFoundError, match="known from the owners' labels/bern/labels_by70_splits alone"):
        load(tmp_path, split="test")
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(frames))
    assert list(load(tmp_path, split="test").videos) == ["BBP05", "BBP08"]
    for content in (b"junk", pickle.dumps(["x"])):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"1fps_0\.pickle (is no pickle|names no videos)"):
            load(tmp_path, split="test")


def test_known_folds():
    bern, strasbourg = (find_benchmark(name).splits for name in ("bernbypass70_phases", "strasbypass70_phases"))
    assert len(bern.variants["fold-1"]["test"]) == 20 and bern.variants["fold-0"]["val"][2] == "BBP17"
    assert len(strasbourg.variants["fold-0"]["val"]) == 10 and "UNKNOWN" in bern.note


@pytest.mark.parametrize("centre, videos, frames", [("bern", 3, 13_463), ("strasbourg", 2, 16_346)])
def test_real_labels(shared, centre, videos, frames):
    """By the rule every second of every interval has the label that the JSON gives for that millisecond."""
    root = shared / "data/annotations/multibypass140"
    name = "bernbypass70" if centre == "bern" else "strasbypass70"
    for label_set in ("phases", "steps"):
        benchmark = load(root, f"{name}_{label_set}")
        assert len(benchmark.videos) == videos
        if label_set == "phases":
            assert len(benchmark.rows) == frames
        for video, labelled in benchmark.videos.items():
            items = json.loads((root / centre / f"{video}.mp4.json").read_text())[label_set]
            limit = 12 if label_set == "phases" else 46
            for number in range(1, max(item["end"] for item in items) // 1000 + 2):
                holding = [i for i in items if i["start"] <= 1000 * number < i["end"] and i["label_id"] < limit]
                expected = max(holding, key=lambda i: i["start"])["label_id"] if holding else None
                assert labelled.labels.get(number) == expected
    names = (root / "tables/phase.csv").read_text().splitlines()[1:13]
    assert [line.split(", ")[1] for line in names] == list(load(root, f"{name}_phases").classes)
    steps = (root / "tables/step.csv").read_text().splitlines()[1:]
    assert [line.split(", ")[1] for line in steps] == list(load(root, f"{name}_steps").classes)
