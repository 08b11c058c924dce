# SPDX-License-Identifier: Apache-2.0
"""The README's Python runs as it stands, block after block."""

import re
from pathlib import Path

import torch

from surglavi_hf.demo import PROMPTS
from surglavi_hf.training.start import new_tiny_model

README = Path(__file__).parents[1] / "README.md"


def test_python_blocks(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("demo/training").mkdir(parents=True)
    Path("demo/corpus").symlink_to(corpus)
    torch.manual_seed(0)
    for part in new_tiny_model(PROMPTS["task"]):
        part.save_pretrained("demo/training/model")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["frames"].shape == (16, 3, 96, 96)
    assert "tensor" in capsys.readouterr().out and Path("phases.json").is_file()
