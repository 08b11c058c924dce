# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from surglavi_hf.surgclip.modeling_surgclip_vision import SurgCLIPDropPath

LAYOUTS = ("released", "per_frame")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_influence_of_the_cls_token(make_model, layout):
    model, clip = make_model(layout=layout), torch.rand(1, 4, 3, 32, 32)
    with torch.no_grad():
        before = model.get_video_features(clip).pooler_output
        model.vision_encoder.model.cls_token.add_(torch.randn(48))
        same = torch.equal(before, model.get_video_features(clip).pooler_output)
    assert same == (layout == "released")


def test_the_first_frame_slot_of_the_released_layout_is_a_band_of_patches(make_model):
    """Without attention a change in the last patch of the first frame shows in the last slot alone."""
    model = make_model(layout="released")
    with torch.no_grad():
        for block in model.vision_encoder.model.blocks:
            block.attn.proj.weight.zero_()  # no attention within frames; over time it is zero at the start
        clip = torch.rand(1, 4, 3, 32, 32)
        before = model.vision_encoder(clip).pooler_output
        clip[:, 0, :, -8:, -8:] = 0  # the last patch of the first frame
        after = model.vision_encoder(clip).pooler_output
    changed = (before != after).any(dim=-1)[0].tolist()
    assert changed == [False, False, False, True], "were the axis time, the first slot would change"


def test_per_frame_slots_are_frames(make_model):
    model = make_model(layout="per_frame")
    with torch.no_grad():
        for block in model.vision_encoder.model.blocks:
            block.temporal_fc.weight.zero_()
        clip = torch.rand(1, 4, 3, 32, 32)
        before = model.vision_encoder(clip).pooler_output
        clip[:, 2] = 0
        after = model.vision_encoder(clip).pooler_output
    assert (before != after).any(dim=-1)[0].tolist() == [False, False, True, False]


def test_per_frame_sees_the_order_of_frames(make_model):
    model, clip = make_model(layout="per_frame"), torch.rand(1, 4, 3, 32, 32)
    with torch.no_grad():
        there, back = (model.get_video_features(frames).pooler_output for frames in (clip, clip.flip(1)))
    assert (there - back).abs().max() > 1e-4


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("attention_type", ["divided_space_time", "space_only"])
@pytest.mark.parametrize("shape", [(4, 32, 32), (1, 32, 32), (7, 32, 32), (4, 48, 24)])
def test_any_number_of_frames_and_size(make_model, layout, attention_type, shape):
    model = make_model(layout=layout, attention_type=attention_type)
    num_frames, height, width = shape
    outputs = model.get_video_features(torch.rand(2, num_frames, 3, height, width))
    assert outputs.pooler_output.shape == (2, 24)
    assert outputs.last_hidden_state.shape == (2, num_frames, 1 + height * width // 64, 48)


def test_gradient_checkpointing_changes_no_gradient(make_model):
    model, clip = make_model(layout="per_frame").train(), torch.rand(1, 4, 3, 32, 32)
    gradients = []
    for _ in range(2):
        model.zero_grad()
        model.get_video_features(clip).pooler_output.square().sum().backward()
        gradients.append([p.grad.clone() for p in model.vision_encoder.parameters()])
        model.gradient_checkpointing_enable()
        assert all(block.gradient_checkpointing for block in model.vision_encoder.model.blocks)
    assert all(torch.allclose(one, two, atol=1e-7) for one, two in zip(*gradients, strict=True))


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop, ones = SurgCLIPDropPath(0.25), torch.ones(4000, 3, 2)
    assert torch.equal(drop.eval()(ones), ones)
    dropped = drop.train()(ones)
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(4 / 3).item()}
    assert torch.equal(dropped.amin(dim=(1, 2)), dropped.amax(dim=(1, 2)))
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.05)


def test_drop_path_grows_with_depth(make_model):
    rates = [block.drop_path.rate for block in make_model(drop_path_rate=0.2).vision_encoder.model.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2])
