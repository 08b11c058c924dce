# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.evaluation import BENCHMARKS
from surglavi_hf.evaluation.benchmarks.definition import read_definition, readable


@pytest.mark.parametrize("name", sorted({file for file, _, _ in BENCHMARKS.values()}))
def test_every_data_file_is_whole(name):
    definition = read_definition(name)
    assert definition.description and definition.splits.default in definition.splits.variants
    for labels in definition.labels.values():
        assert labels.source and len(set(labels.classes)) == len(labels.classes)
        for key, prompts in labels.prompts.items():
            assert len(prompts) == len(set(prompts)) == len(labels.classes) and labels.prompt_sources[key]
    for splits in definition.splits.variants.values():
        names = [video for videos in splits.values() for video in videos]
        assert len(names) == len(set(names)), "no video is in two splits"


def test_published_numbers_of_videos():
    sizes = {"cholec80": {"train": 40, "test": 40}, "autolaparo": {"train": 10, "val": 4, "test": 7}}
    for name, expected in sizes.items():
        splits = read_definition(name).splits
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
