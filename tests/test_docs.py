# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/your_own_data.md run as they stand, one after the other."""

import json
import re
import shutil
from pathlib import Path

from .evaluation.conftest import write_pictures

DOCS = Path(__file__).parents[1] / "docs"


def commands_of(page: Path) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_your_own_data(hub_server, stranger, tmp_path):
    """In one process, since starting Python for each would take minutes."""
    shutil.copytree(DOCS / "your_own_data", tmp_path / "mine")
    (tmp_path / "mine" / "videos").mkdir()
    write_pictures(tmp_path / "mine" / "videos" / "op01.mp4", [second / 2 for second in range(65)])
    for name in ("op02", "op03"):
        shutil.copy(tmp_path / "mine" / "videos" / "op01.mp4", tmp_path / "mine" / "videos" / f"{name}.mp4")
    commands = commands_of(DOCS / "your_own_data.md")
    assert sum(command.startswith("surglavi ") for command in commands) == 25
    printed = stranger(f"""
import os, shlex, subprocess
from surglavi_hf.cli import main

os.chdir({str(tmp_path / "mine")!r})
for command in {commands!r}:
    print("$", command, flush=True)
    if command.startswith("surglavi "):
        assert main(shlex.split(command)[1:]) == 0, command
    elif " && cd " in command:
        subprocess.run(command.split(" && ")[0], shell=True, check=True)
        os.chdir(command.rpartition(" ")[2])
    else:
        subprocess.run(command, shell=True, check=True)
""")
    said = {command: text for command, _, text in (part.partition("\n") for part in f"\n{printed}".split("\n$ "))}
    reports = [json.loads(path.read_text()) for path in tmp_path.glob("mine/evaluation/*/benchmark/report.json")]
    assert len(reports) == 6 and all(report["metrics"] == reports[0]["metrics"] for report in reports)
    assert "Phases of our cholecystectomies, %" in printed
    for name in ("retrieval", "search"):
        here, elsewhere = (text.strip() for command, text in said.items() if command.startswith(f"surglavi {name} "))
        assert here == elsewhere and here, name
