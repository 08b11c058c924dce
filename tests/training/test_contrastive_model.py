# SPDX-License-Identifier: Apache-2.0
import torch

from surglavi_hf.training.contrastive_model import SIGLIP_BIAS, ContrastiveModel, to_surgclip
from surglavi_hf.training.start import new_tiny_model

CAPTIONS = ["The surgeon clips the cystic duct."]


def test_the_same_embeddings_and_the_way_back():
    model, processor = new_tiny_model(CAPTIONS)
    model.eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = processor(videos=torch.zeros(6, 3, 48, 48, dtype=torch.uint8), text=CAPTIONS)
    expected = model(**inputs)
    prepared = ContrastiveModel(model, learn_bias=True).eval()
    embeds = prepared(**inputs)
    torch.testing.assert_close(embeds.video_embeds, expected.video_embeds, rtol=0, atol=0)
    torch.testing.assert_close(embeds.text_embeds, expected.text_embeds, rtol=0, atol=0)
    assert embeds.temperature.shape == (1,) and embeds.bias.item() == SIGLIP_BIAS
    assert prepared(pixel_values=inputs["pixel_values"]).text_embeds is None
    text = prepared(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    torch.testing.assert_close(text.text_embeds, expected.text_embeds, rtol=0, atol=0)
    assert text.video_embeds is None
    before = torch.get_rng_state()
    back = to_surgclip(model.config, prepared.state_dict())
    assert torch.equal(torch.get_rng_state(), before), "saving took random numbers from the training"
    assert back.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in back.state_dict().items())


def test_no_parameter_is_a_scalar():
    """FSDP cannot shard them."""
    prepared = ContrastiveModel(new_tiny_model(CAPTIONS)[0], learn_bias=True)
    assert all(parameter.ndim for parameter in prepared.parameters())
