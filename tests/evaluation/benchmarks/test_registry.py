# SPDX-License-Identifier: Apache-2.0
"""A small package of another's adds a benchmark and a reader, by entry points alone."""

import shutil
import sys

import pytest

from surglavi_hf import load_benchmark
from surglavi_hf.cli import main
from surglavi_hf.evaluation import LabelReader
from surglavi_hf.evaluation.benchmarks.registry import (
    BENCHMARKS_GROUP,
    READERS_GROUP,
    benchmark_names,
    label_reader,
    reader_names,
)

from ..conftest import write_pictures

PACKAGE = '''
from dataclasses import dataclass
from pathlib import Path

from surglavi_hf.evaluation import LabelReader
from surglavi_hf.options import option


@dataclass(frozen=True, kw_only=True)
class Diary(LabelReader):
    """A line a second: the initial of what was done."""

    suffix: str = option(".diary", "Of the files.")

    def videos(self, root):
        return sorted(path.stem for path in root.glob(f"*{self.suffix}"))

    def labels(self, root, video, variant):
        letters = (root / f"{video}{self.suffix}").read_text().split()
        initials = [name[0] for name in self.classes]
        return {second: initials.index(letter) for second, letter in enumerate(letters)}


def kitchen():
    return Path(__file__).parent / "kitchen.yaml"
'''
YAML = """
name: kitchen
title: Kitchen
kind: single_label
classes: [cut, stir]
labels: {reader: diary, suffix: .txt}
videos: "{video}.mp4"
published: {zero_shot: {The cook: [99.0, 98.0]}, note: By hand.}
"""


READER = (f"[{READERS_GROUP}]", "diary = lab_kitchen:Diary")


def install(folder, name: str, *points: str) -> None:
    """As pip leaves a package: its metadata beside it."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(points) + "\n")


@pytest.fixture
def kitchen(tmp_path, monkeypatch):
    """The package is installed; returns a folder of its data."""
    site = tmp_path / "site"
    points = (
        f"[{BENCHMARKS_GROUP}]",
        "kitchen = lab_kitchen:kitchen",
        f"[{READERS_GROUP}]",
        "diary = lab_kitchen:Diary",
    )
    install(site, "lab-kitchen", *points)
    (site / "lab_kitchen").mkdir()
    (site / "lab_kitchen" / "__init__.py").write_text(PACKAGE)
    (site / "lab_kitchen" / "kitchen.yaml").write_text(YAML)
    monkeypatch.syspath_prepend(str(site))
    root = tmp_path / "data"
    root.mkdir()
    write_pictures(root / "soup.mp4", [float(second) for second in range(6)])
    (root / "soup.txt").write_text("c c s s s c")
    yield root
    sys.modules.pop("lab_kitchen", None)


def test_another_package_joins(kitchen, tmp_path, tiny_model, capsys):
    assert "kitchen" in benchmark_names() and "diary" in reader_names()
    benchmark = load_benchmark("kitchen", kitchen)
    assert benchmark.rows["label"] == [0, 0, 1, 1, 1, 0] and benchmark.title == "Kitchen"
    for part in tiny_model:
        part.save_pretrained(tmp_path / "model")
    command = ["evaluate", "kitchen", "--root", str(kitchen), "--model", str(tmp_path / "model")]
    assert main([*command, "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "The cook" in printed and "99.00" in printed and "By hand." in printed


def test_its_reader_serves_files_of_ones_own(kitchen):
    path = kitchen / "mine.yaml"
    path.write_text(YAML.replace("name: kitchen", "name: mine"))
    assert load_benchmark(path).rows["label"] == [0, 0, 1, 1, 1, 0]
    path.write_text(YAML.replace("suffix", "sufix"))
    with pytest.raises(ValueError, match=r"unknown key labels\.'sufix'; is it suffix\?"):
        load_benchmark(path)


@pytest.mark.parametrize(
    "point, message",
    [
        ("kitchen = lab_kitchen:nothing", r"'kitchen' of the package lab-other cannot be imported .*nothing"),
        ("kitchen = no_such_module:x", r"'kitchen' of the package lab-other cannot be imported .*no_such_module"),
        ("kitchen = lab_kitchen:Diary", r"benchmark 'kitchen' of the package lab-other cannot be had"),
        ("pantry = lab_kitchen:kitchen", r"is named 'kitchen', expected 'pantry'"),
    ],
)
def test_a_fault_of_a_package_names_it(kitchen, tmp_path, monkeypatch, point, message):
    shutil.rmtree(tmp_path / "site" / "lab_kitchen-1.0.dist-info")
    install(
        tmp_path / "other",
        "lab-other",
        f"[{BENCHMARKS_GROUP}]",
        point,
        f"[{READERS_GROUP}]",
        "diary = lab_kitchen:Diary",
    )
    monkeypatch.syspath_prepend(str(tmp_path / "other"))
    with pytest.raises(ValueError, match=message) as caught:
        load_benchmark(point.split()[0], kitchen)
    assert "\n" not in str(caught.value)


def test_two_packages_of_one_name(kitchen, tmp_path, monkeypatch):
    install(tmp_path / "other", "lab-other", f"[{READERS_GROUP}]", "diary = elsewhere:Diary")
    monkeypatch.syspath_prepend(str(tmp_path / "other"))
    with pytest.raises(ValueError, match=r"'diary' is of the package lab-\w+ and of the package lab-\w+; uninstall"):
        label_reader("diary")


def test_every_reader_of_ours_is_one():
    for name in ("segments", "frame_labels", "elan", "boris", "label_studio", "common_form", "cholec80", "grasp"):
        assert issubclass(label_reader(name), LabelReader)
    with pytest.raises(ValueError, match="'nothing', expected one of autolaparo, boris"):
        label_reader("nothing")
