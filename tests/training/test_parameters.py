# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from transformers import AutoConfig

from surglavi_hf import SurgCLIPModel
from surglavi_hf.surgclip.pretrained_encoders import BERT_FAMILY, make_text_encoder
from surglavi_hf.training.contrastive_model import ContrastiveModel, to_surgclip
from surglavi_hf.training.parameters import add_adapters, freeze_layers, make_optimizer
from surglavi_hf.training.start import new_tiny_model

from ..surgclip.conftest import LAYOUTS, tiny_config

CAPTIONS = ["The surgeon clips the cystic duct."]


def trained(model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_layers_are_frozen_from_below():
    model, _ = new_tiny_model(CAPTIONS)
    everything = trained(model)
    freeze_layers(model, 0, 0)
    assert trained(model) == everything
    freeze_layers(model, 2, 1)
    frozen = everything - trained(model)
    below = ("patch_embed", "cls_token", "pos_embed", "time_embed", "blocks.0.", "blocks.1.")
    for name in everything:
        is_below = name.startswith(tuple(f"vision_encoder.model.{part}" for part in below)) or name.startswith(
            ("text_encoder.embeddings", "text_encoder.encoder.layer.0.")
        )
        assert (name in frozen) == is_below, name
    with pytest.raises(ValueError, match="freeze_text_layers=3, expected at most the 2 layers there are"):
        freeze_layers(model, 0, 3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_model_without_attention_over_time_has_no_times_to_freeze(layout):
    model = SurgCLIPModel(tiny_config(layout=layout, attention_type="space_only"))
    everything = trained(model)
    freeze_layers(model, 1, 0)
    frozen = {name.removeprefix("vision_encoder.model.") for name in everything - trained(model)}
    below = {"patch_embed", "pos_embed", "blocks", "cls_token"}
    assert {name.split(".")[0] for name in frozen} == below
    assert all(name.startswith("blocks.0.") for name in frozen if name.startswith("blocks"))


@pytest.mark.parametrize("kind", sorted({*BERT_FAMILY} - {"modernbert"}))  # whose padding needs its vocabulary
def test_layers_of_any_text_encoder_are_frozen_with_the_embeddings(kind):
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    model = SurgCLIPModel(tiny_config())
    model.text_encoder = make_text_encoder(AutoConfig.for_model(kind, **sizes, vocab_size=120, embedding_size=48))
    before = trained(model)
    freeze_layers(model, 0, 1)
    frozen = {name.removeprefix("text_encoder.") for name in before - trained(model)}
    assert any(name.startswith("embeddings.") for name in frozen)
    first = {name for name in frozen if not name.startswith("embeddings.")}
    assert first and all(name.split(".")[2] == "0" for name in first), "the first of the layers, and it alone"


def test_adapters_are_trained_instead_of_the_encoders_and_merged():
    model, processor = new_tiny_model(CAPTIONS)
    inputs = processor(videos=torch.zeros(6, 3, 48, 48, dtype=torch.uint8), text=CAPTIONS)
    before = model.eval()(**inputs).logits_per_video
    config, names = model.config, set(model.state_dict())
    add_adapters(model, rank=4, alpha=8)
    prepared = ContrastiveModel(model)
    changed = trained(prepared)
    assert {name for name in changed if "lora_" not in name} == {
        *("model.temp", "model.vision_proj.weight", "model.vision_proj.bias"),
        *("model.text_proj.weight", "model.text_proj.bias"),
    }
    assert any("vision_encoder" in name for name in changed) and any("text_encoder" in name for name in changed)
    torch.testing.assert_close(model(**inputs).logits_per_video, before)
    optimizer = make_optimizer(prepared, 0.1, 0.0)
    for _ in range(2):
        embeds = prepared(**inputs)
        (embeds.video_embeds @ embeds.text_embeds.T / embeds.temperature).sum().backward()
        optimizer.step()
    expected = model(**inputs).logits_per_video
    merged = to_surgclip(config, prepared.state_dict(), lora_rank=4, lora_alpha=8)
    assert set(merged.state_dict()) == names
    torch.testing.assert_close(merged.eval()(**inputs).logits_per_video, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(expected, before, atol=1e-2)


def test_biases_and_norms_do_not_decay():
    model, _ = new_tiny_model(CAPTIONS)
    decayed, others = make_optimizer(ContrastiveModel(model), 0.1, 0.3).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert all(parameter.ndim <= 1 for parameter in others["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(trained(model))
