# SPDX-License-Identifier: Apache-2.0
"""X-CLIP, VideoPrism and PE-Video of random weights, each against its own forward pass."""

import json
from importlib.util import find_spec

import pytest
import torch
from torch.nn import functional as F
from transformers import (
    DacConfig,
    ModernBertConfig,
    PeAudioEncoderConfig,
    PeAudioVideoConfig,
    PeAudioVideoEncoderConfig,
    PeAudioVideoModel,
    PeVideoConfig,
    PeVideoEncoderConfig,
    PeVideoModel,
    PeVideoProcessor,
    PeVideoVideoProcessor,
    VideoMAEImageProcessorPil,
    VideoPrismClipModel,
    VideoPrismConfig,
    VideoPrismProcessor,
    ViTConfig,
    XCLIPConfig,
    XCLIPModel,
    XCLIPProcessor,
)

from surglavi_hf import SurgCLIPProcessor, SurgCLIPVideoProcessor
from surglavi_hf.evaluation import Windows, embed_texts, load_benchmark, load_encoder, zero_shot
from surglavi_hf.evaluation.encoders import encoder_of
from surglavi_hf.evaluation.video_text_encoders import canonical

from .native_files import VIDEOS, some_labels, write_frames, write_native

KINDS = ("xclip", "videoprism", "pe_video")
TEXTS = ["A Grasper", "the hook cuts, the duct!", "the hook " * 30]
WINDOWS = torch.tensor([[0, 1, 2, 3], [2, 2, 4, 5]])
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}


def new_model(kind, vocab_size):
    torch.manual_seed(0)
    text = {**SIZES, "num_hidden_layers": 2, "vocab_size": vocab_size, "max_position_embeddings": 24}
    if kind == "xclip":
        vision = {**SIZES, "num_hidden_layers": 2, "image_size": 32, "patch_size": 16, "num_frames": 4}
        vision |= {f"mit_{name}": size for name, size in SIZES.items()}
        prompts = {"projection_dim": 32, "prompt_num_attention_heads": 2, "prompt_alpha": 1.0}
        return XCLIPModel(XCLIPConfig(text_config=text, vision_config=vision, **prompts)).eval()
    if kind == "videoprism":
        layers = {"num_spatial_layers": 2, "num_temporal_layers": 1, "num_auxiliary_layers": 1}
        vision = {**SIZES, **layers, "image_size": 32, "tubelet_size": [1, 16, 16], "num_frames": 4}
        model = VideoPrismClipModel(VideoPrismConfig(text_config=text, vision_config=vision)).eval()
        torch.nn.init.normal_(model.video_model.head.pooling_attention_query)  # of zeros where it is new
        return model
    frames = ViTConfig(**SIZES, num_hidden_layers=1, image_size=32, patch_size=16, num_labels=24)
    video = PeVideoEncoderConfig(vision_config=frames, **SIZES, head_dim=16, num_hidden_layers=2)
    text = ModernBertConfig(**text, pad_token_id=0, bos_token_id=2, cls_token_id=2, eos_token_id=3, sep_token_id=3)
    model = PeVideoModel(PeVideoConfig(text_config=text, video_config=video)).eval()
    torch.nn.init.constant_(model.text_video_logit_scale, 3.0)
    torch.nn.init.constant_(model.text_video_logit_bias, -1.0)
    return model


@pytest.fixture(params=KINDS)
def encoder(request, tiny_model):
    """With SurgCLIP's processor of videos where the model's own needs torchvision."""
    tokenizer = tiny_model[1].tokenizer
    videos = SurgCLIPVideoProcessor(size={"height": 32, "width": 32}, num_frames=4)
    processor = SurgCLIPProcessor(videos, tokenizer)
    if request.param == "xclip":
        size = {"height": 32, "width": 32}
        processor = XCLIPProcessor(VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size=size), tokenizer)
    return encoder_of(new_model(request.param, len(tokenizer)), processor)


@pytest.fixture
def frames():
    return torch.randint(0, 256, (6, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def own_scores(model, videos, tokens):
    """What the model's forward pass gives before its scale and softmax."""
    if isinstance(model, XCLIPModel):
        return model(pixel_values=videos, **tokens).logits_per_video / model.logit_scale.exp()
    outputs = model(pixel_values_videos=videos, **tokens)
    if isinstance(model, VideoPrismClipModel):
        scores = outputs.video_embeds @ outputs.text_embeds.T
        torch.testing.assert_close(scores.softmax(dim=0), outputs.logits_per_video)
        return scores
    return (outputs.logits_video_text - model.text_video_logit_bias) / model.text_video_logit_scale


def test_scores_are_those_of_the_models_own_forward_pass(encoder, frames):
    """With texts of different lengths, one too long, each embedded alone and all together."""
    texts, settings = TEXTS, {"padding": True, "max_length": 512 if isinstance(encoder.model, PeVideoModel) else 24}
    if isinstance(encoder.model, VideoPrismClipModel):
        texts, settings["padding"] = (
            ["a grasper.", "the hook cuts the duct.", ("the hook " * 30).strip() + "."],
            "max_length",
        )
    tokens = encoder.processor.tokenizer(texts, truncation=True, return_tensors="pt", **settings)
    with encoder.evaluating():
        pixels = encoder.encode_frames(encoder.preprocess(frames))
        assert pixels.shape == (6, 3, 32, 32)
        found = encoder.embed_windows(pixels, WINDOWS)
        expected = own_scores(encoder.model, pixels[WINDOWS], {k: tokens[k] for k in ("input_ids", "attention_mask")})
        together = encoder.score(found, encoder.embed_texts(TEXTS))
        alone = encoder.score(found, torch.cat([encoder.embed_texts([text]) for text in TEXTS]))
    assert expected.std() > 1e-3, "all alike, which would show nothing"
    torch.testing.assert_close(together, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(alone, expected, rtol=1e-5, atol=1e-6)
    assert found["raw"].shape == (2, 32) and len(found["projected"]) == 2


def test_another_number_of_frames(encoder, frames):
    """X-CLIP was trained with one, VideoPrism interpolates, PE-Video takes any."""
    windows = torch.tensor([[0, 1, 2], [2, 2, 4]])
    with encoder.evaluating():
        pixels = encoder.preprocess(frames)
        if isinstance(encoder.model, XCLIPModel):
            with pytest.raises(ValueError, match=r"^XCLIPModel takes 4 frames, not 3; leave .*--num-frames.* out$"):
                encoder.embed_windows(pixels, windows)
            return
        found = encoder.embed_windows(pixels, windows)["projected"]
        if isinstance(encoder.model, VideoPrismClipModel):
            expected = encoder.model.get_video_features(pixels[windows], interpolate_pos_encoding=True).pooler_output
            torch.testing.assert_close(found, expected[:, 0], rtol=0, atol=1e-6)
        else:
            outputs = encoder.model(torch.tensor([[2, 5]]), pixels[windows])
            torch.testing.assert_close(found, outputs.video_embeds, rtol=0, atol=1e-6)


def test_x_clip_texts_apart_from_videos(tiny_model, frames):
    """What retrieval and search compare: unit vectors, and not what the model itself scores."""
    tokenizer = tiny_model[1].tokenizer
    images = VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    model, processor = new_model("xclip", len(tokenizer)), XCLIPProcessor(images, tokenizer)
    encoder = encoder_of(model, processor)
    captions = embed_texts(model, processor, TEXTS)
    with encoder.evaluating():
        pixels = encoder.preprocess(frames)
        windows, prompts = encoder.embed_windows(pixels, WINDOWS), encoder.embed_texts(TEXTS)
        features = model.get_video_features(pixels[WINDOWS]).pooler_output
        scores = encoder.score(windows, prompts)
        model.prompts_generator.alpha.zero_()  # no video-specific prompts
        torch.testing.assert_close(encoder.score(windows, prompts), windows["projected"] @ captions.T)
    torch.testing.assert_close(captions, F.normalize(prompts, dim=1))
    torch.testing.assert_close(windows["projected"], F.normalize(features, dim=1))
    assert (scores - windows["projected"] @ captions.T).abs().max() > 1e-3
    assert "not in retrieval" in encoder.text_protocol(TEXTS)["video_specific_prompts"]


def test_what_reports_say(encoder):
    frames, texts = encoder.frame_protocol(), encoder.text_protocol(TEXTS)
    assert frames["frame_preprocessing"].startswith(f"{type(encoder.processor.video_processor).__name__}: ")
    assert frames["raw_features"] and encoder.describe()["encoder"] == type(encoder).__name__
    kind = encoder.model.config.model_type
    assert texts["text_max_tokens"] == (512 if kind == "pe_video" else 24)
    assert texts["texts_cut"] == (0 if kind == "pe_video" else 1)
    assert texts["text_padding"] == ("to the most tokens" if kind == "videoprism" else "to the longest")
    assert encoder.score_protocol.startswith(
        "dot product" if kind == "pe_video" else "cosine similarity of the window"
    )
    assert encoder.logit_scale == {"videoprism": None, "pe_video": 3.0}.get(kind, pytest.approx(14.285, abs=1e-3))


def test_the_part_of_pe_av_for_videos_and_texts(tiny_model, frames):
    """Which published checkpoints are whole models of; sounds go unused."""
    tokenizer, part = tiny_model[1].tokenizer, new_model("pe_video", len(tiny_model[1].tokenizer))
    sounds = DacConfig(encoder_hidden_size=8, downsampling_ratios=[2], upsampling_ratios=[2], codebook_dim=4)
    sizes = {**SIZES, "head_dim": 16, "num_hidden_layers": 1}
    audio = PeAudioEncoderConfig(dac_config=sounds, **sizes)
    whole = PeAudioVideoEncoderConfig(audio_config=audio, video_config=part.config.video_config, **sizes)
    config = PeAudioVideoConfig(text_config=part.config.text_config, audio_video_config=whole)
    model = PeAudioVideoModel(config).eval()
    model.video_model.load_state_dict(part.state_dict())
    videos = SurgCLIPVideoProcessor(size={"height": 32, "width": 32}, num_frames=4)
    found = []
    for each in (part, model):
        encoder = encoder_of(each, SurgCLIPProcessor(videos, tokenizer))
        with encoder.evaluating():
            windows = encoder.embed_windows(encoder.preprocess(frames), WINDOWS)
            found.append(encoder.score(windows, encoder.embed_texts(TEXTS)))
            assert encoder.logit_scale == 3.0
    assert torch.equal(*found)


def test_canonical_texts():
    """VideoPrism's authors' own examples."""
    for text in ("Hello, World!", "Hello,World..", "  Hello   WORLD"):
        assert canonical(text) == "hello world."


def test_x_clip_on_a_benchmark(tiny_model, tmp_path, drawn):
    """Of a folder, all the way: every frame's scores are those of the model's own forward pass of its window."""
    tokenizer = tiny_model[1].tokenizer
    images = VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    for part in (new_model("xclip", len(tokenizer)), XCLIPProcessor(images, tokenizer)):
        part.save_pretrained(tmp_path / "xclip")
    write_native("cholec80_phases", tmp_path, "video41", some_labels("cholec80_phases"))
    write_frames("cholec80_phases", tmp_path, "video41", drawn["cholec80_phases"])
    name = VIDEOS["cholec80_phases"][0][0]
    benchmark = load_benchmark("cholec80_phases", tmp_path, videos=[name])
    encoder = load_encoder(tmp_path / "xclip")
    report = zero_shot(encoder, None, benchmark)
    assert report.protocol["window_num_frames"] == 4 and report.protocol["score"].startswith(encoder.score_protocol)
    assert report.protocol["several_prompts"] == "mean of their embeddings"
    texts = [of_class[0] for of_class in benchmark.prompts]
    source, positions = benchmark.videos[name].frames, benchmark.positions(name)
    around = Windows().around(positions, len(source), 4)
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
    with torch.no_grad():
        for place, window in enumerate(around[:3]):
            pixels = encoder.processor(videos=list(source.read(window.tolist())), return_tensors="pt")["pixel_values"]
            inputs = {name: tokens[name] for name in ("input_ids", "attention_mask")}
            logits = encoder.model(pixel_values=pixels, **inputs).logits_per_video / encoder.logit_scale
            torch.testing.assert_close(torch.tensor(report.scores[name][place]), logits[0], rtol=0, atol=1e-5)


def test_a_processor_of_their_own(tiny_model, frames):
    """VideoPrism's and PE-Video's need torchvision; X-CLIP's is of images."""
    pytest.importorskip("torchvision")
    from transformers import LlavaOnevisionVideoProcessor

    size, tokenizer = {"height": 32, "width": 32}, tiny_model[1].tokenizer
    videos = LlavaOnevisionVideoProcessor(size=size, do_normalize=False, num_frames=4)
    processors = {"videoprism": VideoPrismProcessor(videos, tokenizer)}
    videos = PeVideoVideoProcessor(size=size, do_resize=True, do_rescale=True, do_normalize=True, num_frames=4)
    videos.image_mean = videos.image_std = [0.5, 0.5, 0.5]
    processors["pe_video"] = PeVideoProcessor(videos, tokenizer)
    for kind, processor in processors.items():
        encoder = encoder_of(new_model(kind, len(tokenizer)), processor)
        pixels = encoder.preprocess(frames)
        own = processor(videos=[frames[:4]], do_sample_frames=False, return_tensors="pt")["pixel_values_videos"]
        assert torch.equal(pixels[:4], own[0]) and pixels.shape == (6, 3, 32, 32) and encoder.num_frames == 4


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is there")
def test_a_package_that_a_model_needs(tiny_model, tmp_path):
    tokenizer = tiny_model[1].tokenizer
    new_model("videoprism", len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    videos = {"video_processor_type": "LlavaOnevisionVideoProcessor"}
    settings = {"processor_class": "VideoPrismProcessor", "video_processor": videos}
    (tmp_path / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(
        ValueError, match=r"^\S+ needs the package torchvision, .* not installed; pip install torchvision$"
    ):
        load_encoder(tmp_path)
