# SPDX-License-Identifier: Apache-2.0
from collections import Counter

import pytest

from surglavi_hf.evaluation import load_benchmark

from ...native_files import write_frames, write_native


def load(root, **options):
    return load_benchmark("autolaparo", root, videos=["15"], **{"source": "labels", **options})


def test_frames_and_phases_count_from_one(tmp_path, drawn):
    """Label 1 is file 1 and the first second; PeskaVLP's loader, which adds 1, shows the next frame."""
    write_native("autolaparo", tmp_path, "15", [0, 1, 2, 3, 4, 5, 6, 6])
    write_frames("autolaparo", tmp_path, "15", drawn["autolaparo"])
    benchmark = load(tmp_path, source="frames")
    assert benchmark.rows["label"] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert benchmark.rows["frame"][0] == 1 and benchmark.rows["time"][0] == 0.0
    assert benchmark.videos["15"].frames.names[0] == "00001.png"


@pytest.mark.parametrize(
    "change, message",
    [
        (("\n2\t1", "\n2\t8"), r"label_15\.txt, line 3: phase '8', expected a whole number from 1 to 7"),
        (("\n2\t1", "\n2\tx"), "line 3: phase 'x'"),
        (("\n2\t1", "\n3\t1"), "line 3: frame '3', expected '2'"),
        (("Frame\tPhase\n", ""), "line 1: '1\\\\t1', expected the header"),
    ],
)
def test_errors_name_file_and_line(tmp_path, change, message):
    write_native("autolaparo", tmp_path, "15", [0, 0, 0])
    path = tmp_path / "labels" / "label_15.txt"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_real_labels(shared):
    """Phases repeat and go back."""
    root = shared / "data/annotations/autolaparo"
    benchmark = load_benchmark("autolaparo", root, split="all", source="labels")
    assert list(benchmark.videos) == ["01", "15"]
    counts = Counter(benchmark.rows["label"])
    assert [counts[label] for label in range(7)] == [40, 1580, 2240, 1516, 0, 3429, 1232]
    labels = (benchmark.labels("01") + 1).tolist()
    order = [label for place, label in enumerate(labels) if not place or labels[place - 1] != label]
    assert order[:8] == [2, 3, 2, 3, 4, 7, 6, 7]
    assert load(root).rows["frame"][0] == 1
