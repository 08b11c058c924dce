# SPDX-License-Identifier: Apache-2.0
import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoModel, AutoProcessor, AutoTokenizer

from surglavi_hf.cli import main
from surglavi_hf.evaluation import load_encoder
from surglavi_hf.models import SurgVLPConfig, SurgVLPModel

from ..conftest import SHARED, client_environment
from .conftest import make_tokenizer

TOOL, EXPECTED = SHARED / "tools" / "make_surgvlp_state.py", SHARED / "golden" / "surgvlp_expected_7.safetensors"


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest, relative to the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="module")
def loaded(surgvlp_folder):
    return AutoModel.from_pretrained(surgvlp_folder).eval(), AutoProcessor.from_pretrained(surgvlp_folder)


@pytest.mark.skipif(not EXPECTED.is_file(), reason="what the official code gives lies outside the project")
def test_outputs_equal_the_official_ones(tmp_path):
    specification = importlib.util.spec_from_file_location("tool", TOOL)
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    torch.save(tool.state_dict(7), tmp_path / "x.pth")
    make_tokenizer(3000).save_pretrained(tmp_path / "tokenizer")
    folder = tmp_path / "out"
    assert main(["convert", str(tmp_path / "x.pth"), str(folder), "--tokenizer", str(tmp_path / "tokenizer")]) == 0
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    pictures = [Image.fromarray(picture) for picture in tool.images(7).numpy()]
    pixel_values = processor(images=pictures, return_tensors="pt")["pixel_values"]
    input_ids, attention_mask = tool.token_ids(7)
    with torch.no_grad():
        image = model.get_image_features(pixel_values=pixel_values).pooler_output
        text = model.get_text_features(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        both = model(input_ids=input_ids, pixel_values=pixel_values, attention_mask=attention_mask)
    expected = load_file(EXPECTED)
    assert difference(image, expected["image_embeds"]) < 1e-5
    assert difference(text, expected["text_embeds"]) < 1e-5
    assert difference(F.normalize(image) @ F.normalize(text).T, expected["cosine"]) < 1e-5
    assert difference(both.logits_per_image, 100 * expected["cosine"]) < 1e-5


def reference_image(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """torchvision's ResNet with bottlenecks, and the linear layer."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts, eps=1e-5)

    name = "backbone_img.model"
    x = F.relu(norm(F.conv2d(x, state[f"{name}.conv1.weight"], stride=2, padding=3), f"{name}.bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for block in ("layer1.0", "layer1.1", "layer2.0"):
        at = f"{name}.{block}"
        stride = 2 if block == "layer2.0" else 1
        y = F.relu(norm(F.conv2d(x, state[f"{at}.conv1.weight"]), f"{at}.bn1"))
        y = F.relu(norm(F.conv2d(y, state[f"{at}.conv2.weight"], stride=stride, padding=1), f"{at}.bn2"))
        y = norm(F.conv2d(y, state[f"{at}.conv3.weight"]), f"{at}.bn3")
        if f"{at}.downsample.0.weight" in state:
            x = norm(F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride), f"{at}.downsample.1")
        x = F.relu(x + y)
    head = "backbone_img.global_embedder"
    return F.linear(x.mean(dim=(2, 3)), state[f"{head}.weight"], state[f"{head}.bias"])


def test_images_as_torchvisions_resnet(surgvlp_state, loaded):
    pixel_values = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = loaded[0].get_image_features(pixel_values)
    assert difference(outputs.pooler_output, reference_image(surgvlp_state, pixel_values)) < 1e-5
    assert loaded[0].vision_model(pixel_values).pooler_output.shape == (2, 64)


def test_texts_are_the_mean_over_words_and_padding_of_the_last_layers(loaded):
    """As the released code has it: word pieces summed to words, zeros for padded ones, mean over 77, layers summed."""
    model, processor = loaded
    inputs = processor(text=["clips the ducts", "cut"], return_tensors="pt")
    assert inputs["input_ids"].shape == (2, 77)
    with torch.no_grad():
        found = model.get_text_features(**inputs).pooler_output
        layers = model.text_model(**inputs, output_hidden_states=True).hidden_states[-4:]
    for row, ids in enumerate(inputs["input_ids"].tolist()):
        pieces = processor.tokenizer.convert_ids_to_tokens(ids)
        words = []
        for place, piece in enumerate(pieces[: pieces.index("[SEP]") + 1]):
            of_piece = torch.stack([layer[row, place] for layer in layers])
            if piece.startswith("##"):
                words[-1] = words[-1] + of_piece
            else:
                words.append(of_piece)
        expected = (torch.stack(words).sum(dim=0) / 77).sum(dim=0)
        assert difference(found[row], expected) < 1e-5


def test_padding_changes_nothing(loaded):
    model, processor = loaded
    with torch.no_grad():
        padded = model.get_text_features(**processor(text="cut the duct")).pooler_output
        short = model.get_text_features(**processor(text="cut the duct", padding=False)).pooler_output
        alone = model.get_text_features(processor(text="cut the duct", padding=False)["input_ids"]).pooler_output
    assert difference(short, padded) < 1e-6 and torch.equal(alone, short)


def test_texts_that_are_too_long(loaded):
    model, processor = loaded
    assert processor(text="cut " * 100)["input_ids"].shape == (1, 77)
    with pytest.raises(ValueError, match="texts of 80 tokens, expected at most 77"):
        model.get_text_features(torch.zeros(1, 80, dtype=torch.long))


def test_frames_are_resized_by_pillow_and_cropped(loaded):
    frame = np.random.default_rng(0).integers(0, 256, (480, 854, 3), np.uint8)
    resized = Image.fromarray(frame).resize((640, 360), Image.Resampling.BILINEAR)
    middle = torch.from_numpy(np.asarray(resized)[68:292, 208:432].copy()).permute(2, 0, 1) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (middle - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    for given in (Image.fromarray(frame), frame, torch.from_numpy(frame).permute(2, 0, 1)):
        found = loaded[1](images=given)["pixel_values"]
        assert found.shape == (1, 3, 224, 224) and found.dtype == torch.float32
        assert torch.allclose(found[0], expected, atol=1e-6)


def test_forward(loaded):
    model, processor = loaded
    frames = [Image.new("RGB", (320, 240), colour) for colour in ("red", "white", "black")]
    inputs = processor(images=frames, text=["cut", "clip"])
    assert set(inputs) == {"pixel_values", "input_ids", "attention_mask", "token_type_ids"}
    with torch.no_grad():
        output = model(**inputs)
    assert output.logits_per_image.shape == (3, 2) and torch.equal(output.logits_per_text, output.logits_per_image.T)
    assert torch.allclose(output.image_embeds.norm(dim=1), torch.ones(3))
    assert torch.allclose(output.logits_per_image, 100 * output.image_embeds @ output.text_embeds.T, atol=1e-5)
    assert float(model.logit_scale.exp()) == pytest.approx(100)
    with pytest.raises(ValueError, match="neither input_ids nor pixel_values"):
        model()
    with pytest.raises(ValueError, match="neither images nor text"):
        processor()
    with pytest.raises(ValueError, match="text has 3, expected"):
        processor(text=["a", 3])


def test_saved_again_it_is_the_same(loaded, tmp_path):
    model, processor = loaded
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert AutoTokenizer.from_pretrained(tmp_path).model_max_length == 77
    assert AutoProcessor.from_pretrained(tmp_path).image_processor.to_dict() == processor.image_processor.to_dict()


def test_without_surglavi_hf(surgvlp_folder, tmp_path):
    """The folder carries the model's code."""
    program = (
        "import sys; from transformers import AutoModel, AutoProcessor\n"
        f"model = AutoModel.from_pretrained({str(surgvlp_folder)!r}, trust_remote_code=True)\n"
        f"processor = AutoProcessor.from_pretrained({str(surgvlp_folder)!r}, trust_remote_code=True)\n"
        "print(type(model).__name__, type(processor.image_processor).__name__, 'surglavi_hf' in sys.modules)"
    )
    environment = client_environment("http://127.0.0.1:9", tmp_path) | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.stdout.split() == ["SurgVLPModel", "PillowImageProcessor", "False"], done.stderr


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_text_layers": 0}, "num_text_layers=0, expected a whole number >= 1"),
        ({"num_text_layers": 14}, "num_text_layers=14, but text_config has 13"),
        ({"max_text_length": 600}, "max_text_length=600, but text_config has 512"),
        ({"logit_scale": 0}, "logit_scale=0, expected a finite number > 0"),
    ],
)
def test_settings_that_are_none(settings, message):
    with pytest.raises(Exception, match=message):
        SurgVLPConfig(**settings)


def test_released_sizes():
    with torch.device("meta"):
        model = SurgVLPModel(SurgVLPConfig())
    assert list(model.config.vision_config.depths) == [3, 4, 6, 3] and model.config.projection_dim == 768
    assert model.visual_projection.weight.shape == (768, 2048)


def test_evaluated_as_its_authors_do(surgvlp_folder):
    """One frame, not a window of them; texts filled up to 77 tokens; cosine similarity times 100."""
    encoder = load_encoder(surgvlp_folder)
    assert encoder.num_frames == 1 and encoder.logit_scale == pytest.approx(100)
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 480, 854), np.uint8))
    texts = ["cut the duct", "clips"]
    with encoder.evaluating():
        windows = encoder.embed_windows(encoder.encode_frames(encoder.preprocess(frames)), torch.tensor([[0], [1]]))
        found = encoder.score(windows, encoder.embed_texts(texts))
        pictures = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames]
        expected = encoder.model(**encoder.processor(images=pictures, text=texts))
    assert torch.allclose(100 * found, expected.logits_per_image, atol=1e-4)
    assert windows["raw"].shape == (2, 64), "the ResNet's pooled features"
    assert encoder.text_protocol(texts)["text_padding"] == "to the most tokens"
