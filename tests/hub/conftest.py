# SPDX-License-Identifier: Apache-2.0
import json
import shutil

import pytest
import torch
from datasets import load_dataset
from transformers import AutoModel, AutoProcessor

from surglavi_hf import retrieval
from surglavi_hf.demo.run import PROMPTS
from surglavi_hf.hub import failures
from surglavi_hf.training.publish import write_model
from surglavi_hf.training.start import new_tiny_model

from ..surgclip.conftest import released_folder  # noqa: F401  a fixture


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """What is tried again is tried at once; huggingface_hub's own pauses stay."""
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.001)


@pytest.fixture(scope="package")
def trained(corpus, tmp_path_factory):
    """A model as training writes it, with a report of its own."""
    torch.manual_seed(0)
    model, processor = new_tiny_model(PROMPTS["task"])
    folder = tmp_path_factory.mktemp("trained") / "model"
    log = folder.with_name("metrics.jsonl")
    lines = [
        {"step": 1, "epoch": 0, "loss": 2.5, "temperature": 0.07},
        {"step": 2, "epoch": 0, "loss": 2.25, "temperature": 0.07, "validation/text_to_video_R@1": 0.25},
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3, "lo')
    settings = {
        "data_dir": str(corpus),
        "level": "all",
        "vision_encoder": "google/vit-base-patch16-224",
        "a|b": "c\nd",
    }
    write_model(model, processor, settings, log, folder)
    rows = load_dataset("surglavi", "phase", data_dir=str(corpus), split="train")
    loaded = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    (folder / "evaluation").mkdir()
    retrieval(*loaded, rows, "surglavi_phase_retrieval").to_json(folder / "evaluation" / "phase.json")
    (folder / "evaluation" / "phase.md").write_text("left where it is")
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "model")
