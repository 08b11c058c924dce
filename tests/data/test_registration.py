# SPDX-License-Identifier: Apache-2.0
"""What the hook into datasets relies on; a failure here means that datasets has changed under it."""

import csv
import inspect
import os
import shutil
import subprocess
import sys

import datasets
import datasets.load
import pytest
from datasets import load_dataset
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

from surglavi_hf.data import DATABASE_NAME, builder, registration

from .reference import expected_rows

FACTORIES = {
    "PackagedDatasetModuleFactory": (registration.PackagedModuleFactory, ["name", "data_dir", "data_files"]),
    "LocalDatasetModuleFactory": (registration.LocalModuleFactory, ["path", "data_dir", "data_files"]),
    "HubDatasetModuleFactory": (registration.HubModuleFactory, ["name", "commit_hash", "data_dir", "data_files"]),
    "CachedDatasetModuleFactory": (registration.CachedModuleFactory, ["name", "cache_dir"]),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_datasets_still_has_what_is_hooked(name):
    ours, parameters = FACTORIES[name]
    base = ours.__mro__[1]
    assert base.__name__ == name and getattr(datasets.load, name) is ours
    assert list(inspect.signature(base.__init__).parameters)[1 : 1 + len(parameters)] == parameters
    assert f"{name}(" in inspect.getsource(datasets.load.dataset_module_factory)
    fields = list(inspect.signature(datasets.load.DatasetModule).parameters)
    assert fields[:3] == ["module_path", "hash", "builder_kwargs"]
    module, code_hash = _PACKAGED_DATASETS_MODULES["surglavi"]
    assert module == "surglavi_hf.data.builder" and len(code_hash) == 64


def test_the_code_that_fills_the_cache_is_its_key():
    """Every file the builder reads through, so that a mended bug is not served from the cache."""
    folder = registration.__file__.rpartition("/")[0]
    others = {"__init__", "acquire", "augment", "check", "collate", "conftest", "display", "display_videos", "locate"}
    others |= {"attach", "clip_columns", "registration", "trained_on", "tree", "embeddings"}
    others |= {"caption_files", "import_captions", "import_videos", "write_database"}
    others |= {"apply_reviews", "line_files", "reviews", "takedown"}
    assert {name[:-3] for name in os.listdir(folder) if name.endswith(".py")} - others == set(builder._CODE[2:])
    assert builder._CODE[:2] == ("../media/identity", "../media/library")


def test_registering_twice_changes_nothing():
    before = dict(_PACKAGED_DATASETS_MODULES)
    registration.register()
    assert before == _PACKAGED_DATASETS_MODULES


def test_other_packaged_modules_are_untouched(tmp_path):
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["a"], [1], [2]])
    assert load_dataset("csv", data_dir=str(tmp_path), split="train")["a"] == [1, 2]


def test_data_dir_is_not_listed(corpus, monkeypatch):
    """A library holds thousands of videos, perhaps on a slow disk."""

    def refuse(*arguments, **options):
        raise AssertionError(f"listed {arguments}")

    for name in ("listdir", "scandir", "walk"):
        original = getattr(os, name)

        def guarded(path=".", *rest, original=original, **options):
            if str(path).startswith(str(corpus)):
                refuse(path)
            return original(path, *rest, **options)

        monkeypatch.setattr(os, name, guarded)
    assert len(load_dataset("surglavi", "step", data_dir=str(corpus), split="train", max_duration=499.0)) > 0


def ids(dataset):
    return dataset["caption_id"][:]


def test_all_ways_in_give_the_same_dataset(database, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    shutil.copytree(database.parent, folder)
    (folder / "README.md").write_text("a folder of many things")
    (folder / "videos" / "v").mkdir(parents=True)
    for index in range(3):
        (folder / "videos" / "v" / f"{index}.mp4").touch()
    monkeypatch.setenv("SURGLAVI_DATA_DIR", str(folder))
    monkeypatch.chdir(folder)
    path = folder / DATABASE_NAME
    by_data_dir = load_dataset("surglavi", "step", data_dir=str(folder), split="train")
    assert ids(by_data_dir) == [row["caption_id"] for row in expected_rows(path, "step")]
    others = (
        load_dataset("surglavi", "step", split="train"),
        load_dataset("surglavi", "step", data_dir=".", split="train"),
        load_dataset("surglavi", "step", data_files=str(path), split="train"),
        load_dataset("surglavi", "step", data_files={"train": [DATABASE_NAME]}, split="train"),
        load_dataset("surglavi", "step", data_files="surglavi_*.db", split="train"),
        load_dataset("surglavi", "step", data_dir="..", data_files=f"data/{DATABASE_NAME}", split="train"),
        load_dataset(str(folder), "step", split="train"),
        load_dataset(".", "step", split="train"),
        load_dataset("..", "step", data_dir="data", split="train"),
        load_dataset(".", "step", data_files=DATABASE_NAME, split="train"),
        load_dataset("surglavi", "step", data_files=path, split="train"),
        load_dataset("surglavi", "step", data_dir=str(path), split="train"),
    )
    assert {dataset._fingerprint for dataset in others} == {by_data_dir._fingerprint}
    assert {dataset[0]["clip"].video_dir for dataset in others} == {str(folder)}


def test_a_database_of_another_name(database, tmp_path):
    shutil.copy(database, tmp_path / "x.db")
    for dataset in (
        load_dataset("surglavi", data_dir=str(tmp_path), split="train"),
        load_dataset("surglavi", data_files=str(tmp_path / "x.db"), split="train"),
        load_dataset(str(tmp_path), split="train"),
    ):
        assert ids(dataset) == [row["caption_id"] for row in expected_rows(database)]


@pytest.mark.parametrize("files", [{}, {"a.csv": "x\n1\n", "b.txt": "y", "surglavi/c.csv": "x\n1\n", "d.py": "z"}])
def test_without_arguments_the_working_directory_does_not_matter(database, tmp_path, monkeypatch, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SURGLAVI_DATA_DIR", raising=False)
    with pytest.raises(
        FileNotFoundError, match=r"SURGLAVI_DATA_DIR is not set; nor .* Hub dataset aleperez24/SurgLaVi"
    ):
        load_dataset("surglavi")
    monkeypatch.setenv("SURGLAVI_DATA_DIR", str(database.parent))
    assert len(load_dataset("surglavi", split="train")) == len(expected_rows(database))


@pytest.mark.parametrize("name", ["a[b]", "a*", "what?", "{a,b}"])
def test_a_folder_whose_name_looks_like_a_pattern(database, tmp_path, name):
    """The pattern would match its neighbours."""
    for folder in (name, "ab", "a", "what1"):
        (tmp_path / folder).mkdir()
    shutil.copy(database, tmp_path / name / DATABASE_NAME)
    for neighbour in ("ab", "a", "what1"):
        (tmp_path / neighbour / DATABASE_NAME).write_bytes(b"not this one")
    for options in ({"data_dir": str(tmp_path / name)}, {"data_files": str(tmp_path / name / DATABASE_NAME)}):
        assert len(load_dataset("surglavi", split="train", **options)) == len(expected_rows(database))


def test_data_files_that_are_not_one_database(database, tmp_path):
    shutil.copy(database, tmp_path / "other.db")
    for files in ([str(database), str(tmp_path / "other.db")], {"test": str(database)}):
        with pytest.raises(ValueError, match="surglavi reads one database"):
            load_dataset("surglavi", data_files=files)
    with pytest.raises(FileNotFoundError, match=r"nothing\.db"):
        load_dataset("surglavi", data_files=str(tmp_path / "nothing.db"))


def test_folders_of_others_are_untouched(tmp_path):
    """With no database, with somebody else's, with several."""
    (tmp_path / "rows.csv").write_text("a\n1\n2\n")
    for databases in ([], ["theirs.db"], ["theirs.db", "more.db"]):
        for name in databases:
            (tmp_path / name).write_bytes(b"not SurgLaVi")
        assert load_dataset(str(tmp_path), split="train")["a"] == [1, 2]


@pytest.mark.parametrize("path", ["surglavi", "aleperez24/SurgLaVi"])
def test_from_the_hub_and_then_from_its_cache(database, hub, tmp_path, path):
    hub.files = {DATABASE_NAME: database.read_bytes(), "README.md": b"---\nlicense: mit\n---\n"}
    code = (
        "import surglavi_hf; from datasets import load_dataset;"
        f"rows = load_dataset({path!r}, 'step', split='train');"
        f"streamed = load_dataset({path!r}, 'step', split='train', streaming=True);"
        "assert sorted(row['caption_id'] for row in streamed) == rows['caption_id'][:];"
        "print(len(rows), rows[0]['clip'].video_dir, rows._fingerprint)"
    )
    online = hub.run(code, SURGLAVI_DATA_DIR=str(tmp_path))
    offline = hub.run(code, SURGLAVI_DATA_DIR=str(tmp_path), HF_HUB_OFFLINE="1")
    assert online.returncode == offline.returncode == 0, online.stderr + offline.stderr
    count, video_dir, _ = online.stdout.split()
    assert online.stdout == offline.stdout and int(count) == len(expected_rows(database, "step"))
    assert video_dir == str(tmp_path), "videos are looked for where SURGLAVI_DATA_DIR says"


def test_a_wrong_file_of_the_hub_is_not_answered_with_another(database, hub):
    """datasets asks its cache after any failure."""
    hub.files = {DATABASE_NAME: database.read_bytes(), "README.md": b""}
    load = "import surglavi_hf; from datasets import load_dataset; load_dataset('aleperez24/SurgLaVi', 'step'{})"
    assert hub.run(load.format("")).returncode == 0
    assert hub.run(load.format(f", data_files='{DATABASE_NAME}'")).returncode == 0
    run = hub.run(load.format(", data_files='typo.csv'"))
    assert run.returncode == 1 and "typo.csv" in run.stderr.splitlines()[-1]


def test_importing_is_light():
    """Heavy modules are imported when they are needed, not with the package."""
    heavy = (
        "av",
        "decord",
        "simplejpeg",
        "torchcodec",
        "yt_dlp",
        "sklearn",
        "matplotlib",
        "accelerate",
        "rich.table",
        "transformers.modeling_utils",
    )
    code = (
        "import sys, torch, transformers, datasets; before = set(sys.modules); import surglavi_hf;"
        f"print([name for name in {heavy} if name in sys.modules and name not in before])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_unknown_name_is_an_attribute_error():
    import surglavi_hf

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        surglavi_hf.nothing  # noqa: B018
    for name in surglavi_hf.__all__:
        assert getattr(surglavi_hf, name) is not None
