# SPDX-License-Identifier: Apache-2.0
import pytest
import yaml

from surglavi_hf.evaluation.benchmarks import benchmark_names, find_benchmark
from surglavi_hf.evaluation.benchmarks.definition import Published, choose_prompts, readable

from ..native_files import VIDEOS


def test_all_are_there():
    assert set(VIDEOS) <= set(benchmark_names())


@pytest.mark.parametrize("name", VIDEOS)
def test_every_data_file_is_whole(name):
    definition = find_benchmark(name)
    assert definition.description and definition.splits.default in definition.splits.variants
    assert definition.classes_source
    for key, prompts in definition.prompts.items():
        assert len(prompts) == len(set(prompts)) == len(definition.classes) and definition.prompt_sources[key]
    for splits in definition.splits.variants.values():
        names = [video for videos in splits.values() for video in videos]
        assert len(names) == len(set(names)), "no video is in two splits"


def test_published_numbers_of_videos():
    sizes = {"cholec80_phases": {"train": 40, "test": 40}, "autolaparo": {"train": 10, "val": 4, "test": 7}}
    for name, expected in sizes.items():
        splits = find_benchmark(name).splits
        assert {split: len(videos) for split, videos in splits.variants[splits.default].items()} == expected


@pytest.mark.parametrize(
    "name, words",
    [
        ("s12_omental_lifting", "omental lifting"),
        ("CalotTriangleDissection", "calot triangle dissection"),
        ("grasper,dissect,cystic_plate", "grasper dissect cystic plate"),
    ],
)
def test_readable(name, words):
    assert readable(name) == words


OWN = {"kind": "single_label", "classes": ["Cut", "Sew"], "labels": {"reader": "segments"}}


def read(tmp_path, text: str | None = None, **changes):
    path = tmp_path / "mine.yaml"
    content = {name: value for name, value in {**OWN, **changes}.items() if value is not None}
    path.write_text(text if text is not None else yaml.safe_dump(content), encoding="utf-8")
    return find_benchmark(path)


def test_the_least_that_a_file_says(tmp_path):
    definition = read(tmp_path)
    assert definition.name == definition.title == definition.description == "mine"
    assert definition.splits.variants == {"all": {"test": None}} and definition.published == Published()
    assert choose_prompts(definition, None) == ((("cut",), ("sew",)), "names: the class names as words")


def test_prompts_and_splits_of_ones_own(tmp_path):
    splits = {"train": ["a", "op{08..10}"], "test": "all"}
    definition = read(tmp_path, prompts={"Cut": ["cutting", "a cut"], "Sew": "sewing"}, splits=splits, fps=5)
    assert choose_prompts(definition, None)[0] == (("cutting", "a cut"), ("sewing",))
    assert definition.splits.variants["own"] == {"train": ("a", "op08", "op09", "op10"), "test": None}
    assert definition.reader.numbering.seconds == 0.2


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"clases": []}, r"mine\.yaml: unknown key 'clases'; is it classes\?"),
        ({"kind": "single"}, r"kind: 'single', expected one of single_label, multi_label, triplet"),
        ({"kind": None}, r"kind: None, expected one of"),
        ({"classes": ["Cut"]}, "classes: .*expected a list of at least two names"),
        ({"classes": ["Cut", False]}, "classes: number 2 is False, expected text; put it in quotes"),
        ({"classes": ["Cut", "cut"]}, "classes: 'Cut' is there twice"),
        ({"classes": ["Cut", " Sew"]}, "classes: number 2 is ' Sew', expected a line without blanks"),
        ({"labels": None}, "labels: None, expected names with values"),
        ({"labels": {"reader": "segment"}}, r"labels\.reader: 'segment', expected one of autolaparo"),
        ({"labels": {"reader": "segments", "file": "x"}}, r"unknown key labels\.'file'; is it files\?"),
        ({"labels": {"reader": "segments", "ends": "in"}}, r"labels\.ends='in', expected one of excluded, included"),
        (
            {"labels": {"reader": "segments", "files": "../x.csv"}},
            r"labels\.files: .*, expected a path below",
        ),
        ({"labels": {"reader": "segments", "files": "{name}.csv"}}, r"labels\.files: .*with \{video\} as its only"),
        ({"labels": {"reader": "segments", "ignore": ["cut"]}}, "labels: ignore has 'cut', which is a class"),
        ({"labels": {"reader": "segments", "ends": "included"}}, "ends: included is of frames"),
        ({"videos": "/x/{video}.mp4"}, "videos: '/x/.*expected a path below the root"),
        ({"videos": "film.mp4"}, "videos: 'film.mp4' has no {video}"),
        ({"fps": 0}, "labels: fps=0.0, expected evaluated frames a second"),
        ({"fps": 1e308}, "labels: fps=1e.308, expected evaluated frames a second"),
        ({"fps": "fast"}, "fps='fast', expected a number"),
        ({"labels": {"reader": "cholec80"}, "fps": 2}, "fps: the reader cholec80 knows its own rate"),
        ({"prompts": {"Cut": "x"}}, "prompts: class 'Sew' has None, expected a text"),
        ({"prompts": {"Cut": "x", "Saw": "y"}}, "prompts: 'Saw' is no class, expected Cut, Sew"),
        ({"prompts": {"a": {"texts": ["x"]}}}, r"prompts\.a: 1 texts, expected one for each of the 2 classes"),
        ({"splits": {"test": [1]}}, r"splits\.test: 1, expected a list of video names in quotes"),
        ({"splits": {"test": 1.5}}, r"splits\.test: 1\.5, expected a list of video names in quotes"),
        (
            {"splits": {"test": ["op{1..999999999}"]}},
            r"splits\.test: 'op{1\.\.999999999}', expected 1 to 100,000 names",
        ),
        ({"splits": {"test": ["op{2..1}"]}}, r"splits\.test: 'op{2\.\.1}', expected 1 to 100,000 names"),
        ({"splits": {"default": "x", "variants": ["y"]}}, r"splits\.variants: \['y'\], expected names with splits"),
        ({"splits": {"train": ["a"], "test": ["a"]}}, "splits: video 'a' is in two splits"),
        ({"splits": {"default": "x", "variants": {"y": {}}}}, r"splits\.default: 'x', expected one of y"),
        ({"published": {"zero_shot": {"x": [1]}}}, "published: x has 1 figures, expected 2"),
        ({"name": "a/b"}, "name: 'a/b', expected letters, digits"),
        ({"title": "a\nb"}, r"title: 'a\\nb', expected a line of text"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, **changes)
    assert "\n" not in str(caught.value) and "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("kind: a\nkind: b\n", "'kind' is there twice"),
        ("a: [", "cannot be read"),
        ("a: &b [x, y]\nkind: *b\n", r"an alias \(\*\), which is not read; write it out"),
        ("[" * 5000, "cannot be read"),
        ("- x", "holds no benchmark"),
        ("!!python/object/apply:os.system ['true']", "cannot be read"),
    ],
)
def test_files_that_are_none(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)
    with pytest.raises(FileNotFoundError, match=r"no benchmark at .*surglavi benchmark init FOLDER"):
        find_benchmark(tmp_path / "gone.yaml")
