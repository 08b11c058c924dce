# SPDX-License-Identifier: Apache-2.0
"""The loading script, in an environment with datasets 3.6, without transformers and without PyTorch."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from datasets import load_dataset

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "loading_script" / "surglavi.py"
PYTHON = ROOT / ".venv-datasets-3" / "bin" / "python"
CONFIGS = ("all", "task", "step", "coarse", "videos", "transcriptions")
LOAD = """
import importlib.util, json, sys
import datasets

assert datasets.__version__.startswith("3."), datasets.__version__
assert not importlib.util.find_spec("transformers") and not importlib.util.find_spec("torch")
script, options, configs = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
found = {}
for config in configs:
    for streaming in (False, True):
        splits = datasets.load_dataset(script, config, trust_remote_code=True, streaming=streaming, **options)
        found[f"{config} {streaming}"] = {
            name: [{key: str(value) for key, value in row.items()} for row in part] for name, part in splits.items()
        }
print(json.dumps(found))
"""


def load(*arguments: str, home: Path, code: str = LOAD) -> subprocess.CompletedProcess:
    if not PYTHON.is_file():
        pytest.skip("no environment with datasets 3.6; `make .venv-datasets-3/installed` makes it")
    environment = {**os.environ, "HF_HOME": str(home)}
    return subprocess.run(
        [PYTHON, "-c", code, str(SCRIPT), *arguments], capture_output=True, text=True, env=environment, timeout=300
    )


def test_every_config_has_the_rows_of_the_builder(corpus, tmp_path):
    options = {"data_dir": str(corpus), "test_fraction": 0.3}
    done = load(json.dumps(options), *CONFIGS, home=tmp_path)
    assert not done.returncode, done.stderr[-2000:]
    found = json.loads(done.stdout)
    for config in CONFIGS:
        expected = {
            name: [{key: str(value) for key, value in row.items()} for row in part]
            for name, part in load_dataset("surglavi", config, **options).items()
        }
        assert expected["train"] and expected["test"]
        assert found[f"{config} False"] == expected
        number = next(iter(expected["train"][0]))
        for name, rows in found[f"{config} True"].items():  # in an order of its own
            assert sorted(rows, key=lambda row: int(row[number])) == expected[name], "streamed"
        assert found[f"{config} True"].keys() == expected.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_dir": "/nowhere"}, "no database at /nowhere/surglavi_beta.db"),
        ({"data_files": {"train": ["a.db", "b.db"]}}, "surglavi reads one database"),
    ],
)
def test_a_wrong_place_is_named(tmp_path, options, message):
    done = load(json.dumps(options), "step", home=tmp_path)
    assert done.returncode and message in done.stderr
