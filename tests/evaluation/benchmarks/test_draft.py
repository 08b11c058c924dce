# SPDX-License-Identifier: Apache-2.0
import shutil

import pytest

from surglavi_hf import load_benchmark
from surglavi_hf.cli import main

from ..conftest import write_pictures
from .readers.own import CLASSES, DIALECTS, LABELS, SEGMENTS, text


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_pictures(path, [place / 5 for place in range(60)])
    return path


@pytest.fixture
def root(tmp_path, film):
    (tmp_path / "films").mkdir()
    for video in SEGMENTS:
        shutil.copy(film, tmp_path / "films" / f"{video}.mp4")
    return tmp_path


@pytest.mark.parametrize(
    "dialect", [name for name in DIALECTS if name not in ("segments in frames", "a label a frame")]
)
def test_the_first_file_reads_what_is_there(dialect, root, capsys):
    DIALECTS[dialect](root)
    assert main(["benchmark", "init", str(root)]) == 0
    printed = capsys.readouterr().out
    assert "2 in films (.mp4)" in printed and "splits: which videos are for training" in printed
    path = root / "benchmark.yaml"
    if dialect == "a label a second":
        draft = path.read_text().replace('  - "out"\n', "")
        path.write_text(draft.replace('# ignore: ["out of body"]', "ignore: [out]"))
    benchmark = load_benchmark(path)
    assert sorted(benchmark.classes) == sorted(CLASSES)
    names = {
        video: [None if label is None else benchmark.classes[label] for label in map(data.labels.get, data.numbers)]
        for video, data in benchmark.videos.items()
    }
    assert names == {v: [None if i is None else CLASSES[i] for i in labels] for v, labels in LABELS.items()}


def test_frames_that_were_meant_are_guessed_and_said(root, capsys):
    text(root / "phases.csv", ["File;Begin;Stop;Phase", "op1.mp4;0;100;Cut", "op1.mp4;100;300;Sew"])
    assert main(["benchmark", "init", str(root), "--output", str(root / "mine.yaml")]) == 0
    assert "frames_per_second: 25 is a guess" in " ".join(capsys.readouterr().out.split())
    benchmark = load_benchmark(root / "mine.yaml")
    assert list(benchmark.videos["op1"].labels.values()) == [0] * 4 + [1] * 8
    assert benchmark.protocol["videos_without_labels"] == "op 2"


def test_videos_behind_a_link(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("linked")
    (folder / "films").symlink_to(root / "films")
    (folder / "back").symlink_to(folder)
    DIALECTS["segments in seconds"](folder)
    assert main(["benchmark", "init", str(folder)]) == 0
    assert sorted(load_benchmark(folder / "benchmark.yaml").videos) == sorted(SEGMENTS)


def test_overlaps_make_several_classes(root):
    text(root / "labels.csv", ["video,start,end,label", "op1,0,8,Cut", "op1,4,12,Sew"])
    assert main(["benchmark", "init", str(root)]) == 0
    assert load_benchmark(root / "benchmark.yaml").kind == "multi_label"


def test_what_cannot_be_drafted(root, capsys):
    for folder, words in (
        ("nowhere", "is no folder"),
        (root, "no labels in"),
        (root / "empty", "no videos and no fol"),
    ):
        (root / "empty").mkdir(exist_ok=True)
        assert main(["benchmark", "init", str(folder)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("surglavi benchmark: error: ") and words in error and error.count("\n") == 1
    (root / "benchmark.yaml").touch()
    assert main(["benchmark", "init", str(root)]) == 1 and "is there already" in capsys.readouterr().err
