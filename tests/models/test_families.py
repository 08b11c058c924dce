# SPDX-License-Identifier: Apache-2.0
"""Every model of one file and no code of ours: small checkpoints, converted, give what the authors' code gave."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel, AutoProcessor

from surglavi_hf.evaluation import load_encoder
from surglavi_hf.evaluation.encoders import encoder_of
from surglavi_hf.models import BilinearImageProcessor, PillowImageProcessor, convert_checkpoint
from surglavi_hf.surgclip import load_whole

from .released import GOLDEN, RELEASED, WINDOWS, pictures, seen
from .test_surgvlp import difference


@pytest.fixture(params=RELEASED)
def name(request):
    return request.param


@pytest.fixture
def convert(name, tmp_path):
    """Saves what it is given as a checkpoint, by default that of the family, and converts it."""

    def convert(content=None, output="out"):
        path = tmp_path / "x.pth"
        torch.save(RELEASED[name].wrap(RELEASED[name].state()) if content is None else content, path)
        return convert_checkpoint(path, tmp_path / output)

    return convert


def test_outputs_equal_the_authors(name, convert):
    folder = convert()
    model, processor = load_whole(folder).eval(), AutoImageProcessor.from_pretrained(folder)
    assert isinstance(processor, PillowImageProcessor | BilinearImageProcessor)
    pixel_values = processor(images=list(pictures()), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        seen_by_model = pixel_values[WINDOWS] if RELEASED[name].sees_clips else pixel_values
        features = RELEASED[name].features(model(seen_by_model))
    expected = load_file(GOLDEN / f"{name}.safetensors")
    assert difference(seen(pixel_values), expected["pixels"]) < 1e-6
    assert features.shape == expected["features"].shape
    assert difference(features, expected["features"]) < 1e-5
    assert difference(features[0], features[1]) > 1e-2, "pictures are told apart"


def test_saved_again_it_is_the_same(convert, tmp_path):
    folder = convert()
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    model.save_pretrained(tmp_path / "again")
    processor.save_pretrained(tmp_path / "again")
    again = load_whole(tmp_path / "again").state_dict()
    assert all(torch.equal(value, again[key]) for key, value in model.state_dict().items())
    assert AutoProcessor.from_pretrained(tmp_path / "again").to_dict() == processor.to_dict()


def test_evaluated_with_as_many_frames_as_its_authors_show(name, convert, tmp_path):
    encoder = load_encoder(convert())
    assert encoder.num_frames == (8 if RELEASED[name].sees_clips else 1)
    encoder.model.save_pretrained(tmp_path / "again")
    encoder.processor.save_pretrained(tmp_path / "again")
    assert load_encoder(tmp_path / "again").num_frames == encoder.num_frames


@pytest.mark.parametrize("name", ["surgenet_caformer", "surgenet_convnextv2", "surgenet_pvtv2"])
def test_the_teacher_alone(name, convert):
    """With or without what DINO puts before names."""
    state = RELEASED[name].state()
    expected = load_whole(convert(None, "all")).state_dict()
    for number, prefix in enumerate(("", "backbone.", "module.backbone.")):
        found = load_whole(convert({f"{prefix}{key}": tensor for key, tensor in state.items()}, f"out{number}"))
        assert all(torch.equal(tensor, expected[key]) for key, tensor in found.state_dict().items())
    first = next(iter(state))
    refused(convert, state | {f"backbone.{first}": state[first]}, f"'{first}' is there twice")


@pytest.mark.parametrize("name", ["plstitch"])
def test_other_forms_that_the_authors_read(name, convert):
    """The teacher's weights, or those of both, under `model`; with and without `backbone.`"""
    state = RELEASED[name].state()
    teacher = {f"teacher.backbone.{key}": tensor for key, tensor in state.items()}
    student = {f"student.backbone.{key}": 2 * tensor for key, tensor in state.items()}
    for number, content in enumerate(({"model": student | teacher, "epoch": 3}, {"teacher": state})):
        found = load_whole(convert(content, f"out{number}"))
        assert torch.equal(found.embeddings.cls_token, state["cls_token"])


def refused(convert, content, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        convert(content)
    assert "\n" not in str(caught.value) and "x.pth" in str(caught.value)


def test_what_is_not_whole(name, convert):
    family, state = RELEASED[name].family, RELEASED[name].state()
    for key in list(state)[:: max(1, len(state) // 6)]:
        content = RELEASED[name].wrap({each: tensor for each, tensor in state.items() if each != key})
        refused(convert, content, rf"(is no whole {family}: no |(no|unknown) \S+; .*\(as {family}\))")
        for other in (torch.ones(()), torch.ones(3), torch.ones(3, 5)):
            content = RELEASED[name].wrap(state | {key: other})
            refused(convert, content, rf"no whole {family}: |instead of .*as {family}")
    refused(convert, RELEASED[name].wrap(state | {"more": torch.ones(2)}), rf"unknown '.*more'; .* \(as {family}\)")


@pytest.mark.parametrize("name", [name for name, each in RELEASED.items() if "teacher" in each.wrap(each.state())])
def test_a_student_alone(name, convert):
    content = RELEASED[name].wrap(RELEASED[name].state())
    del content["teacher"]
    first = next(iter(content["student"])).removeprefix("module.")
    expected = rf"no known family: found 'student.{first}'.*; expected the weights of .*{RELEASED[name].family}"
    refused(convert, content, expected)


def test_parts_of_two_families(name, convert):
    wrapped = RELEASED[name].wrap(RELEASED[name].state())
    surgvlp = {"backbone_img.model.conv1.weight": torch.ones(2, 3, 7, 7)}
    refused(convert, wrapped | surgvlp, rf"unknown 'backbone_img.model.conv1.weight'; .*as {RELEASED[name].family}")


def test_models_of_all_sorts_of_pictures(name, convert):
    """Of the same kind; those of SurgeNet's are told apart by their classifier."""
    head = "classifier.2" if name == "lemonfm" else "head"
    state = RELEASED[name].state() | {f"{head}.weight": torch.ones(10, 24), f"{head}.bias": torch.ones(10)}
    message = f"unknown '{head}.weight'.*as SurgeNet" if "surgenet" in name else "is of no known family"
    for content in (state, {"model": state}, {"state_dict": {f"module.{key}": state[key] for key in state}}):
        refused(convert, content, message)


@pytest.mark.parametrize("height, width", [(60, 91), (91, 60), (50, 50), (32, 45), (45, 32), (32, 32)])
def test_bilinear_image_processor(height, width):
    """As `datasets/transform.py` of Endo-FM resizes and crops."""
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    processor = BilinearImageProcessor(**sizes, image_mean=[0.45] * 3, image_std=[0.225] * 3)
    values = (torch.from_numpy(frame).permute(2, 0, 1)[None] / 255 - 0.45) / 0.225
    shape = [math.floor(side / min(height, width) * 32) for side in (height, width)]
    resized = torch.nn.functional.interpolate(values, shape, mode="bilinear", align_corners=False)
    top, left = (math.ceil((side - 32) / 2) for side in shape)
    for given in (frame, Image.fromarray(frame), torch.from_numpy(frame).permute(2, 0, 1)):
        found = processor(images=[given], return_tensors="pt")["pixel_values"]
        assert found.dtype == torch.float32
        assert torch.allclose(found, resized[..., top : top + 32, left : left + 32], atol=1e-5)


def test_an_evaluation_takes_the_same_features(name, convert):
    """Of windows of one clip, whose frames the project prepares one by one."""
    folder = convert()
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    encoder, frames = encoder_of(model, processor), torch.from_numpy(pictures()).permute(0, 3, 1, 2)
    with encoder.evaluating():
        encoded = encoder.encode_frames(encoder.preprocess(frames))
        windows = WINDOWS if RELEASED[name].sees_clips else torch.tensor([[0], [1]])
        raw = encoder.embed_windows(encoded, windows)["raw"]
    assert difference(raw, load_file(GOLDEN / f"{name}.safetensors")["features"]) < 1e-5
