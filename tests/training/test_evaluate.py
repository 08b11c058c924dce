# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from datasets import load_dataset

from surglavi_hf.evaluation import retrieval, zero_shot_clips
from surglavi_hf.training.contrastive_model import ContrastiveModel
from surglavi_hf.training.evaluate import validate
from surglavi_hf.training.start import load_model


def test_figures_are_those_of_the_evaluation_room(stored_corpus, dropout_model):
    dataset = load_dataset("surglavi", data_dir=str(stored_corpus), split="train").select(range(0, 240, 12))
    model, processor = load_model(str(dropout_model))
    rows = [row for row, level in enumerate(dataset["level"]) if level == 0]
    captions = list(dataset.select(rows)["caption"])
    prompts = list(dict.fromkeys(captions))
    labels = [prompts.index(caption) for caption in captions]
    expected = zero_shot_clips(model, processor, dataset.select(rows), prompts, labels).metrics
    ranks = retrieval(model, processor, dataset).metrics

    prepared = ContrastiveModel(model).train()
    before = torch.get_rng_state()
    found = validate(Accelerator(cpu=True), prepared, processor, dataset)
    assert prepared.training and torch.equal(torch.get_rng_state(), before), "training would go on otherwise"
    assert found["validation/task_accuracy"] == expected["accuracy"]
    assert found["validation/task_chance"] == expected["chance"]
    assert {name.removeprefix("validation/"): found[name] for name in found if "_to_" in name} == pytest.approx(ranks)


def test_training_does_without_scikit_learn(tmp_path):
    """It is an extra; only evaluations need it, and say so."""
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from surglavi_hf.training.__main__ import main\n"
        "sys.exit(main(['--data_dir', 'x', '--output_dir', 'y', '--eval_steps', '1', '--validation_fraction', '0.5']))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1 and "no database at" in result.stderr.splitlines()[-1], result.stderr
    assert not list(Path(tmp_path).iterdir())
