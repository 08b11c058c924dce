# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.evaluation import load_benchmark

from ...native_files import write_native


def load(root, name, **options):
    return load_benchmark(name, root, videos=["Hei-Chole2"], source="labels", **options)


def test_one_label_a_second_and_lower_case_names(tmp_path):
    rows = [f"{frame},{0 if frame < 26 else 6}" for frame in range(60)]
    (tmp_path / "hei-chole2_annotation_phase.csv").write_text("\n".join(rows))
    benchmark = load(tmp_path, "heichole_phases")
    assert benchmark.rows["label"] == [0, 0, 6] and "UNKNOWN" in benchmark.protocol["split_note"]


def test_the_reading_of_the_tool_columns_is_named(tmp_path):
    cells = [0] * 21
    cells[1] = cells[5] = cells[20] = 1
    (tmp_path / "annotations").mkdir()
    path = tmp_path / "annotations" / "Hei-Chole2_Annotation_Instrument.csv"
    path.write_text(",".join(map(str, (0, *cells))))
    first = load(tmp_path, "heichole_tools")
    assert first.rows["label"] == [[0, 1, 0, 0, 0, 1, 0]] and first.protocol["split_variant"] == "first-seven"
    threes = load(tmp_path, "heichole_tools", variant="groups-of-three")
    assert threes.rows["label"] == [[1, 1, 0, 0, 0, 0, 1]]
    path.write_text("0,1,0")
    with pytest.raises(ValueError, match=r"line 1: 3 cells, expected the frame and at least 7 \(first-seven\)"):
        load(tmp_path, "heichole_tools")


@pytest.mark.parametrize(
    "change, message",
    [
        (("\n30,1", "\n31,1"), r"Hei-Chole2_Annotation_Phase\.csv, line 31: frame 31, expected 30"),
        (("\n25,1", "\n25,7"), "line 26: phase '7', expected a whole number from 0 to 6"),
    ],
)
def test_errors_name_file_and_line(tmp_path, change, message):
    write_native("heichole_phases", tmp_path, "Hei-Chole2", [1, 1, 1])
    path = tmp_path / "annotations" / "Hei-Chole2_Annotation_Phase.csv"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ValueError, match=message):
        load(tmp_path, "heichole_phases")


def test_a_video_without_labels(tmp_path):
    write_native("heichole_phases", tmp_path, "Hei-Chole3", [1])
    with pytest.raises(FileNotFoundError, match=r"Hei-Chole2_Annotation_Phase\.csv is not in"):
        load(tmp_path, "heichole_phases")
