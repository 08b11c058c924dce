# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor

from surglavi_hf.evaluation import Windows, load_encoder
from surglavi_hf.models import SurgLIMEConfig, SurgLIMEModel, convert_checkpoint
from surglavi_hf.surgclip import load_whole

from ..conftest import client_environment
from .conftest import make_tokenizer
from .released import GOLDEN, SURGLIME, TEXTS, WINDOWS, pictures, seen, with_bases
from .test_surgvlp import difference


@pytest.fixture(scope="module")
def state():
    return SURGLIME.state()


@pytest.fixture(scope="module")
def folder(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("surglime")
    torch.save(with_bases(state), path / "x.pth")
    return convert_checkpoint(path / "x.pth", path / "surglime", make_tokenizer())


@pytest.fixture(scope="module")
def loaded(folder):
    return load_whole(folder).eval(), AutoProcessor.from_pretrained(folder)


def test_outputs_equal_the_authors(loaded):
    model, processor = loaded
    clips = [[Image.fromarray(pictures()[place]) for place in window] for window in WINDOWS]
    pixel_values = processor(videos=clips)["pixel_values"]
    assert pixel_values.shape == (2, 8, 3, 224, 224)
    with torch.no_grad():
        output = model(**TEXTS, pixel_values=pixel_values)
    expected = load_file(GOLDEN / "surglime.safetensors")
    assert difference(seen(pixel_values[0, 2:4]), expected["pixels"]) < 1e-6
    assert difference(output.video_embeds, expected["video_embeds"]) < 1e-5
    assert difference(output.text_embeds, expected["text_embeds"]) < 1e-5
    logits = expected["scale"] * expected["video_embeds"] @ expected["text_embeds"].T
    assert difference(output.logits_per_video, logits) < 1e-5
    assert torch.equal(output.logits_per_text, output.logits_per_video.T)
    assert difference(expected["video_embeds"][0], expected["video_embeds"][1]) > 1e-3


def test_frames_are_embedded_once_for_all_clips(loaded):
    model, processor = loaded
    pixel_values = processor.image_processor(list(pictures()), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        frames = model.get_frame_features(pixel_values)
        whole = model.get_video_features(pixel_values[WINDOWS])
        assert torch.allclose(model.pool_frames(frames[WINDOWS]), whole.pooler_output, atol=1e-5)
    assert torch.allclose(frames[WINDOWS], whole.last_hidden_state, atol=1e-5) and frames.shape == (2, 768)
    with pytest.raises(ValueError, match=r"pixel_values has shape \(2, 3, 224, 224\), expected .*num_frames, 3"):
        model.get_video_features(pixel_values)


def test_texts(loaded):
    model, processor = loaded
    inputs = processor(text=["clip the duct", "cut"])
    assert inputs["input_ids"].shape == (2, 5) and processor(text="cut " * 100)["input_ids"].shape == (1, 77)
    with torch.no_grad():
        both = model.get_text_features(**inputs).pooler_output
        alone = model.get_text_features(**processor(text="cut")).pooler_output
    assert both.shape == (2, 256) and torch.allclose(both[1], alone[0], atol=1e-5), "padding changes nothing"


def test_clips(loaded):
    processor, array = loaded[1], np.stack([pictures()[0]] * 3)
    expected = processor(videos=[list(map(Image.fromarray, array))])["pixel_values"]
    for clip in (array, torch.from_numpy(array), torch.from_numpy(array).permute(0, 3, 1, 2), list(array)):
        assert torch.equal(processor(videos=[clip])["pixel_values"], expected)
    both = processor(videos=[array, array], text="cut", return_tensors="np")
    assert isinstance(both["pixel_values"], np.ndarray) and isinstance(both["input_ids"], np.ndarray)
    assert set(both) == {"pixel_values", "input_ids", "attention_mask", "token_type_ids"}
    for arguments, message in (
        ({}, "neither videos nor text"),
        ({"videos": []}, r"clips of \[\] frames, expected"),
        ({"videos": [array, array[:2]]}, r"clips of \[3, 2\] frames, expected clips of equally many"),
        ({"text": ["a", 3]}, "text has 3, expected"),
    ):
        with pytest.raises(ValueError, match=message):
            processor(**arguments)
    with pytest.raises(ValueError, match="neither input_ids nor pixel_values"):
        loaded[0]()


def test_saved_again_it_is_the_same(loaded, tmp_path):
    """By the names of older versions, too, by which transformers saves a ViT."""
    model, processor = loaded
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = load_whole(tmp_path)
    assert isinstance(again, SurgLIMEModel)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert AutoProcessor.from_pretrained(tmp_path).tokenizer.model_max_length == 77


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda state: without(state, "lora_B"), "no whole SurgLIME: no blocks.0.attn.qkv.lora_B.default.weight"),
        (lambda state: without(state, "query.base_layer.weight"), r"no text_model.*0\.attention\.self\.query\.weight"),
        (lambda state: without(state, "temporal_pool.attention.0.bias"), "no temporal_attention.0.bias"),
        (lambda state: without(state, "temporal_pool"), "no temporal_attention.0.weight"),
        (lambda state: without(state, "vision_encoder"), "no whole SurgLIME: no patch_embed.proj.weight"),
        (lambda state: without(state, "logit_scale"), "no logit_scale"),
        (lambda state: state | {"head.weight": torch.ones(2)}, r"unknown 'head.weight'.*\(as SurgLIME\)"),
        (
            lambda state: state | {"text_encoder.base_model.model.x.lora_A.default.weight": torch.ones(2)},
            "unknown 'text_model.x.lora_A.default.weight'",
        ),
    ],
    ids=range(8),
)
def test_what_is_not_whole(state, tmp_path, change, message):
    torch.save(change(state), tmp_path / "x.pth")
    with pytest.raises(ValueError, match=message) as caught:
        convert_checkpoint(tmp_path / "x.pth", tmp_path / "out", make_tokenizer())
    assert "\n" not in str(caught.value) and "x.pth" in str(caught.value)


def without(state, part):
    return {name: tensor for name, tensor in state.items() if part not in name}


def test_without_surglavi_hf(folder, tmp_path):
    """The folder carries the model's code."""
    program = (
        "import sys; from transformers import AutoModel, AutoProcessor\n"
        f"model, info = AutoModel.from_pretrained({str(folder)!r}, trust_remote_code=True, output_loading_info=True)\n"
        f"processor = AutoProcessor.from_pretrained({str(folder)!r}, trust_remote_code=True)\n"
        "print(type(model).__name__, type(processor).__name__)\n"
        "print(len(info['missing_keys']), 'surglavi_hf' in sys.modules)"
    )
    environment = client_environment("http://127.0.0.1:9", tmp_path) | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.stdout.split() == ["SurgLIMEModel", "SurgLIMEProcessor", "0", "False"], done.stderr


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_frames": 0}, "num_frames=0, expected a whole number >= 1"),
        ({"max_text_length": 600}, "max_text_length=600, but text_config has 512"),
    ],
)
def test_settings_that_are_none(settings, message):
    with pytest.raises(Exception, match=message):
        SurgLIMEConfig(**settings)


def test_new_and_of_released_sizes():
    with torch.device("meta"):
        model = AutoModel.from_config(SurgLIMEConfig())
    assert model.visual_projection[3].weight.shape == (256, 768) and model.config.text_config.vocab_size == 30522
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = SurgLIMEModel(SurgLIMEConfig(vision_config=small, text_config=small))
    assert float(model.logit_scale) == pytest.approx(2.6592)


def test_evaluated_as_its_authors_do(folder):
    """Frames from three before to four after, the frame itself where the video ends, and the model's own score."""
    encoder = load_encoder(folder)
    windows = Windows().shown(encoder, [0, 5, 9], 10)
    assert windows.tolist() == [[0, 0, 0, 0, 1, 2, 3, 4], [2, 3, 4, 5, 6, 7, 8, 9], [6, 7, 8, 9, 9, 9, 9, 9]]
    said = Windows().protocol_of(encoder)
    assert said["window"] == "from -3 to 4 of the frame, as its authors" and said["window_num_frames"] == 8
    other = Windows(num_frames=4)
    assert (
        other.shown(encoder, [5], 10).tolist() == [[3, 4, 5, 6]] and other.protocol_of(encoder)["window"] == "centered"
    )
    frames = torch.randint(0, 256, (10, 3, 48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    texts = ["cut the duct", "clips"]
    with encoder.evaluating():
        embeds = encoder.embed_windows(encoder.encode_frames(encoder.preprocess(frames)), torch.from_numpy(windows))
        found = encoder.score(embeds, encoder.embed_texts(texts))
        inputs = encoder.processor(videos=[frames[window].numpy() for window in windows], text=texts)
        expected = encoder.model(**inputs).logits_per_video / encoder.logit_scale
    assert torch.allclose(found, expected, atol=1e-5)
    assert embeds["raw"].shape == (3, encoder.model.config.vision_config.hidden_size)
    assert encoder.text_protocol(texts)["text_max_tokens"] == 77
