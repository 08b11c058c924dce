# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoModel

from surglavi_hf import SurgCLIPConfig, SurgCLIPModel
from surglavi_hf.surgclip import convert_surgclip_checkpoint

from ..conftest import GOLDEN
from .conftest import tiny_config

LAYOUTS = ("released", "per_frame")


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> SurgCLIPModel:
    """The golden checkpoint, converted and loaded by its Auto class."""
    folder = tmp_path_factory.mktemp("released") / "model"
    convert_surgclip_checkpoint(GOLDEN / "surgclip_tiny.pth", folder, tiny_config())
    return AutoModel.from_pretrained(folder)


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "surgclip_tiny.safetensors")


@pytest.mark.parametrize("case", ["native", "more_frames"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_outputs_of_the_released_code(released, golden, case, attention):
    released.set_attn_implementation(attention)
    assert released.vision_encoder.model.blocks[0].attn.config._attn_implementation == attention
    inputs = [golden[f"{case}.{name}"] for name in ("pixel_values", "input_ids", "attention_mask")]
    with torch.no_grad():
        outputs = released(*inputs)
        pooled = released.vision_encoder(inputs[0]).pooler_output
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(outputs.logits_per_video, golden[f"{case}.logits_per_video"], **close)
    torch.testing.assert_close(outputs.logits_per_text, golden[f"{case}.logits_per_video"].T, **close)
    torch.testing.assert_close(pooled, golden[f"{case}.vision_pooled"], **close)
    torch.testing.assert_close(
        outputs.vision_model_output.last_hidden_state, golden[f"{case}.vision_last_hidden_state"], **close
    )
    torch.testing.assert_close(
        outputs.text_model_output.last_hidden_state[:, 0], golden[f"{case}.text_pooled"], **close
    )


def test_logits_are_the_mean_of_cosines_over_the_frame_axis(released, golden):
    inputs = [golden[f"native.{name}"] for name in ("pixel_values", "input_ids", "attention_mask")]
    with torch.no_grad():
        outputs = released(*inputs)
        slots = F.normalize(released.vision_proj(golden["native.vision_pooled"]), dim=-1)
        texts = F.normalize(released.text_proj(golden["native.text_pooled"]), dim=-1)
        expected = torch.einsum("btd,nd->bnt", slots, texts).mean(dim=-1) / released.temp
    torch.testing.assert_close(outputs.logits_per_video, expected, atol=1e-5, rtol=0)
    assert (outputs.video_embeds.norm(dim=-1) < 1).all(), "a mean of unit vectors, not made a unit vector again"
    assert torch.equal(released.get_video_features(inputs[0]).pooler_output, outputs.video_embeds)
    assert torch.equal(released.get_text_features(*inputs[1:]).pooler_output, outputs.text_embeds)


def test_base_size():
    with torch.device("meta"):
        model = SurgCLIPModel(SurgCLIPConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 230_553_345
    assert len(model.state_dict()) == 453


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("reload", [False, True])
def test_every_trainable_parameter_gets_a_gradient(make_model, tmp_path, layout, reload):
    model = make_model(layout=layout)
    if reload:
        model.save_pretrained(tmp_path)
        model = AutoModel.from_pretrained(tmp_path)
    inputs = {"pixel_values": torch.rand(2, 4, 3, 32, 32), "input_ids": torch.tensor([[2, 5, 6], [2, 7, 8]])}
    model(**inputs, return_loss=True).loss.backward()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    expected = {"vision_encoder.model.cls_token", "vision_layernorm.weight", "vision_layernorm.bias"}
    assert frozen == without == (expected if layout == "released" else set())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_initial_weights(make_model, layout):
    model = make_model(layout=layout)
    encoder = model.vision_encoder.model
    assert model.temp.item() == pytest.approx(0.07)
    assert encoder.pos_embed.std().item() == pytest.approx(0.02, rel=0.2)
    zero = not encoder.time_embed.any() and not any(block.temporal_fc.weight.any() for block in encoder.blocks)
    assert zero == (layout == "released")


def test_each_tower_has_its_own_initializer_range():
    config = tiny_config(initializer_range=0.1)
    config.text_config.initializer_range = 0.03
    model = SurgCLIPModel(config)
    block = model.vision_encoder.model.blocks[0]
    for weight in (block.attn.qkv.weight, block.mlp.fc1.weight, model.vision_encoder.model.patch_embed.proj.weight):
        assert weight.std().item() == pytest.approx(0.1, rel=0.1)
    assert model.text_encoder.embeddings.word_embeddings.weight.std().item() == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_save_and_load(make_model, tmp_path, layout):
    model = make_model(layout=layout)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file() and not list(tmp_path.glob("*.bin"))
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is SurgCLIPModel and loaded.config.vision_config.layout == layout
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


def test_loss_is_symmetric_info_nce(make_model):
    outputs = make_model()(torch.rand(3, 4, 3, 32, 32), torch.tensor([[2, 5], [2, 6], [2, 7]]), return_loss=True)
    logits = outputs.logits_per_video
    rows, columns = logits.log_softmax(dim=1).diagonal(), logits.log_softmax(dim=0).diagonal()
    torch.testing.assert_close(outputs.loss, -(rows.mean() + columns.mean()) / 2)


def test_wrong_inputs(make_model):
    model, text = make_model(), torch.tensor([[2, 5]])
    with pytest.raises(ValueError, match=r"pixel_values has shape \(4, 3, 32, 32\), expected \(batch_size"):
        model.get_video_features(torch.rand(4, 3, 32, 32))
    with pytest.raises(ValueError, match="found 2 clips and 1 captions"):
        model(torch.rand(2, 4, 3, 32, 32), text, return_loss=True)
