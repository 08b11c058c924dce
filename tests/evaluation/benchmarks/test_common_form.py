# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from surglavi_hf.evaluation import load_benchmark

from ..native_files import some_labels, write_common


@pytest.fixture
def root(tmp_path):
    write_common("autolaparo", tmp_path, {"15": some_labels("autolaparo"), "21": some_labels("autolaparo")})
    return tmp_path


def change(root, edit):
    path = root / "annotations" / "test.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def load(root, **options):
    return load_benchmark("autolaparo", root, **{"source": "labels", **options})


@pytest.mark.parametrize(
    "edit, message",
    [
        (
            lambda content: content["annotations"][2].update(phases=7),
            r"test\.json, annotations\[2\]: phases 7 is outside the classes, expected one of \[0, 1, 2",
        ),
        (lambda content: content["annotations"][2].pop("phases"), r"annotations\[2\]: phases None is outside"),
        (lambda content: content["annotations"][2].update(phases=[1]), r"annotations\[2\]: phases \[1\] is outside"),
        (lambda content: content["images"][0].pop("file_name"), r"test\.json: image 1 has file_name None"),
        (lambda content: content["annotations"][2].update(image_id=99), r"annotations\[2\]: image_id 99 is no image"),
        (lambda content: content.pop("phases_categories"), r"test\.json: no 'phases_categories'; expected JSON with"),
        (
            lambda content: content["images"][0].update(file_name="15/9.png"),
            r"image 1 \('15/9\.png'\) is not in the list",
        ),
    ],
)
def test_errors_name_file_and_entry(root, edit, message):
    change(root, edit)
    with pytest.raises(ValueError, match=message):
        load(root)


@pytest.mark.parametrize(
    "line, message",
    [
        ("15 1 1", r"frames\.csv, line 1: 3 cells, expected 4"),
        ("15 1 x 15/00001.png", "line 1: frame number 'x', expected a whole number >= 0"),
        ("15 1 2 15/00001.png", "line 2: frame 2 of 15 again"),
        ("15 1 1 ../../etc/passwd", r"frame path '\.\./\.\./etc/passwd', expected one below the folder of frames"),
        ("15 1 1 /etc/passwd", "frame path '/etc/passwd', expected one below"),
        ("../15 1 1 15/00001.png", r"video name '\.\./15' cannot be a file name"),
    ],
)
def test_a_frame_list_that_is_wrong(root, line, message):
    path = root / "frame_lists" / "frames.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([line, *lines[1:]]))
    with pytest.raises(ValueError, match=message):
        load(root)


def test_listed_frames_that_are_not_there(root):
    (root / "frames" / "15").mkdir(parents=True)
    with pytest.raises(
        FileNotFoundError, match=r"8 of 8 listed frames of 15 are not in .*, the first of them 15/00001"
    ):
        load(root, source="auto")
    with pytest.raises(FileNotFoundError, match="frames or video of 15 are not in"):
        load(root, source="videos")


def test_a_part_of_the_videos(root):
    assert list(load(root, videos=["21"]).videos) == ["21"]
    with pytest.raises(ValueError, match=r"video '16' is not in test\.json, expected some of 15, 21"):
        load(root, videos=["16"])


def test_labels_of_tools_come_in_two_forms(tmp_path):
    """Ids, or 0 and 1 for every class."""
    labels = some_labels("cholec80_tools")
    write_common("cholec80_tools", tmp_path, {"video41": labels})
    path = tmp_path / "annotations" / "instruments_test.json"
    as_ids = load_benchmark("cholec80_tools", tmp_path, source="labels").rows["label"]
    content = json.loads(path.read_text())
    for annotation, label in zip(content["annotations"], labels, strict=True):
        annotation["instruments"] = list(label)
    path.write_text(json.dumps(content))
    assert load_benchmark("cholec80_tools", tmp_path, source="labels").rows["label"] == as_ids
    assert list(map(tuple, as_ids)) == labels
    content["annotations"][0]["instruments"] = [8]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"annotations\[0\]: instruments 8 is outside the classes"):
        load_benchmark("cholec80_tools", tmp_path, source="labels")


def test_the_split_is_the_videos_of_its_images(tmp_path):
    """One frame list has every frame of the data set."""
    write_common("autolaparo", tmp_path, {"01": some_labels("autolaparo"), "15": some_labels("autolaparo")})
    path = tmp_path / "annotations" / "test.json"
    content = json.loads(path.read_text())
    content["images"] = [image for image in content["images"] if image["video_name"] == "15"]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [item for item in content["annotations"] if item["image_id"] in kept]
    path.write_text(json.dumps(content))
    benchmark = load(tmp_path)
    assert list(benchmark.videos) == ["15"] and benchmark.protocol["frames_listed_in"] == "frames.csv"


def test_named_prompts_go_by_name(root):
    """Where the order of the classes differs, prompts by position would name two classes wrongly."""
    assert load(root, prompts="surgclip").prompts[6][0].startswith("The surgical field")

    def swap(content):
        first, last = content["phases_categories"][0], content["phases_categories"][6]
        first["name"], last["name"] = last["name"], first["name"]

    change(root, swap)
    with pytest.raises(ValueError, match=r"class 0 of .* is 'Washing', in the prompts 'surgclip' it is 'Preparation'"):
        load(root, prompts="surgclip")
