# SPDX-License-Identifier: Apache-2.0
"""A saved folder carries its code: it loads where surglavi_hf is not installed, and there gives the same numbers."""

import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoModel, AutoProcessor

# What `pip install torch transformers` does not bring, of what this environment has.
ABSENT = (
    *("surglavi_hf", "benchmarks", "tests", "accelerate", "av", "datasets", "decord", "matplotlib", "pandas", "peft"),
    *("PIL", "pyarrow", "scipy", "simplejpeg", "sklearn", "torchcodec", "torchvision", "wrapt", "yt_dlp"),
)
RUN = f"""
import sys
for name in {ABSENT}:
    sys.modules[name] = None  # importing it fails
import torch
from transformers import AutoModel, AutoProcessor
folder, inputs, outputs = sys.argv[1:]
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
given = torch.load(inputs, weights_only=True)
with torch.no_grad():
    logits = model(**processor(**given)).logits_per_video
model.save_pretrained(outputs)
processor.save_pretrained(outputs)
torch.save(logits, inputs)
print(type(model).__module__.split(".")[0], type(processor.video_processor).__module__.split(".")[0])
"""


@pytest.fixture
def given():
    clip = torch.randint(0, 256, (7, 40, 50, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return {"videos": clip, "text": ["The surgeon clips the cystic duct.", "aid"]}


def logits(folder, given) -> torch.Tensor:
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    assert type(model).__module__ == "surglavi_hf.surgclip.modeling_surgclip", "of the package, without asking"
    with torch.no_grad():
        return model(**processor(**given)).logits_per_video


def test_without_the_package(released_folder, given, tmp_path):
    torch.save(given, tmp_path / "given.pt")
    result = subprocess.run(
        [sys.executable, "-c", RUN, released_folder, tmp_path / "given.pt", tmp_path / "again"],
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.stdout.split() == ["transformers_modules"] * 2, result.stderr
    there = torch.load(tmp_path / "given.pt", weights_only=True)
    assert torch.equal(there, logits(released_folder, given))
    assert torch.equal(there, logits(tmp_path / "again", given)), "saved there, it is complete again"


def test_the_folder_carries_what_its_code_imports(released_folder):
    for path in released_folder.glob("*.py"):
        siblings = {line.split()[1][1:] for line in path.read_text().splitlines() if line.startswith("from .")}
        assert all((released_folder / f"{name}.py").is_file() for name in siblings), path.name
