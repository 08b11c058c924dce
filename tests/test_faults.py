# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong is one line, and a traceback is for --debug."""

import errno
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from datasets.exceptions import DatasetGenerationError
from huggingface_hub.errors import OfflineModeIsEnabled, StrictDataclassFieldValidationError
from safetensors import SafetensorError

from surglavi_hf.cli import main
from surglavi_hf.evaluation import EvalReport
from surglavi_hf.evaluation.benchmarks import find_benchmark
from surglavi_hf.evaluation.benchmarks.common_form import read_common_form
from surglavi_hf.evaluation.benchmarks.readers.cholect50 import _read_instances
from surglavi_hf.evaluation.benchmarks.readers.multibypass140 import _read_intervals
from surglavi_hf.evaluation.search import read_index
from surglavi_hf.faults import BROKEN_PIPE, INTERRUPTED, one_line, report
from surglavi_hf.files import reading
from surglavi_hf.hub.cards import read_json
from surglavi_hf.hub.model_results import INDEX_NAME, weight_files
from surglavi_hf.named_values import read_named_values
from surglavi_hf.training.checkpoint import STATE_NAME, read_state
from surglavi_hf.training.start import new_tiny_model


def caused(error: BaseException) -> BaseException:
    outer = DatasetGenerationError("An error occurred while generating the dataset")
    outer.__cause__ = error
    return outer


def of_a_worker() -> BaseException:
    """As a DataLoader hands on what one of its processes raised."""
    try:
        list(torch.utils.data.DataLoader(["x"], num_workers=1, collate_fn=_fail))
    except ValueError as error:
        return error
    raise AssertionError


def _fail(rows):
    raise ValueError("frame 3 is not there; extract it\nagain")


@pytest.mark.parametrize(
    "error, expected",
    [
        (ValueError("two\n lines"), "two lines"),
        (KeyboardInterrupt(), "stopped"),
        (OSError(errno.ENOSPC, "No space left on device", "x.arrow"), "no room to write .*x.arrow.*; make room"),
        (caused(OSError(errno.ENOSPC, "No space left on device")), "no room to write in .*datasets "),
        (caused(sqlite3.DatabaseError("database disk image is malformed")), "a file is damaged .*malformed"),
        (SafetensorError("Error while deserializing header"), "a file is damaged .*header"),
        (zipfile.BadZipFile("File is not a zip file"), "a file is damaged"),
        (zlib.error("Error -3 while decompressing"), "a file is damaged"),
        (pa.ArrowKeyError("x"), "a file is damaged"),
        (torch.OutOfMemoryError("CUDA out of memory"), "the memory is used up .*--batch-size"),
        (MemoryError(), "the memory is used up"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deep"),
        (ModuleNotFoundError("No module named 'sklearn'", name="sklearn"), r"pip install 'surglavi-hf\[evaluation\]'"),
        (ModuleNotFoundError("No module named 'peft'", name="peft"), r"pip install 'surglavi-hf\[lora\]'"),
        (OfflineModeIsEnabled("offline"), "offline mode is on; unset HF_HUB_OFFLINE"),
        (StrictDataclassFieldValidationError("hidden_size", ValueError("no\nis a str")), "is a str"),
        (TypeError("unhashable"), "TypeError: unhashable; this was not foreseen, --debug"),
        (KeyError("level"), "KeyError: level; this was not foreseen"),
        (AssertionError(), "AssertionError: no reason given; this was not foreseen"),
        (ValueError(), "ValueError"),
    ],
)
def test_one_line(error, expected):
    line = one_line(error)
    assert re.search(expected, line) and "\n" not in line, line


def test_the_error_of_a_worker_is_its_own_message():
    assert one_line(of_a_worker()) == "frame 3 is not there; extract it again"


def test_reading_names_what_is_read():
    with (
        pytest.raises(ValueError, match=r"^x\.npz cannot be read \(KeyError: 'rows'\); delete it$"),
        reading("x.npz", "delete it"),
    ):
        {}["rows"]
    with pytest.raises(FileNotFoundError, match="nothing"), reading("x.npz", "delete it"):
        Path("nothing").read_bytes()
    with pytest.raises(OSError, match=r"^x\.npz cannot be read \(cut\); delete it$"), reading("x.npz", "delete it"):
        raise OSError("cut\nsecond line")


def test_a_fault_of_a_command(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("surglavi check: error: no database at ") and said.count("\n") == 1
    assert main(["check", str(tmp_path), "--debug"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and said.splitlines()[-1].startswith("surglavi check: error: no database at ")


def test_no_room_for_the_cache(corpus, tmp_path):
    """A limit on the size of files is as a full disk to whoever writes."""
    script = (
        "import resource, signal, sys\n"
        "from surglavi_hf.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = ["embed", "--data-dir", str(corpus), "--model", str(tmp_path / "model"), "--output", str(tmp_path / "x")]
    model, processor = new_tiny_model(["a liver"])
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *words],
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"surglavi embed: error: there is no room to write in {tmp_path / 'home'}" in done.stderr.splitlines()[-1]


def test_a_name_with_control_characters_stays_a_line(tmp_path, capsys):
    assert main(["check", f"{tmp_path}/a\x1b[31m\nb"]) == 1
    said = capsys.readouterr().err
    assert "\x1b" not in said and said.count("\n") == 1


@pytest.fixture
def not_ignored():
    """Ctrl-C, which what a shell starts in the background ignores, and all that this starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("not_ignored")
@pytest.mark.parametrize("module", ["surglavi_hf.cli", "surglavi_hf.training"])
def test_ctrl_c_at_any_moment_is_one_line(module, corpus, tmp_path):
    """From the first import on, to all processes of the group, as a terminal sends it."""
    arguments = {
        "surglavi_hf.cli": ["frames", "--data-dir", str(tmp_path), "--workers", "2"],
        "surglavi_hf.training": ["--data_dir", str(corpus), "--output_dir", str(tmp_path / "run")],
    }
    (tmp_path / "videos").symlink_to(corpus / "videos")
    for wait in (0.15, 0.6, 1.5, 2.4):
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments[module]],
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert "Traceback" not in said, said
        # Python's own status of Ctrl-C while it starts is the signal; short commands may be through already.
        through = [0] if module == "surglavi_hf.cli" else []
        assert process.returncode in (INTERRUPTED, -signal.SIGINT, *through), said


@pytest.mark.usefixtures("not_ignored")
def test_ctrl_c_while_a_library_is_imported_is_not_lost(tmp_path):
    """Libraries in C turn KeyboardInterrupt into an ImportError, and some catch whatever fails."""
    (tmp_path / "library.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    for _ in range(9**9): pass\n"
        "except BaseException:\n    raise ImportError('initialization failed')\n"
    )
    script = "import sys\nsys.argv[0] = 'surglavi'\nimport surglavi_hf\nimport library\nprint('on')"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", "surglavi: stopped\n")


def test_a_reader_that_goes_away(corpus):
    """As `surglavi check … | head -0`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "surglavi_hf.cli", "check", str(corpus), "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, "")


def test_interrupted_status(capsys):
    assert report(KeyboardInterrupt(), "surglavi x: ", debug=False) == INTERRUPTED == 130
    assert capsys.readouterr().err == "surglavi x: stopped\n"


@pytest.mark.parametrize(
    "name, read",
    [
        ("report.json", EvalReport.from_json),
        ("prompts.json", read_named_values),
        ("prompts.yaml", read_named_values),
        ("VID01.json", _read_instances),
        ("VID02.json", lambda path: _read_intervals(path, "phases", 12)),
        ("test.json", lambda path: read_common_form(path, "test", find_benchmark("grasp_phases").common)),
        ("index.json", lambda path: read_index(path.parent)),
        ("config.json", read_json),
        (INDEX_NAME, lambda path: weight_files(path.parent)),
        (STATE_NAME, lambda path: read_state(path.parent)),
    ],
)
@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe\0", b"{"])
def test_what_is_no_json_is_named(tmp_path, name, read, content):
    """Nested deeper than Python reads, not text, and cut short."""
    path = tmp_path / name
    path.write_bytes(content[:5000] if path.suffix == ".yaml" else content)
    with pytest.raises(ValueError, match=path.name) as raised:
        read(path)
    assert type(raised.value) is ValueError
