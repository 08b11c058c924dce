# SPDX-License-Identifier: Apache-2.0
"""Public names are typed to tools: mypy sees what each is, and finds no fault in the public surface."""

import importlib
import re
import sys
from importlib.resources import files

import pytest

_NAMES = ("data", "media", "evaluation", "hub", "models", "surgclip", "training")
ROOMS = ["surglavi_hf", *(f"surglavi_hf.{name}" for name in _NAMES)]
USE = """
from typing_extensions import assert_type

from surglavi_hf import EvalReport, TrainingConfig, load_benchmark, train, zero_shot
from surglavi_hf.evaluation import Benchmark, VideoEncoder, load_encoder
from pathlib import Path

benchmark = load_benchmark("mine.yaml")
assert_type(benchmark, Benchmark)
encoder = load_encoder("me/model")
assert_type(encoder, VideoEncoder)
report = zero_shot(encoder, None, benchmark)
assert_type(report, EvalReport)
assert_type(report.metrics, dict[str, float | None])
assert_type(train(TrainingConfig(data_dir="in", output_dir="out")), Path)
zero_shot(encoder, None, "autolaparo")
"""


@pytest.fixture(scope="module")
def revealed(tmp_path_factory) -> str:
    """What mypy says of every public name, and of a file that uses some."""
    from mypy import api

    names = [f"{room}.{name}" for room in ROOMS for name in importlib.import_module(room).__all__]
    folder = tmp_path_factory.mktemp("types")
    lines = [f"import {', '.join(ROOMS)}", *(f"reveal_type({name})" for name in names)]
    (folder / "names.py").write_text("\n".join(lines) + "\n")
    (folder / "use.py").write_text(USE)
    options = ["--ignore-missing-imports", "--follow-imports=silent", "--cache-dir", str(folder / "cache")]
    said, errors, _ = api.run(
        [*options, "--python-executable", sys.executable, *map(str, sorted(folder.glob("*.py")))]
    )
    assert not errors, errors
    assert said.count("Revealed type is") == len(names)
    return said


def test_no_public_name_is_any(revealed):
    types = re.findall(r'Revealed type is "(.*)"', revealed)
    assert len(types) > 100 and "Any" not in types
    untyped = [text for text in types if text.endswith("-> Any")]
    assert untyped == ["def (rows: Any) -> Any"], "video_identities alone, of pyarrow's arrays, which has no types"


def test_the_public_surface_is_clean_and_a_fault_is_found(revealed):
    faults = [line for line in revealed.splitlines() if ": error: " in line]
    assert len(faults) == 1, faults
    assert 'Argument 3 to "zero_shot" has incompatible type "str"; expected "Benchmark"' in faults[0]


def test_the_package_says_that_it_is_typed():
    assert (files("surglavi_hf") / "py.typed").is_file()
