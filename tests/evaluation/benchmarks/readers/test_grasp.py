# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from surglavi_hf.evaluation import load_benchmark

PHASES = [{"id": index, "name": f"phase {index}", "description": f"text {index}"} for index in range(11)]
TOOLS = [{"id": index, "name": f"tool {index}", "description": f"text {index}"} for index in range(1, 8)]


def write(root, file, annotations, **categories):
    (root / "annotations").mkdir(exist_ok=True)
    images = [
        {"id": image, "file_name": f"CASE041/{image:05d}.jpg", "video_name": "CASE041", "frame_num": image}
        for image in sorted({annotation["image_id"] for annotation in annotations} | {3})
    ]
    content = {"images": images, "annotations": annotations, **categories}
    (root / "annotations" / f"{file}.json").write_text(json.dumps(content))


def phases(*labels):
    return [{"id": place, "image_id": place, "phases": label} for place, label in enumerate(labels)]


def test_each_fold_is_in_the_file_of_its_name(tmp_path):
    """The official evaluation's fold 1 loads the file of fold 2, and the other way round."""
    for fold in (1, 2):
        write(tmp_path, f"grasp_long-term_fold{fold}", phases(fold, fold, fold, fold), phases_categories=PHASES)
    for fold in (1, 2):
        benchmark = load_benchmark("grasp_phases", tmp_path, split=f"fold{fold}", source="labels")
        assert set(benchmark.rows["label"]) == {fold}
        assert benchmark.protocol["split_variant"] == f"grasp_long-term_fold{fold}.json"


def test_instances_of_one_frame_are_taken_together(tmp_path):
    """Ids count from 1; a frame without instances is a negative."""
    instances = [
        {"id": 0, "image_id": 1, "category_id": 1, "actions": [2]},
        {"id": 1, "image_id": 1, "category_id": 7, "actions": [1]},
        {"id": 2, "image_id": 2, "category_id": 1, "actions": [1]},
    ]
    write(tmp_path, "grasp_short-term_test", instances, categories=TOOLS)
    benchmark = load_benchmark("grasp_tools", tmp_path, source="labels")
    assert benchmark.rows["label"] == [[1, 0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0, 0], [0] * 7]
    assert benchmark.rows["frame"] == [1, 2, 3]


def test_windows_are_made_of_all_listed_frames(tmp_path):
    """Tools have a label every 35 s; between them the list has every second."""
    write(tmp_path, "grasp_short-term_test", [{"id": 0, "image_id": 40, "category_id": 1}], categories=TOOLS)
    (tmp_path / "frame_lists").mkdir()
    rows = [f"CASE041 1 {number} CASE041/{number:05d}.jpg" for number in range(60)]
    (tmp_path / "frame_lists" / "test.csv").write_text("\n".join(rows))
    benchmark = load_benchmark("grasp_tools", tmp_path, source="labels")
    assert len(benchmark.videos["CASE041"].numbers) == 60 and benchmark.positions("CASE041") == [3, 40]


def test_without_its_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"annotations/grasp_short-term_<split>\.json is not in"):
        load_benchmark("grasp_tools", tmp_path)


def test_times_of_the_release_at_30_frames_a_second(tmp_path):
    for video, times, line in (
        ("CASE041", [0.0, 1.0], "frame n is at (n - 0) × 0.03333 s"),
        ("CASE014", None, "not known"),
    ):
        images = [
            {"id": n, "file_name": f"{video}/{30 * n:09d}.jpg", "video_name": video, "frame_num": 30 * n}
            for n in (0, 1)
        ]
        (tmp_path / "annotations").mkdir(exist_ok=True)
        content = {"images": images, "annotations": phases(1, 2), "phases_categories": PHASES}
        (tmp_path / "annotations" / "grasp_long-term_test.json").write_text(json.dumps(content))
        benchmark = load_benchmark("grasp_phases", tmp_path, source="labels")
        assert times is None or benchmark.rows["time"] == times
        assert benchmark.protocol["frame_times"] == line
        assert benchmark.protocol["frames_listed_in"] == "images of grasp_long-term_test.json"
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "CASE014.mp4").touch()
    with pytest.raises(ValueError, match="the times of the frames of CASE014 are not known"):
        load_benchmark("grasp_phases", tmp_path, source="videos")
