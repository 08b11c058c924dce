# SPDX-License-Identifier: Apache-2.0
import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import ModelCard
from transformers import AutoModel

from surglavi_hf import TrainingConfig, train
from surglavi_hf.hub import render_model_card
from surglavi_hf.training.publish import MAX_LINES, write_model
from surglavi_hf.training.start import new_tiny_model


@pytest.fixture(scope="module")
def tiny():
    return new_tiny_model(["The surgeon clips the cystic duct."])


@pytest.fixture
def metrics(tmp_path) -> Path:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 7, "epoch": 1, "loss": 1.25, "temperature": 0.05, "validation/task_accuracy": 0.5}\n')
    return path


def test_a_folder_that_loads_with_card_settings_and_metrics(tiny, metrics, tmp_path):
    folder, encoder = tmp_path / "model", tmp_path / "some vit"
    encoder.mkdir()
    settings = {"data_dir": "/secret", "output_dir": "/secret", "seed": 3, "vision_encoder": str(encoder)}
    write_model(*tiny, {**settings, "hub_model_id": "a|b\n# c"}, metrics, folder)
    AutoModel.from_pretrained(folder)
    assert json.loads((folder / "training.json").read_text()) == {
        **{"seed": 3, "vision_encoder": "some vit", "hub_model_id": "a|b\n# c"}
    }
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "transformers"
    for text in ("trained for 7 steps", "loss 1.250", "| seed | 3 |", "| task_accuracy | 0.5 |", r"a\|b # c |"):
        assert text in card.text
    assert f"{tiny[0].num_parameters():,} parameters" in card.text and "/secret" not in card.text
    assert (folder / "metrics.jsonl").read_bytes() == metrics.read_bytes()


def test_of_a_long_log_a_part_is_published(tiny, tmp_path):
    """It would be pushed whole at every checkpoint."""
    lines = [{"step": step, "epoch": 0, "loss": 1.0, "temperature": 0.05} for step in range(1, 10_002)]
    for line in lines[9::100]:
        line["validation/task_accuracy"] = line["step"] / 10_001
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_model(*tiny, {}, path, tmp_path / "model")
    found = [json.loads(line) for line in (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in found] == sorted({line["step"] for line in found})
    assert MAX_LINES < len(found) <= MAX_LINES + 102 and found[0] == lines[0] and found[-1] == lines[-1]
    assert [line for line in found if len(line) == 5] == lines[9::100], "all figures of validation"
    steps = [line["step"] for line in found]
    assert max(after - before for before, after in pairwise(steps)) <= 6
    card = (tmp_path / "model" / "README.md").read_text()
    assert "trained for 10001 steps" in card and "| task_accuracy | 0.9909 |" in card


def test_it_is_replaced_file_by_file(tiny, metrics, tmp_path):
    folder = tmp_path / "model"
    write_model(*tiny, {}, metrics, folder)
    (folder / "notes.txt").write_text("mine")
    held = (folder / "model.safetensors").open("rb")
    before = held.read()
    with_other_weights = new_tiny_model(["The surgeon clips the cystic duct."])
    write_model(*with_other_weights, {}, metrics, folder)
    held.seek(0)
    assert held.read() == before, "a file that is being read was changed"
    assert (folder / "model.safetensors").read_bytes() != before and (folder / "notes.txt").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_card_of_no_steps(tiny, tmp_path):
    empty = tmp_path / "metrics.jsonl"
    empty.write_text("")
    write_model(*tiny, {}, empty, tmp_path / "model")
    assert "Untrained." in str(render_model_card(tmp_path / "model"))


def test_the_card_of_a_model_says_what_it_was_trained_on(stored_corpus, tmp_path):
    """The demo's corpus says what it is; SurgLaVi, without such a file, is SurgLaVi; a given dataset is neither."""
    for name, own in (("drawn", True), ("surglavi", False)):
        corpus = tmp_path / name
        shutil.copytree(stored_corpus, corpus)
        if not own:
            (corpus / "corpus.json").unlink()
        settings = {"data_dir": str(corpus), "max_steps": 1, "per_device_train_batch_size": 4, "level": "phase"}
        model = train(TrainingConfig(output_dir=str(tmp_path / f"{name}-run"), **settings))
        card = (model / "README.md").read_text()
        of_surglavi = card.split("## Citation")[0].replace("surglavi_hf", "").replace("SurgLaVi's format", "")
        assert ("SurgLaVi" in of_surglavi, "YouTube" in card, "nc-sa" in card) == ((not own,) * 3)
        assert ("trained with surglavi_hf on *Drawn procedures*" in card) == own and "$" not in card
        assert ("license: apache-2.0" in card) == own
    rows = load_dataset("surglavi", "phase", data_dir=str(stored_corpus), split="train")
    config = TrainingConfig(output_dir=str(tmp_path / "given"), max_steps=1, per_device_train_batch_size=4)
    assert "on *a dataset of its own*" in (train(config, rows) / "README.md").read_text()
