# SPDX-License-Identifier: Apache-2.0
"""transformers' own contracts for models, of its `ModelTesterMixin`, on the tiny SurgCLIP."""

import copy
import inspect
import os
import random
from collections.abc import Iterable

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch.export import Dim
from transformers import AutoModel, AutoModelForMaskedLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

from surglavi_hf import SurgCLIPModel
from surglavi_hf.surgclip import SurgCLIPVisionModel

from .conftest import LAYOUTS, tiny_config, tiny_inputs

pytestmark = pytest.mark.parametrize("layout", LAYOUTS)


def logits(model: SurgCLIPModel, **kwargs) -> torch.Tensor:
    with torch.no_grad():
        return model(**tiny_inputs(), **kwargs).logits_per_video


def test_save_and_load(make_model, tmp_path, layout):
    model = make_model(layout=layout)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file() and not list(tmp_path.glob("*.bin"))
    loaded, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is SurgCLIPModel and loaded.config.vision_config.layout == layout
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.equal(logits(model), logits(loaded))


@pytest.mark.parametrize("mask", [0o022, 0o007])
def test_weights_can_be_read_by_who_can_read_the_config(make_model, tmp_path, layout, mask):
    before = os.umask(mask)
    try:
        make_model(layout=layout).save_pretrained(tmp_path / "whole")
        make_model(layout=layout).save_pretrained(tmp_path / "shards", max_shard_size="50KB")
    finally:
        os.umask(before)
    files = [*(tmp_path / "whole").iterdir(), *(tmp_path / "shards").iterdir()]
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~mask}


def test_safetensors_only(make_model, tmp_path, layout):
    model = make_model(layout=layout)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"safetensors"):
        AutoModel.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="use_safetensors=False, but SurgCLIPModel loads nothing else"):
        AutoModel.from_pretrained(tmp_path, use_safetensors=False)


def test_the_video_encoder_alone(make_model, tmp_path, layout):
    """Saved by itself, or taken out of a folder of the whole."""
    model, clips = make_model(layout=layout), tiny_inputs()["pixel_values"]
    model.save_pretrained(tmp_path / "whole")
    model.vision_encoder.save_pretrained(tmp_path / "alone")
    with torch.no_grad():
        expected = model.vision_encoder(clips).pooler_output
    for encoder in (
        AutoModel.from_pretrained(tmp_path / "alone"),
        SurgCLIPVisionModel.from_pretrained(tmp_path / "alone"),
        SurgCLIPVisionModel.from_pretrained(tmp_path / "whole"),
    ):
        assert type(encoder) is SurgCLIPVisionModel
        with torch.no_grad():
            assert torch.equal(encoder(clips).pooler_output, expected)


@pytest.fixture
def unset_memory_is_nan():
    """Which it may be, but seldom is in a small test."""
    torch.use_deterministic_algorithms(True)  # with which torch.empty gives NaN
    yield
    torch.use_deterministic_algorithms(False)


def lose(folder, state: dict[str, torch.Tensor], gone: Iterable[str]) -> None:
    """Writes the weights of `folder` without some."""
    gone = set(gone)
    kept = {name: value for name, value in state.items() if name not in gone}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def assert_as_new(found: torch.Tensor, new: torch.Tensor, name: str) -> None:
    """That a weight has the spread of a new one: of so few numbers within 0.4 of it."""
    assert found.isfinite().all(), name
    assert found.std(correction=0).item() == pytest.approx(new.std(correction=0).item(), rel=0.4, abs=1e-6), name
    assert found.mean().item() == pytest.approx(new.mean().item(), abs=0.02), name


@pytest.mark.parametrize("attention_type", ["divided_space_time", "space_only"])
def test_a_missing_weight_is_as_a_new_one(make_model, tmp_path, layout, attention_type, unset_memory_is_nan):
    new = make_model(layout=layout, attention_type=attention_type).state_dict()
    make_model(layout=layout, attention_type=attention_type).save_pretrained(tmp_path)
    of_text = [name for name in new if name.startswith("text_encoder.")][2:]  # which are transformers' own
    for gone in new.keys() - of_text:
        lose(tmp_path, new, [gone])
        loaded, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
        assert info["missing_keys"] == {gone}
        found = loaded.state_dict()
        assert_as_new(found[gone], new[gone], gone)
        assert all(torch.equal(value, found[name]) for name, value in new.items() if name != gone), gone


def test_missing_weights_follow_the_seed(make_model, tmp_path, layout, unset_memory_is_nan):
    make_model(layout=layout).save_pretrained(tmp_path / "whole")
    make_model(layout=layout).vision_encoder.save_pretrained(tmp_path / "alone")
    for folder, model_class in (("whole", SurgCLIPModel), ("whole", SurgCLIPVisionModel), ("alone", AutoModel)):
        state = load_file(tmp_path / folder / "model.safetensors")
        names = sorted(state)
        for seed in range(4):
            lose(tmp_path / folder, state, random.Random(seed).sample(names, len(names) // 2))
            twice = []
            for _ in range(2):
                torch.manual_seed(seed)
                twice.append(model_class.from_pretrained(tmp_path / folder).state_dict())
            assert all(torch.equal(twice[0][name], value) for name, value in twice[1].items())
            lose(tmp_path / folder, state, [])
            for name, value in model_class.from_pretrained(tmp_path / folder).state_dict().items():
                assert_as_new(twice[0][name], value, name)


def test_weights_of_another_size_are_as_new_ones(make_model, tmp_path, layout, unset_memory_is_nan):
    make_model(layout=layout).save_pretrained(tmp_path)
    loaded, info = AutoModel.from_pretrained(
        tmp_path, projection_dim=32, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert {name for name, *_ in info["mismatched_keys"]} >= {"vision_proj.weight", "text_proj.bias"}
    for projection in (loaded.vision_proj, loaded.text_proj):
        assert projection.weight.shape[0] == 32 and not projection.bias.any()
        assert projection.weight.std().item() == pytest.approx(0.02, rel=0.2)


def test_initialisation_follows_the_config(layout):
    """With a standard deviation of nearly zero, every weight that is trained is 0, 1 or the temperature."""
    config = tiny_config(layout=layout, initializer_range=1e-10)
    config.text_config.initializer_range = 1e-10
    for name, parameter in SurgCLIPModel(config).named_parameters():
        mean = round(parameter.mean().item() * 1e9) / 1e9
        assert mean in (0.0, 1.0, 0.07), name


@pytest.mark.parametrize("attention_type", ["divided_space_time", "space_only"])
def test_attention_implementations_agree(make_model, layout, attention_type):
    model = make_model(layout=layout, attention_type=attention_type)
    outputs = {}
    for implementation in ("eager", "sdpa"):
        model.set_attn_implementation(implementation)
        assert model.vision_encoder.config._attn_implementation == implementation
        assert model.text_encoder.config._attn_implementation == implementation
        outputs[implementation] = logits(model)
    torch.testing.assert_close(outputs["eager"], outputs["sdpa"], atol=1e-5, rtol=0)


def test_attention_is_chosen_for_each_encoder_without_a_warning(make_model, tmp_path, layout, caplog):
    make_model(layout=layout).save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path, attn_implementation={"vision_config": "eager", "text_config": "sdpa"})
    assert model.vision_encoder.config._attn_implementation == "eager"
    assert model.text_encoder.config._attn_implementation == "sdpa"
    model.set_attn_implementation("sdpa")
    assert model.vision_encoder.config._attn_implementation == "sdpa" and not caplog.records


def test_any_attention_of_the_interface(make_model, layout):
    """As flash attention comes in: `(batch, heads, tokens, head_dim)`, unmasked in the video encoder, not causal."""
    seen = []

    def attention(module, query, key, value, attention_mask, **kwargs):
        seen.append((tuple(query.shape), attention_mask, module.is_causal, kwargs["scaling"]))
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, attention_mask, **kwargs)

    AttentionInterface.register("counting", attention)
    model = make_model(layout=layout)
    expected = logits(model)
    model.vision_encoder.set_attn_implementation("counting")
    assert torch.equal(logits(model), expected)
    positions = 16 if layout == "released" else 17
    assert (
        seen == [((2 * positions, 4, 4, 12), None, False, 12**-0.5), ((2 * 4, 4, 17, 12), None, False, 12**-0.5)] * 3
    )
    assert model._supports_flash_attn and model.vision_encoder._supports_flash_attn


def test_hidden_states(make_model, layout):
    model = make_model(layout=layout)
    with torch.no_grad():
        outputs = model(**tiny_inputs(), output_hidden_states=True)
        plain = model(**tiny_inputs())
    vision, text = outputs.vision_model_output, outputs.text_model_output
    assert [tuple(each.shape) for each in vision.hidden_states] == [(2, 4, 17, 48)] * 4
    assert [tuple(each.shape) for each in text.hidden_states] == [(2, 6, 40)] * 3
    assert plain.vision_model_output.hidden_states is None and plain.text_model_output.hidden_states is None
    last = model.vision_encoder.model.norm(vision.hidden_states[-1])
    pooled = model.vision_encoder.model.pool(last)[1]
    torch.testing.assert_close(pooled, model.vision_encoder(tiny_inputs()["pixel_values"]).pooler_output)


def test_attentions(make_model, layout):
    model = make_model(layout=layout)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        outputs = model(**tiny_inputs(), output_attentions=True)
        model.config.vision_config.output_attentions = True
        by_config = model.vision_encoder(tiny_inputs()["pixel_values"])
    vision, text = outputs.vision_model_output, outputs.text_model_output
    positions = 16 if layout == "released" else 17
    assert [tuple(each.shape) for each in vision.attentions] == [(2, 4, 4, 17, 17)] * 3
    assert [tuple(each.shape) for each in vision.temporal_attentions] == [(2, positions, 4, 4, 4)] * 3
    assert [tuple(each.shape) for each in text.attentions] == [(2, 4, 6, 6)] * 2
    assert all(torch.allclose(each.sum(-1), torch.ones(())) for each in vision.attentions + vision.temporal_attentions)
    assert len(by_config.attentions) == len(by_config.temporal_attentions) == 3


def test_tuples_hold_what_the_dictionary_holds(make_model, layout):
    model = make_model(layout=layout)
    with torch.no_grad():
        outputs = model(**tiny_inputs(), return_loss=True)
        values = model(**tiny_inputs(), return_loss=True, return_dict=False)
        features = model.get_video_features(tiny_inputs()["pixel_values"], return_dict=False)
    assert isinstance(values, tuple) and len(values) == len(outputs) == 7
    assert all(torch.equal(one, two) for one, two in zip(values[:5], list(outputs.values())[:5], strict=True))
    assert isinstance(values[5], tuple) and torch.equal(features[1], outputs.video_embeds)


def test_the_config_of_the_whole_asks_for_outputs(make_model, tmp_path, layout):
    make_model(layout=layout).save_pretrained(tmp_path)
    options = {"output_hidden_states": True, "output_attentions": True, "attn_implementation": "eager"}
    model = AutoModel.from_pretrained(tmp_path, **options)
    with torch.no_grad():
        vision, text = model(**tiny_inputs()).vision_model_output, model(**tiny_inputs()).text_model_output
        chosen = model(**tiny_inputs(), output_hidden_states=[0, -1]).vision_model_output
    assert len(vision.hidden_states) == 4 and len(vision.attentions) == len(vision.temporal_attentions) == 3
    assert len(text.hidden_states) == 3 and len(text.attentions) == 2
    assert [each is None for each in chosen.hidden_states] == [False, True, True, False]
    model.config.return_dict = False
    with torch.no_grad():
        assert isinstance(model(**tiny_inputs()), tuple)
        assert isinstance(model.get_text_features(tiny_inputs()["input_ids"]), tuple)


def test_signature(make_model, layout):
    names = list(inspect.signature(make_model(layout=layout).forward).parameters)
    assert names[:3] == ["pixel_values", "input_ids", "attention_mask"]


def test_unknown_inputs_are_refused(make_model, layout):
    """A misspelt input would be missing without a word; `labels` would have no influence."""
    model, inputs = make_model(layout=layout), tiny_inputs()
    clips, captions = inputs.pop("pixel_values"), inputs
    for call, arguments in (
        (model, {"pixel_values": clips, **captions}),
        (model.vision_encoder, {"pixel_values": clips}),
        (model.get_video_features, {"pixel_values": clips}),
        (model.get_text_features, captions),
    ):
        for unknown in ("pixel_value", "labels", "return_los", "is_causal"):
            with pytest.raises(TypeError, match=f"unexpected keyword argument '{unknown}'"):
                call(**arguments, **{unknown: clips})
        call(**arguments, output_hidden_states=True, output_attentions=False, return_dict=False)


@pytest.mark.parametrize("attention_type", ["divided_space_time", "space_only"])
def test_exported_for_any_number_of_clips_frames_and_tokens(make_model, layout, attention_type):
    model, inputs = make_model(layout=layout, attention_type=attention_type), tiny_inputs(3)
    inputs["pixel_values"] = torch.rand(3, 6, 3, 32, 32)
    texts = {0: Dim("texts"), 1: Dim("tokens", max=64)}
    sizes = {"pixel_values": {0: Dim("clips"), 1: Dim("frames")}, "input_ids": texts, "attention_mask": texts}
    exported = torch.export.export(model, (), inputs, dynamic_shapes=sizes).module()
    for num_clips, num_frames, num_texts in ((1, 1, 5), (5, 4, 1), (2, 7, 2)):
        inputs = tiny_inputs(num_texts)
        inputs = {name: torch.cat([value, value], dim=1) for name, value in inputs.items() if name != "pixel_values"}
        inputs["pixel_values"] = torch.rand(num_clips, num_frames, 3, 32, 32)
        with torch.no_grad():
            found, expected = exported(**inputs).logits_per_video, model(**inputs).logits_per_video
        assert found.shape == (num_clips, num_texts)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_batch_is_its_rows(make_model, layout):
    model, inputs = make_model(layout=layout), tiny_inputs(3)
    with torch.no_grad():
        whole = model(**inputs).logits_per_video
        for row in range(3):
            alone = model(inputs["pixel_values"][row : row + 1], inputs["input_ids"], inputs["attention_mask"])
            torch.testing.assert_close(alone.logits_per_video[0], whole[row], atol=1e-5, rtol=0)


def test_padding_changes_nothing(make_model, layout):
    model, inputs = make_model(layout=layout), tiny_inputs()
    padding = torch.zeros(2, 9, dtype=torch.int64)
    with torch.no_grad():
        short = model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output
        ids, mask = (torch.cat([inputs[name], padding], dim=1) for name in ("input_ids", "attention_mask"))
        padded = model.get_text_features(ids, mask).pooler_output
    torch.testing.assert_close(short, padded, atol=1e-5, rtol=0)


def test_token_type_ids_of_tokenizers_that_make_them(make_model, layout):
    model = make_model(layout=layout)
    zeros = torch.zeros_like(tiny_inputs()["input_ids"])
    assert torch.equal(logits(model), logits(model, token_type_ids=zeros))
    assert not torch.equal(logits(model), logits(model, token_type_ids=zeros + 1))


def test_resize_token_embeddings(make_model, tmp_path, layout):
    model = make_model(layout=layout)
    expected = logits(model)
    model.resize_token_embeddings(131)
    assert model.config.text_config.vocab_size == model.get_input_embeddings().num_embeddings == 131
    assert torch.equal(logits(model), expected)
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(AutoModel.from_pretrained(tmp_path)), expected)


def test_gradient_checkpointing_changes_no_gradient(make_model, layout):
    model = make_model(layout=layout).train()
    gradients = []
    for _ in range(2):
        torch.manual_seed(0)  # of the text encoder's dropout
        model.zero_grad()
        model(**tiny_inputs(), return_loss=True).loss.backward()
        gradients.append({name: each.grad.clone() for name, each in model.named_parameters() if each.requires_grad})
        model.activation_checkpointing_enable()
        assert all(block.gradient_checkpointing for block in model.vision_encoder.model.blocks)
        assert all(layer.gradient_checkpointing for layer in model.text_encoder.encoder.layer)
    assert all(torch.allclose(gradients[0][name], gradients[1][name], atol=1e-6) for name in gradients[0])


@pytest.mark.parametrize("checkpointing", [False, True])
def test_compiles_without_graph_breaks(make_model, layout, checkpointing):
    model, inputs = make_model(layout=layout), tiny_inputs()
    if checkpointing:
        model.config.text_config.attention_probs_dropout_prob = model.config.text_config.hidden_dropout_prob = 0.0
        model = SurgCLIPModel(model.config).train()
        model.activation_checkpointing_enable()
    torch._dynamo.reset()
    inputs |= {"return_loss": True}
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    expected, found = model(**inputs)[0], compiled(**inputs)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    found.backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(make_model, tmp_path, layout, dtype):
    model = make_model(layout=layout)
    model.save_pretrained(tmp_path)
    half = AutoModel.from_pretrained(tmp_path, dtype=dtype)
    assert {each.dtype for each in half.parameters()} == {dtype}
    found = logits(half)  # of float32 clips
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), logits(model), atol=0.2, rtol=0)  # logits of 14 at most
    half(**tiny_inputs(), return_loss=True).loss.backward()
    with torch.autocast("cpu", dtype=dtype):
        mixed = logits(model)
    torch.testing.assert_close(mixed.float(), logits(model), atol=0.2, rtol=0)


def test_offloading(make_model, tmp_path, layout):
    """`device_map="auto"` puts what does not fit in memory on disk."""
    model = make_model(layout=layout)
    model.save_pretrained(tmp_path / "model")
    loaded = AutoModel.from_pretrained(
        tmp_path / "model", device_map="auto", max_memory={"cpu": 150_000}, offload_folder=tmp_path / "offload"
    )
    assert "disk" in loaded.hf_device_map.values()
    assert torch.equal(logits(loaded), logits(model))
    assert torch.equal(logits(AutoModel.from_pretrained(tmp_path / "model", device_map="auto")), logits(model))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora(make_model, tmp_path, layout, checkpointing):
    base = make_model(layout=layout)
    frozen = copy.deepcopy(base.state_dict())
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["qkv", "query", "value"], init_lora_weights=False))
    if checkpointing:
        base.activation_checkpointing_enable()
        base.enable_input_require_grads()
    model.train()
    model(**tiny_inputs(), return_loss=True).loss.backward()
    trained = {name for name, each in model.named_parameters() if each.grad is not None}
    assert trained == {name for name, each in model.named_parameters() if "lora_" in name}
    assert any("temporal_attn" in name for name in trained) and any("text_encoder" in name for name in trained)
    model.eval()
    expected = logits(model)
    merged = model.merge_and_unload()
    torch.testing.assert_close(logits(merged), expected, atol=1e-4, rtol=0)
    assert merged.state_dict().keys() == frozen.keys()


def test_it_is_no_masked_language_model(make_model, tmp_path, layout):
    make_model(layout=layout).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="SurgCLIPConfig"):
        AutoModelForMaskedLM.from_pretrained(tmp_path)
