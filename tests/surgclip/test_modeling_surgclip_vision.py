# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from surglavi_hf.surgclip.modeling_surgclip_vision import SurgCLIPDropPath

from .conftest import LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_influence_of_the_cls_token(make_model, layout):
    model, clip = make_model(layout=layout), torch.rand(1, 4, 3, 32, 32)
    with torch.no_grad():
        before = model.get_video_features(clip).pooler_output
        model.vision_encoder.model.cls_token.add_(torch.randn(48))
        same = torch.equal(before, model.get_video_features(clip).pooler_output)
    assert same == (layout == "released")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_influence_of_the_position_of_cls(make_model, layout):
    model, clip = make_model(layout=layout), torch.rand(1, 4, 3, 32, 32)
    with torch.no_grad():
        before = model.get_video_features(clip).pooler_output
        model.vision_encoder.model.pos_embed[:, 0].add_(torch.randn(48))
        same = torch.equal(before, model.get_video_features(clip).pooler_output)
    assert same == (layout == "released")


def test_layer_norms(released):
    """vision_layernorm is applied to the tokens that are returned, and the similarity never sees it."""
    norms = {name: each for name, each in released.named_modules() if isinstance(each, torch.nn.LayerNorm)}
    eps = {name: each.eps for name, each in norms.items()}
    assert {each for name, each in eps.items() if name.startswith("vision_encoder.")} == {1e-6}
    assert {each for name, each in eps.items() if not name.startswith("vision_encoder.")} == {1e-12}
    clip = torch.rand(1, 4, 3, 32, 32)
    with torch.no_grad():
        before = released.get_video_features(clip)
        released.vision_layernorm.weight.mul_(2)
        released.vision_layernorm.bias.add_(1)
        after = released.get_video_features(clip)
    assert torch.equal(before.pooler_output, after.pooler_output)
    assert not torch.equal(before.last_hidden_state, after.last_hidden_state)


def test_the_first_token_of_each_chunk_is_not_pooled(released):
    with torch.no_grad():
        outputs = released.vision_encoder(torch.rand(1, 4, 3, 32, 32))
        pooled = released.vision_encoder.model.pool_norm(outputs.last_hidden_state[:, :, 1:].mean(dim=2))
    torch.testing.assert_close(outputs.pooler_output, pooled)


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


def test_space_only_does_not_see_the_order_of_frames(make_model):
    """Nor does it mix frames: a clip's vector is the mean of its frames' vectors."""
    model, clip = make_model(layout="released", attention_type="space_only"), torch.rand(1, 4, 3, 32, 32)
    with torch.no_grad():
        there, back = (model.get_video_features(frames).pooler_output for frames in (clip, clip.flip(1)))
        frames = [model.get_video_features(clip[:, [frame]]).pooler_output for frame in range(4)]
    torch.testing.assert_close(there, back, atol=1e-6, rtol=0)
    torch.testing.assert_close(there, torch.stack(frames).mean(dim=0), atol=1e-6, rtol=0)


def test_the_top_left_patch_plays_cls_in_the_released_layout(released):
    """What one patch of a frame does to the others of its frame when time is shut out: the stand-in speaks twice."""
    encoder = released.vision_encoder.model
    block, tokens = encoder.blocks[0], torch.randn(1, 4, 17, 48)
    with torch.no_grad():
        block.temporal_fc.weight.zero_()
        block.temporal_fc.bias.zero_()
        before = block(tokens)
        without_cls = torch.cat([torch.randn(1, 4, 1, 48), tokens[:, :, 1:]], dim=2)
        assert torch.equal(block(without_cls), before), "what comes in the CLS slot is dropped"
        spatial = block.attn(block.norm1(torch.cat([tokens[:, :, 1:2], tokens[:, :, 1:]], dim=2)))[0]
        slot = 2 * spatial[:, :, :1]
        expected = slot + block.mlp(block.norm2(slot))
    torch.testing.assert_close(before[:, :, :1], expected)


def test_temporal_bias_is_always_added_in_the_released_layout(released):
    block, tokens = released.vision_encoder.model.blocks[0], torch.randn(1, 1, 17, 48)
    with torch.no_grad():
        block.temporal_fc.weight.zero_()
        block.temporal_fc.bias.fill_(3.0)
        moved = block.over_time(tokens[:, :, 1:])
    torch.testing.assert_close(moved, torch.full_like(moved, 3.0))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_times(make_model, layout):
    model = make_model(layout=layout)
    with torch.no_grad():
        encoder = model.vision_encoder.model
        encoder.time_embed.copy_(torch.arange(4.0).view(1, 4, 1))
        six = encoder.times(6)[0, :, 0].tolist()
        assert torch.equal(encoder.times(4), encoder.time_embed)
        still = torch.rand(1, 1, 3, 32, 32)
        before = encoder.embed(still)
        encoder.time_embed.zero_()
    if layout == "released":
        assert six == [0, 0, 1, 2, 2, 3], "index floor(i · 4 / 6)"
    else:
        assert six == sorted(set(six)), "no two frames at one time"
    same = torch.equal(before, encoder.embed(still))
    assert same == (layout == "released"), "a single frame has no time in the released layout"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_positions(make_model, layout):
    encoder = make_model(layout=layout).vision_encoder.model
    columns = torch.arange(4.0).repeat(4).view(1, 16, 1).expand(-1, -1, 48)
    with torch.no_grad():
        encoder.pos_embed[:, 1:] = columns
        assert torch.equal(encoder.positions(4, 4), columns)
        wide = encoder.positions(4, 8)[0, :8, 0].tolist()
        reshaped = encoder.positions(2, 8)[0, :8, 0].tolist()
    if layout == "released":
        assert wide == [0, 0, 1, 1, 2, 2, 3, 3], "nearest neighbour"
        assert reshaped == [0, 1, 2, 3, 0, 1, 2, 3], "as many patches: laid out anew, not resized"
    else:
        assert wide == reshaped == sorted(set(wide)), "bicubic"


def test_cls_has_time_in_the_sound_layout_alone(make_model):
    for layout in LAYOUTS:
        encoder = make_model(layout=layout).vision_encoder.model
        with torch.no_grad():
            encoder.time_embed.copy_(torch.randn(1, 4, 48))
            tokens = encoder.embed(torch.zeros(1, 4, 3, 32, 32))
        same = torch.equal(tokens[:, 0, 0], tokens[:, 1, 0])
        assert same == (layout == "released")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("attention_type", ["divided_space_time", "space_only"])
@pytest.mark.parametrize("shape", [(4, 32, 32), (1, 32, 32), (7, 32, 32), (4, 48, 24)])
def test_any_number_of_frames_and_size(make_model, layout, attention_type, shape):
    model = make_model(layout=layout, attention_type=attention_type)
    num_frames, height, width = shape
    outputs = model.get_video_features(torch.rand(2, num_frames, 3, height, width))
    assert outputs.pooler_output.shape == (2, 24)
    assert outputs.last_hidden_state.shape == (2, num_frames, 1 + height * width // 64, 48)


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
