# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import pytest

from surglavi_hf.cli import main


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert "demo" in capsys.readouterr().out


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    assert "example: surglavi demo --output demo" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["dmeo"], ["demo"], ["demo", "--output", "x", "--seed", "-1"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_an_error_is_one_line_and_status_1(tmp_path):
    (tmp_path / "file").write_text("x")
    command = [sys.executable, "-m", "surglavi_hf.cli", "demo", "--output", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith("surglavi demo: error: ") and result.stderr.count("\n") == 1
