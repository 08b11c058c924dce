# SPDX-License-Identifier: Apache-2.0
import builtins
import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from surglavi_hf import SurgCLIPModel, SurgCLIPProcessor, SurgCLIPVideoProcessor
from surglavi_hf.surgclip import load_config, load_processor, load_whole
from surglavi_hf.surgclip.loading import load_tokenizer

from .conftest import make_tokenizer, tiny_config

SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def saved(make_model, tmp_path):
    make_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change(folder, **changes) -> None:
    """Takes weights out (None), or puts others in."""
    state = load_file(folder / "model.safetensors") | changes
    kept = {name: value for name, value in state.items() if value is not None}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def test_a_whole_model(saved, make_model):
    loaded = load_whole(saved, dtype=torch.bfloat16)
    assert type(loaded) is SurgCLIPModel and loaded.dtype == torch.bfloat16
    expected = make_model().state_dict()
    assert all(torch.equal(value, expected[name].bfloat16()) for name, value in loaded.state_dict().items())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"temp": None}, "no temp; copy"),
        ({"text_encoder.embeddings.LayerNorm.bias": None}, "no text_encoder.embeddings.LayerNorm.bias; copy"),
        ({"more": torch.zeros(1)}, "unknown more; copy"),
        ({"text_proj.bias": torch.zeros(3)}, r"text_proj.bias of shape \(3,\) instead of \(24,\); copy"),
        (
            {"temp": None, "text_proj.bias": None, "vision_proj.bias": None, "a": torch.zeros(1), "b": torch.zeros(1)},
            "no temp; no text_proj.bias; no vision_proj.bias and 2 more; copy",
        ),
    ],
)
def test_weights_that_do_not_fit(saved, changes, message, caplog):
    change(saved, **changes)
    with pytest.raises(ValueError, match=f"the weights of .*model do not fit its config: {message}"):
        load_whole(saved)
    assert "LOAD REPORT" not in caplog.text
    logging.getLogger("transformers.modeling_utils").warning("LOAD REPORT of others")
    assert not logging.getLogger("transformers.modeling_utils").filters


def test_another_width(saved):
    with pytest.raises(ValueError, match=r"text_proj.bias of shape \(24,\) instead of \(32,\)"):
        load_whole(saved, projection_dim=32)


def test_damaged_weights_name_the_file(saved):
    whole = (saved / "model.safetensors").read_bytes()
    for damaged in (b"", whole[:5], whole[:300], whole[:-10], b"\xff" + whole[1:], whole[:60] + b"\0" + whole[61:]):
        (saved / "model.safetensors").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.safetensors is damaged or cut short .*; copy or download it"):
            load_whole(saved)


def test_code_is_not_run_and_nobody_is_asked(saved, monkeypatch):
    asked = []
    monkeypatch.setattr(builtins, "input", asked.append)
    config = json.loads((saved / "config.json").read_text()) | {"model_type": "theirs"}
    assert "auto_map" in config
    (saved / "config.json").write_text(json.dumps(config))
    (saved / "configuration_surgclip.py").write_text("raise SystemExit('was run')")
    with pytest.raises(ValueError, match="model comes with code of its own, which is not run"):
        load_whole(saved)
    assert not asked


@pytest.mark.parametrize("config, model", [(CLIPConfig, CLIPModel), (SiglipConfig, SiglipModel)])
def test_other_models(tmp_path, config, model):
    """With what old checkpoints have, and transformers does without."""
    text, vision = SMALL | {"vocab_size": 99}, SMALL | {"image_size": 8, "patch_size": 4}
    model(config(text_config=text, vision_config=vision)).save_pretrained(tmp_path)
    change(tmp_path, **{"text_model.embeddings.position_ids": torch.zeros(1, 77)})
    assert type(load_whole(tmp_path)) is model
    change(tmp_path, **{"logit_scale": None})
    with pytest.raises(ValueError, match="no logit_scale"):
        load_whole(tmp_path)


@pytest.mark.parametrize("load", [load_config, load_processor, load_whole])
@pytest.mark.parametrize("content", ["[1]", "[" * 100_000])
def test_damaged_configs_name_the_file(saved, load, content):
    SurgCLIPProcessor(SurgCLIPVideoProcessor(), make_tokenizer()).save_pretrained(saved)
    (saved / "config.json").write_text(content)
    (saved / "processor_config.json").write_text(content)
    with pytest.raises(
        ValueError, match=r"model[\\/](processor_)?config\.json is no JSON object; copy or download it"
    ):
        load(saved)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"projection_dim": "256"}, "the config of .*model cannot be read .*expected int, got str .*; copy"),
        ({"vision_config": "x"}, "the config of .*model cannot be read .*'vision_config'.*; copy"),
        ({"text_config": {"model_type": "nope"}}, "the config of .*model cannot be read .*model_type='nope'.*; copy"),
    ],
)
def test_wrong_configs_name_the_model(saved, changes, message):
    config = json.loads((saved / "config.json").read_text()) | changes
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message) as raised:
        load_config(saved)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("tokenizer.json", "{}", "cannot be read"),
        ("tokenizer.json", "<html>", r"tokenizer\.json is no JSON object"),
        ("tokenizer.json", '{"version": "1.0"', r"tokenizer\.json is no JSON object"),
        ("tokenizer_config.json", "[]", r"tokenizer_config\.json is no JSON object"),
        ("tokenizer.json", None, "has no tokenizer"),
    ],
)
@pytest.mark.parametrize("load", [load_tokenizer, load_processor])
def test_damaged_tokenizers_name_the_model(saved, load, name, content, message):
    SurgCLIPProcessor(SurgCLIPVideoProcessor(), make_tokenizer()).save_pretrained(saved)
    (saved / name).unlink() if content is None else (saved / name).write_text(content)
    with pytest.raises(ValueError, match=f"model.*{message}"):
        load(saved)


def test_the_golden_model(released_folder):
    assert load_whole(released_folder).config.vision_config.hidden_size == tiny_config().vision_config.hidden_size
