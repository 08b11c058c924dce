# SPDX-License-Identifier: Apache-2.0
import json
from collections import Counter

import ivtmetrics
import numpy as np
import pytest
from PIL import Image

from surglavi_hf.evaluation import load_benchmark, zero_shot
from surglavi_hf.evaluation.benchmarks import find_benchmark

from ...native_files import some_labels, write_native


def load(root, name="cholect50", **options):
    return load_benchmark(name, root, **{"split": "all", "source": "labels", **options})


def test_the_text_files_come_first(tmp_path):
    """The JSON of the challenge lists only what has a box."""
    labels = some_labels("cholect50")
    write_native("cholect50", tmp_path, "VID92", [tuple([0] * 100)] * 2)
    (tmp_path / "triplet").mkdir()
    rows = [",".join(map(str, (second, *label))) for second, label in enumerate(labels)]
    (tmp_path / "triplet" / "VID92.txt").write_text("\n".join(rows))
    assert list(map(tuple, load(tmp_path).rows["label"])) == labels
    for wrong, message in (
        ("0,1", r"VID92\.txt, line 1: 2 cells, expected 101"),
        (rows[0] + "\n" + rows[0], "line 2: frame 0 again"),
        (rows[0][:-1] + "2", "line 1: label '2', expected a whole number from 0 to 1"),
    ):
        (tmp_path / "triplet" / "VID92.txt").write_text(wrong)
        with pytest.raises(ValueError, match=message):
            load(tmp_path)


def test_a_second_without_triplet_is_a_negative(tmp_path):
    write_native("cholect50", tmp_path, "VID92", [tuple([0] * 100), tuple([1] + [0] * 99)])
    assert [sum(label) for label in load(tmp_path).rows["label"]] == [0, 1]


@pytest.mark.parametrize(
    "annotations, message",
    [
        ({"3": [[100, *[0] * 14]]}, r"VID92\.json, second 3: triplet 100, expected -1 to 99"),
        ({"3": [[0] * 14]}, "second 3: an instance of 14 numbers, expected 15"),
        ({"3": None}, "second 3: None, expected a list of instances"),
        ({"3": [["x"] * 15]}, "second 3: triplet x, expected -1 to 99"),
        ({"x": []}, "is no CholecT50 annotation"),
        ([], "is no CholecT50 annotation"),
        ({"3": [[*[0] * 14, 7]]}, "second 3: phase 7, expected -1 to 6"),
    ],
)
def test_errors_name_file_and_second(tmp_path, annotations, message):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "VID92.json").write_text(json.dumps({"annotations": annotations}))
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_labels_of_boxes_alone_are_said_to_be_so(tmp_path, caplog):
    (tmp_path / "labels").mkdir()
    content = {"info": {"dataset": "cholect50-challenge-validation"}, "annotations": {"0": []}}
    (tmp_path / "labels" / "VID92.json").write_text(json.dumps(content))
    load(tmp_path)
    assert "VID92.json lists only instances that have a box" in caplog.text


def test_phases_of_a_second_agree(tmp_path):
    (tmp_path / "labels").mkdir()
    none = [*[0] * 14, -1]
    seconds = {"0": [[*[0] * 14, 2], none], "1": [none]}
    (tmp_path / "labels" / "VID92.json").write_text(json.dumps({"annotations": seconds}))
    assert load(tmp_path, "cholect50_phases").rows["label"] == [2]
    seconds["2"] = [[*[0] * 14, 2], [*[0] * 14, 3]]
    (tmp_path / "labels" / "VID92.json").write_text(json.dumps({"annotations": seconds}))
    with pytest.raises(ValueError, match=r"second 2: phases \[2, 3\], expected one"):
        load(tmp_path, "cholect50_phases")


def test_classes_and_splits():
    definition = find_benchmark("cholect50")
    classes = definition.classes
    assert classes[0] == "grasper,dissect,cystic_plate" and len(classes) == 100
    assert [name.split(",")[1] for name in classes[94:]] == ["null_verb"] * 6
    variants = definition.splits.variants
    assert variants["challenge"]["test"] == ("VID92", "VID96", "VID103", "VID110", "VID111")
    sizes = {name: [len(split[part]) for part in split] for name, split in variants.items()}
    assert sizes["challenge"] == [40, 5, 5] and sizes["rendezvous"] == [35, 5, 10]
    assert all(sizes[f"crossval-{fold}"] == [40, 10] for fold in range(1, 6))
    tests = [name for fold in range(1, 6) for name in variants[f"crossval-{fold}"]["test"]]
    assert len(set(tests)) == 50
    for split in variants.values():
        names = [name for part in split.values() for name in part]
        assert len(names) == len(set(names)) == 50
    for (prompt,), name in zip(definition.prompts["peskavlp"], classes, strict=True):
        instrument = name.split(",")[0]
        assert instrument in prompt or instrument == "hook" or not prompt[0].isdigit()


def test_real_labels(shared):
    """Counts, the agreement of components with the mapping, and phases against Cholec80's, second by second."""
    root = shared / "data/annotations/cholect50"
    mapping = np.loadtxt(root / "label_mapping.txt", delimiter=",", dtype=int)
    assert np.array_equal(mapping, ivtmetrics.Disentangle().bank)
    names = json.loads((root / "labels/VID68.json").read_text())["categories"]["triplet"]
    triplets = load(root)
    assert [names[str(index)] for index in range(100)] == list(triplets.classes)
    assert {video: len(triplets.positions(video)) for video in triplets.videos} == {"VID68": 243, "VID70": 164}
    instances = 0
    for video in triplets.videos:
        annotations = json.loads((root / f"labels/{video}.json").read_text())["annotations"]
        for second, found in annotations.items():
            instances += len(found)
            for instance in found:
                assert [instance[1], instance[7], instance[8]] == mapping[instance[0], 1:4].tolist()
                assert triplets.videos[video].labels[int(second)][instance[0]] == 1
    counts = Counter(load(root, "cholect50_phases").rows["label"])
    assert [counts[label] for label in range(7)] == [16, 119, 120, 49, 35, 65, 3] and instances > 407
    agree, different = 0, 0
    for video in ("VID68", "VID70"):
        phases = load(root, "cholect50_phases", videos=[video]).videos[video].labels
        name = f"video{video.removeprefix('VID')}"
        cholec80 = load_benchmark(
            "cholec80_phases", shared / "data/annotations/cholec80", split="all", videos=[name], source="labels"
        )
        for second, label in phases.items():
            agree += label == cholec80.videos[name].labels[second]
            different += label != cholec80.videos[name].labels[second]
    assert agree + different == 407 and different <= 1


def test_real_frames(shared, tmp_path, tiny_model):
    """The frames of VID68 that are at hand, with the labels of their seconds."""
    root = shared / "data/annotations/cholect50"
    folder = root / "videos/VID68"
    seconds = sorted(int(path.stem) for path in folder.glob("*.png"))
    whole = json.loads((root / "labels/VID68.json").read_text())
    whole["annotations"] = {key: value for key, value in whole["annotations"].items() if int(key) in seconds}
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/VID68.json").write_text(json.dumps(whole))
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/VID68").symlink_to(folder)
    benchmark = load(tmp_path, source="frames")
    video = benchmark.videos["VID68"]
    assert list(video.numbers) == seconds and len(benchmark.rows) == len(whole["annotations"]) > 0
    with Image.open(folder / f"{seconds[1]:06d}.png") as image:
        assert np.array_equal(video.frames.read([1])[0].permute(1, 2, 0).numpy(), np.asarray(image.convert("RGB")))
    report = zero_shot(*tiny_model, benchmark)
    assert 0 < report.metrics["triplet_mean_average_precision_video_mean"] <= 1
    with pytest.raises(FileNotFoundError, match="labelled frames of VID68 are not in"):
        load(root, source="frames", videos=["VID68"])
