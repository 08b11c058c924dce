# SPDX-License-Identifier: Apache-2.0
"""What the hook into datasets relies on; a failure here means that datasets has changed under it."""

import csv
import inspect
import os
import subprocess
import sys

import datasets
import datasets.load
import pytest
from datasets import load_dataset
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

from surglavi_hf.data import registration


def test_datasets_still_has_what_is_hooked():
    base = registration.SurgLaViModuleFactory.__mro__[1]
    parameters = list(inspect.signature(base.__init__).parameters)
    assert parameters[1:4] == ["name", "data_dir", "data_files"]
    assert "PackagedDatasetModuleFactory(" in inspect.getsource(datasets.load.dataset_module_factory)
    assert datasets.load.PackagedDatasetModuleFactory is registration.SurgLaViModuleFactory
    module, code_hash = _PACKAGED_DATASETS_MODULES["surglavi"]
    assert module == "surglavi_hf.data.builder" and len(code_hash) == 64


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


def test_importing_is_light():
    """Heavy modules are imported when they are needed, not with the package."""
    heavy = ("av", "decord", "sklearn", "matplotlib", "accelerate", "rich.table", "transformers.modeling_utils")
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
