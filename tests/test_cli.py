# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import subprocess
import sys

import pytest

from surglavi_hf.cli import main


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["check", "--help"], ["tree", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert "demo" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command, example",
    [("demo", "--output demo"), ("check", "demo/corpus"), ("tree", "procedure-001 --data_dir demo/corpus")],
)
def test_help_has_an_example(command, example, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert f"example: surglavi {command} {example}" in capsys.readouterr().out


def test_the_examples_work(corpus, tmp_path, monkeypatch, capsys):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "corpus").symlink_to(corpus)
    monkeypatch.chdir(tmp_path)
    assert main(["check", "demo/corpus"]) == 0
    assert main(["tree", "procedure-001", "--data_dir", "demo/corpus"]) == 0
    shown = capsys.readouterr().out
    assert "0 left out" in shown and " phase " in shown and "└── " in shown


@pytest.mark.parametrize(
    "arguments", [[], ["dmeo"], ["demo"], ["demo", "--output", "x", "--seed", "-1"], ["check"], ["tree"]]
)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_output_may_go_anywhere(corpus):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert main(["check", str(corpus), "--json"]) == 0
    assert json.loads(output.getvalue())["left_out"] == {}


def test_a_missing_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "surglavi_hf.demo", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["demo", "--output", str(tmp_path / "new")]) == 1
    assert capsys.readouterr().err == (
        "surglavi demo: error: rich.console is not installed; pip install 'surglavi-hf[demo]'\n"
    )
    assert not (tmp_path / "new").exists()


def test_an_error_is_one_line_and_status_1(tmp_path):
    (tmp_path / "file").write_text("x")
    command = [sys.executable, "-m", "surglavi_hf.cli", "demo", "--output", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith("surglavi demo: error: ") and result.stderr.count("\n") == 1
