# SPDX-License-Identifier: Apache-2.0
"""Models that read no text, of random weights and of folders as they are published: with heads, without a pooler."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BitImageProcessorPil,
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextImageProcessorPil,
    ConvNextV2Config,
    ConvNextV2ForImageClassification,
    Dinov2Config,
    Dinov2ForImageClassification,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    PvtImageProcessorPil,
    PvtV2Config,
    PvtV2ForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    TimesformerConfig,
    TimesformerForVideoClassification,
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEForVideoClassification,
    VideoMAEImageProcessorPil,
    ViTConfig,
    ViTForImageClassification,
    ViTForMaskedImageModeling,
    ViTImageProcessorPil,
    ViTModel,
)

from surglavi_hf.cli import main
from surglavi_hf.data import Embeddings
from surglavi_hf.evaluation import (
    EvalReport,
    build_search_index,
    embed_captions,
    load_benchmark,
    load_encoder,
    predict,
    retrieval,
    zero_shot,
    zero_shot_clips,
)
from surglavi_hf.evaluation.encoders import encoder_of

from .conftest import write_pictures
from .native_files import some_labels, write_frames, write_native

SIZE = {"height": 32, "width": 32}
VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 16}
VIDEO = {**VIT, "intermediate_size": 16, "num_frames": 4}
DECODER = {f"decoder_{name}": value for name, value in VIDEO.items() if name[:3] in ("hid", "num", "int")}
STAGES = {"hidden_sizes": [8, 8, 8, 16], "depths": [1, 1, 1, 1]}
SQUARE = {"size": SIZE}
CROPPED = {"size": {"shortest_edge": 32}, "crop_size": SIZE}


def before_the_classifier(model, pixels):
    """What the model's own head of classes is given."""
    seen = []
    hook = model.classifier.register_forward_hook(lambda module, inputs, outputs: seen.append(inputs[0]))
    model(pixels)
    hook.remove()
    return seen[0].flatten(1)


# Model, processor and what their authors classify.
CASES = {
    "vit": (ViTForImageClassification, ViTConfig(**VIT), ViTImageProcessorPil(**SQUARE), before_the_classifier),
    "vit-masked": (
        *(ViTForMaskedImageModeling, ViTConfig(**VIT, encoder_stride=16), ViTImageProcessorPil(**SQUARE)),
        lambda model, pixels: model.base_model(pixels).last_hidden_state[:, 0],
    ),
    "dinov2": (
        *(Dinov2ForImageClassification, Dinov2Config(**VIT), BitImageProcessorPil(**CROPPED)),
        lambda model, pixels: before_the_classifier(model, pixels)[:, :16],  # beside it, the mean of the patches
    ),
    "registers": (
        *(Dinov2WithRegistersModel, Dinov2WithRegistersConfig(**VIT), BitImageProcessorPil(**CROPPED)),
        lambda model, pixels: model(pixels).last_hidden_state[:, 0],
    ),
    "convnext": (
        *(ConvNextForImageClassification, ConvNextConfig(**STAGES)),
        *(ConvNextImageProcessorPil(size={"shortest_edge": 384}), before_the_classifier),
    ),
    "convnextv2": (
        *(ConvNextV2ForImageClassification, ConvNextV2Config(**STAGES)),
        *(ConvNextImageProcessorPil(size={"shortest_edge": 384}), before_the_classifier),
    ),
    "resnet": (
        *(ResNetForImageClassification, ResNetConfig(embedding_size=8, **STAGES)),
        *(ConvNextImageProcessorPil(size={"shortest_edge": 224}), before_the_classifier),
    ),
    "pvt_v2": (
        *(PvtV2ForImageClassification, PvtV2Config(num_attention_heads=[1, 1, 1, 2], **STAGES)),
        *(PvtImageProcessorPil(size={"height": 64, "width": 64}), before_the_classifier),
    ),
    "timesformer": (
        *(TimesformerForVideoClassification, TimesformerConfig(**VIDEO)),
        *(VideoMAEImageProcessorPil(**CROPPED), before_the_classifier),
    ),
    "videomae": (
        *(VideoMAEForVideoClassification, VideoMAEConfig(**VIDEO), VideoMAEImageProcessorPil(**CROPPED)),
        lambda model, pixels: model.base_model(pixels).last_hidden_state.mean(dim=1),  # without the head's norm
    ),
    "videomae-masked": (
        *(VideoMAEForPreTraining, VideoMAEConfig(**VIDEO, **DECODER), VideoMAEImageProcessorPil(**CROPPED)),
        lambda model, pixels: model.base_model(pixels).last_hidden_state.mean(dim=1),
    ),
}


def save(name, folder):
    """Returns the model as it is published: with its head."""
    torch.manual_seed(0)
    kind, config, processor, _ = CASES[name]
    model = kind(config).eval()
    for part in (model, processor):
        part.save_pretrained(folder)
    return model


@pytest.fixture
def frames():
    return torch.randint(0, 256, (6, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CASES)
def test_features_are_what_the_authors_classify(name, tmp_path, frames):
    """Of a folder, against the model that was saved there; a second time it is the same model."""
    model, expected = save(name, tmp_path), CASES[name][3]
    encoder = load_encoder(tmp_path)
    assert encoder.describe() == load_encoder(tmp_path).describe() and not encoder.has_text_encoder
    windows = torch.tensor([[0, 1, 2, 3], [2, 2, 4, 5]])
    with encoder.evaluating():
        pixels = encoder.preprocess(frames)
        found = encoder.embed_windows(encoder.encode_frames(pixels), windows)
        assert set(found) == {"raw"}
        if isinstance(pixels, torch.Tensor):
            of_windows = expected(model, pixels[windows])
        else:
            of_windows = expected(model, encoder.processor(list(frames), return_tensors="pt")["pixel_values"])
            of_windows = of_windows[windows].mean(dim=1)
    torch.testing.assert_close(found["raw"], of_windows, rtol=1e-5, atol=1e-6)
    assert of_windows.std(dim=0).max() > 1e-5, "all alike, which would show nothing"
    protocol = encoder.frame_protocol()
    assert protocol["frame_preprocessing"].startswith(f"{type(encoder.processor).__name__}: ")
    assert any(word in protocol["raw_features"] for word in ("pooler_output", "first token", "mean of last"))


def test_weights_that_are_missing_are_not_made_up(tmp_path):
    save("vit", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    for changes, message in (
        ({"vit.layernorm.weight": None}, "no layernorm.weight"),
        ({"vit.more.weight": torch.zeros(1)}, "unknown vit.more.weight"),
    ):
        kept = {name: value for name, value in (weights | changes).items() if value is not None}
        save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(ValueError, match=message):
            load_encoder(tmp_path)


def test_a_pooler_that_was_never_trained_goes_unused(frames):
    model = ViTModel(ViTConfig(**VIT)).eval()
    encoder = encoder_of(model, ViTImageProcessorPil(**SQUARE))
    with encoder.evaluating():
        inputs = encoder.preprocess(frames)
        assert torch.equal(encoder.encode_frames(inputs), model(**inputs).last_hidden_state[:, 0])


def test_a_model_with_a_head(frames):
    encoder = encoder_of(ViTForImageClassification(ViTConfig(**VIT)), ViTImageProcessorPil(**SQUARE))
    with pytest.raises(TypeError, match="ViTForImageClassification has a head; give its base model"):
        encoder.encode_frames(encoder.preprocess(frames))


def test_a_number_of_frames_that_a_timesformer_would_take(tmp_path, frames):
    save("timesformer", tmp_path)
    encoder = load_encoder(tmp_path)
    assert encoder.num_frames == 4
    with encoder.evaluating(), pytest.raises(ValueError, match=r"^TimesformerModel takes 4 frames, not 2; leave "):
        encoder.embed_windows(encoder.preprocess(frames), torch.tensor([[0, 1], [2, 3]]))


def test_whatever_needs_texts_refuses(clips, tmp_path):
    """Before a frame is read."""
    save("vit", tmp_path / "vit")
    encoder, seen = load_encoder(tmp_path / "vit"), []
    encoder.preprocess = seen.append
    write_native("autolaparo", tmp_path / "autolaparo", "01", some_labels("autolaparo"))
    write_pictures(tmp_path / "video.mp4", [float(second) for second in range(10)])
    write_frames("autolaparo", tmp_path / "autolaparo", "01", tmp_path / "video.mp4")
    benchmark = load_benchmark("autolaparo", tmp_path / "autolaparo", "train", videos=["01"])
    known = Embeddings([0], torch.zeros(1, 2).numpy(), "x", "y")
    prompts = {"a": "a grasper", "b": "a hook"}
    for call in (
        lambda: zero_shot(encoder, None, benchmark),
        lambda: predict(encoder, None, [tmp_path / "video.mp4"], prompts, tmp_path / "out"),
        lambda: retrieval(encoder, None, clips),
        lambda: retrieval(encoder, None, clips, clip_embeds=known),
        lambda: zero_shot_clips(encoder, None, clips, ["a", "b"], [0] * len(clips)),
        lambda: build_search_index(encoder, None, clips, tmp_path / "index"),
        lambda: embed_captions(encoder, None, clips, tmp_path / "e.parquet"),
        lambda: encoder.embed_texts(["a"]),
    ):
        with pytest.raises(ValueError, match=r"^ViTModel has no text encoder; use it with surglavi probe .*$"):
            call()
    assert not seen and not (tmp_path / "out").exists() and not (tmp_path / "index").exists()


@pytest.mark.parametrize("name", ["resnet", "videomae"])
def test_probing(name, tmp_path, capsys):
    save(name, tmp_path / "model")
    write_pictures(tmp_path / "video.mp4", [float(second) for second in range(10)])
    for place, number in enumerate([*range(1, 11), *range(15, 22)]):
        write_native("autolaparo", tmp_path / "autolaparo", f"{number:02d}", some_labels("autolaparo", shift=place))
        write_frames("autolaparo", tmp_path / "autolaparo", f"{number:02d}", tmp_path / "video.mp4")
    common = ["autolaparo", "--root", str(tmp_path / "autolaparo"), "--model", str(tmp_path / "model")]
    common += ["--output", str(tmp_path), "--percents", "50", "--seeds", "1"]
    assert main(["probe", *common]) == 0
    report = EvalReport.from_json(tmp_path / "autolaparo-probe" / "report.json")
    assert 0 <= report.metrics["accuracy_all_frames_at_50_percent_mean"] <= 1
    assert report.protocol["features"] == "raw" and report.protocol["raw_features"]
    capsys.readouterr()
    assert main(["probe", *common, "--features", "both"]) == 1
    assert "the encoder gives no projected features; choose features='raw' (--features raw)" in capsys.readouterr().err
    assert main(["evaluate", *common[:7]]) == 1
    assert "has no text encoder; use it with surglavi probe" in capsys.readouterr().err


def test_models_whose_processors_need_torchvision(tmp_path, frames):
    pytest.importorskip("torchvision")
    from transformers import (
        DINOv3ViTConfig,
        DINOv3ViTImageProcessor,
        DINOv3ViTModel,
        LlavaOnevisionVideoProcessor,
        VideoPrismVisionConfig,
        VideoPrismVisionModel,
    )

    layers = {"num_spatial_layers": 2, "num_temporal_layers": 1}
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "image_size": 32}
    vision = VideoPrismVisionConfig(**sizes, **layers, tubelet_size=[1, 16, 16], num_frames=4)
    windows = torch.tensor([[0, 1, 2, 3], [2, 2, 4, 5]])
    for model, processor in (
        (DINOv3ViTModel(DINOv3ViTConfig(**VIT)).eval(), DINOv3ViTImageProcessor(**SQUARE)),
        (VideoPrismVisionModel(vision).eval(), LlavaOnevisionVideoProcessor(**SQUARE, do_normalize=False)),
    ):
        for part in (model, processor):
            part.save_pretrained(tmp_path / type(model).__name__)
        encoder = load_encoder(tmp_path / type(model).__name__)
        with encoder.evaluating():
            found = encoder.embed_windows(encoder.encode_frames(encoder.preprocess(frames)), windows)["raw"]
            if isinstance(model, DINOv3ViTModel):
                pixels = processor(list(frames), return_tensors="pt")["pixel_values"]
                expected = model(pixels).last_hidden_state[:, 0][windows].mean(dim=1)
            else:
                pixels = processor([frames], do_sample_frames=False, return_tensors="pt")["pixel_values_videos"][0]
                expected = model(pixels[windows]).last_hidden_state.mean(dim=1)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
