# SPDX-License-Identifier: Apache-2.0
from collections import Counter

import pytest

from surglavi_hf.evaluation import load_benchmark

from ...native_files import classes_of, some_labels, write_native


def load(root, name="cholec80_phases", video="video41"):
    return load_benchmark(name, root, videos=[video], source="labels", split="all")


def test_packaging_comes_before_retraction(tmp_path):
    """TF-Cholec80 and SurgLaVi's README swap the two names; the prompts keep the order of the owners."""
    write_native("cholec80_phases", tmp_path, "video41", [4, 5, 6])
    benchmark = load(tmp_path)
    assert [classes_of("cholec80_phases")[label] for label in benchmark.rows["label"]] == [
        "GallbladderPackaging",
        "CleaningCoagulation",
        "GallbladderRetraction",
    ]
    assert "in the specimen bag during the packaging phase" in benchmark.prompts[4][0]
    assert "during the retraction phases, carefully extracting it" in benchmark.prompts[6][0]


def test_the_label_of_a_second_is_that_of_its_first_frame(tmp_path):
    path = tmp_path / "phase_annotations" / "video41-phase.txt"
    path.parent.mkdir()
    phases = classes_of("cholec80_phases")
    rows = [f"{frame}\t{phases[0 if frame < 26 else 1]}" for frame in range(76)]
    path.write_text("\n".join(["Frame\tPhase", *rows]))
    assert load(tmp_path).rows["label"] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "change, message",
    [
        (("Frame\tPhase", "frame,phase"), r"video41-phase\.txt, line 1: 'frame,phase', expected the header"),
        (("30\tPreparation", "31\tPreparation"), "line 32: frame 31, expected 30; rows are missing"),
        (("30\tPreparation", "30\tPrep"), "line 32: phase 'Prep', expected one of Preparation"),
        (("30\tPreparation", "30"), "line 32: 1 cells, expected 2"),
    ],
)
def test_errors_name_file_and_line(tmp_path, change, message):
    write_native("cholec80_phases", tmp_path, "video41", [0, 0, 0])
    path = tmp_path / "phase_annotations" / "video41-phase.txt"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        (("\n25\t", "\n26\t"), "line 3: frame 26, expected 25"),
        (("\n25\t0", "\n25\t2"), "line 3: Grasper '2', expected a whole number from 0 to 1"),
        (("Hook\tScissors", "Scissors\tHook"), "line 1: .*expected the header 'Frame\\\\tGrasper"),
    ],
)
def test_tools(tmp_path, change, message):
    labels = some_labels("cholec80_tools")
    write_native("cholec80_tools", tmp_path, "video41", labels)
    assert list(map(tuple, load(tmp_path, "cholec80_tools").rows["label"])) == labels
    path = tmp_path / "tool_annotations" / "video41-tool.txt"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ValueError, match=message):
        load(tmp_path, "cholec80_tools")


def test_lines_that_end_with_a_delimiter(tmp_path):
    labels = some_labels("cholec80_tools")
    write_native("cholec80_tools", tmp_path, "video41", labels)
    path = tmp_path / "tool_annotations" / "video41-tool.txt"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head + "\t", *(row + "\t" for row in rows)]))
    assert list(map(tuple, load(tmp_path, "cholec80_tools").rows["label"])) == labels


def test_csv_of_peskavlp(tmp_path):
    """Labels count from 1, frames from 0."""
    path = tmp_path / "video41.csv"
    path.write_text("path,label\nvideo41_0.png,1\nvideo41_1.png,7\n")
    assert load(tmp_path).rows["label"] == [0, 6] and load(tmp_path).rows["time"] == [0.0, 1.0]
    path.write_text("path,label\nvideo41_0.png,0\n")
    with pytest.raises(ValueError, match=r"video41\.csv, line 2: label '0', expected a whole number from 1 to 7"):
        load(tmp_path)
    path.write_text("path,label\nvideo41_1.png,1\n")
    with pytest.raises(ValueError, match=r"line 2: path 'video41_1\.png', expected 'video41_0\.png'"):
        load(tmp_path)


def test_real_labels(shared):
    benchmark = load_benchmark("cholec80_phases", shared / "data/annotations/cholec80", split="all", source="labels")
    counts = Counter(benchmark.rows["label"])
    assert len(benchmark.videos) == 9 and len(benchmark.rows) == 22_987
    assert [counts[label] for label in range(7)] == [1265, 10783, 2002, 5839, 706, 1806, 586]
    for video in benchmark.videos:
        order = [label for label in dict.fromkeys(benchmark.labels(video).tolist()) if label in (4, 6)]
        assert order == sorted(order), "what is packed is retracted later"
