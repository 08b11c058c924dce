# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoProcessor

from surglavi_hf.evaluation import VideoEncoder, Windows, load_benchmark, zero_shot
from surglavi_hf.evaluation.encoders import encoder_of
from surglavi_hf.evaluation.zero_shot import embed_classes
from surglavi_hf.training.start import learn_tokenizer

from .conftest import new_image_model
from .native_files import VIDEOS, some_labels, write_frames, write_native


def test_a_window_is_the_mean_of_its_frames(image_model):
    """With a frame of another shape than the model's, against the model called frame by frame."""
    model, processor = image_model
    encoder = encoder_of(model, processor)
    frames = torch.randint(0, 256, (5, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    windows = torch.tensor([[0, 1, 2], [2, 2, 4]])
    with encoder.evaluating():
        embeds = encoder.embed_windows(encoder.encode_frames(encoder.preprocess(frames)), windows)
        inputs = processor.image_processor(images=list(frames), return_tensors="pt")
        single = model.get_image_features(**inputs).pooler_output
        raw = model.vision_model(**inputs).pooler_output
    assert embeds["projected"].shape == (2, single.shape[1]) and embeds["raw"].shape == (2, 32)
    assert torch.allclose(embeds["projected"], F.normalize(single, dim=-1)[windows].mean(dim=1), atol=1e-6)
    assert torch.allclose(embeds["raw"], raw[windows].mean(dim=1), atol=1e-6)
    assert not model.vision_model._forward_hooks


def test_texts_are_embedded_as_the_model_was_trained(image_model):
    model, processor = image_model
    encoder = encoder_of(model, processor)
    texts = ["a grasper", "the hook " * 30]
    with torch.no_grad():
        embeds = encoder.embed_texts(texts)
        alone = encoder.embed_texts(texts[:1])
    assert torch.allclose(embeds.norm(dim=1), torch.ones(2), atol=1e-6)
    assert torch.allclose(embeds[0], alone[0], atol=1e-6), "the length of one text changes another"


@pytest.mark.parametrize("kind", ["clip", "metaclip_2", "siglip", "medsiglip", "siglip2"])
def test_scores_are_those_of_the_models_own_forward_pass(kind, tiny_model):
    """Of one frame a window, with texts of different lengths, one too long, each embedded alone."""
    model, processor = new_image_model(kind, tiny_model[1].tokenizer)
    encoder = encoder_of(model, processor)
    frames = torch.randint(0, 256, (3, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    texts = ["a grasper", "the hook cuts the duct", "the hook " * 30]
    padding = "max_length" if "siglip" in kind else True
    settings = {"padding": padding, "truncation": True, "max_length": 24}
    if kind == "siglip2":  # whose processor has defaults for what its image processor is set to
        settings |= {"max_num_patches": processor.image_processor.max_num_patches}
    inputs = processor(text=texts, images=list(frames), return_tensors="pt", **settings)
    with encoder.evaluating():
        embeds = encoder.embed_windows(encoder.encode_frames(encoder.preprocess(frames)), torch.arange(3)[:, None])
        scores = embeds["projected"] @ torch.cat([encoder.embed_texts([text]) for text in texts]).T
        logits = model(**inputs).logits_per_image - getattr(model, "logit_bias", 0)
    torch.testing.assert_close(scores, logits / encoder.logit_scale, rtol=0, atol=1e-6)


def test_surgclip_features(tiny_model):
    model, processor = tiny_model
    encoder = encoder_of(model, processor)
    frames = torch.randint(0, 256, (6, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    windows = torch.tensor([[0, 1, 2, 3], [2, 3, 4, 5]])
    with encoder.evaluating():
        embeds = encoder.embed_windows(encoder.encode_frames(encoder.preprocess(frames)), windows)
        inputs = processor(videos=[frames[window] for window in windows], do_sample_frames=False)
        expected = model.get_video_features(**inputs).pooler_output
        raw = model.vision_encoder(inputs["pixel_values"]).pooler_output.mean(dim=1)
    assert torch.allclose(embeds["projected"], expected, atol=1e-6)
    assert torch.allclose(embeds["raw"], raw, atol=1e-6) and not model.vision_encoder._forward_hooks


def test_image_models_are_evaluated(image_model, tmp_path, drawn):
    write_native("cholec80_tools", tmp_path, "video41", some_labels("cholec80_tools"))
    write_frames("cholec80_tools", tmp_path, "video41", drawn["cholec80_tools"])
    benchmark = load_benchmark("cholec80_tools", tmp_path, videos=VIDEOS["cholec80_tools"][0][:1])
    report = zero_shot(*image_model, benchmark, Windows(num_frames=4))
    assert 0 < report.metrics["mean_average_precision_all_frames"] <= 1
    assert report.model["name"] == type(image_model[0]).__name__ and report.protocol["window_num_frames"] == 4


def test_description_tells_weights_apart(tiny_model):
    model, processor = tiny_model
    before = encoder_of(model, processor).describe()
    assert before == encoder_of(model, processor).describe() and before["revision"] is None
    with torch.no_grad():
        model.temp += 1
        after = encoder_of(model, processor).describe()
        model.temp -= 1
    assert before["weights_sha256"] != after["weights_sha256"]
    assert before["processor_sha256"] == after["processor_sha256"]


def test_description_tells_processors_apart(tiny_model, tmp_path):
    """Scores of another image size or other text cleaning are not taken up."""
    model, processor = tiny_model
    processor.save_pretrained(tmp_path)
    saved = AutoProcessor.from_pretrained(tmp_path)
    first = encoder_of(model, processor).describe()["processor_sha256"]
    assert first == encoder_of(model, saved).describe()["processor_sha256"]
    saved.text_preprocess = False
    assert first != encoder_of(model, saved).describe()["processor_sha256"]


def test_description_tells_tokenizers_apart(tiny_model):
    """Neither what a processor saves of itself nor the weights say by what wordpieces texts are read."""
    model, processor = tiny_model
    other = type(processor)(processor.video_processor, learn_tokenizer(["another vocabulary"]))
    first, second = (encoder_of(model, each).describe() for each in (processor, other))
    assert {name for name in first if first[name] != second[name]} == {"tokenizer_sha256"}
    other.tokenizer(["one", "one another"], padding=True, truncation=True)
    assert encoder_of(model, other).describe() == second, "the same after a call"


def test_protocol_of_image_models(image_model):
    """The class of the image processor says by what library frames are resized, which a saved one does not."""
    model, processor = image_model
    frames, texts = encoder_of(model, processor).frame_protocol(), encoder_of(model, processor).text_protocol
    assert frames["frame_preprocessing"].startswith(f"{type(processor.image_processor).__name__}: ")
    assert "resample" in frames["frame_preprocessing"] and "_type" not in frames["frame_preprocessing"]
    padding = "to the most tokens" if "siglip" in model.config.model_type else "to the longest"
    assert texts(["a", "the hook " * 30]) == {"text_max_tokens": 24, "texts_cut": 1, "text_padding": padding}


def test_prompts_of_models_whose_captions_were_not_cleaned(image_model, tiny_model):
    raw = type(tiny_model[1])(tiny_model[1].video_processor, tiny_model[1].tokenizer, text_preprocess=False)
    for encoder in (encoder_of(*image_model), encoder_of(tiny_model[0], raw)):
        with pytest.raises(ValueError, match=r"its processor cleans no captions; leave .*--clean-prompts.* out"):
            embed_classes(encoder, (("a grasper",),), clean_prompts=True)
        with encoder.evaluating():
            assert torch.equal(encoder.embed_captions(["The GRASPER."]), encoder.embed_texts(["The GRASPER."]))
    cleaning = encoder_of(*tiny_model)
    with cleaning.evaluating():
        assert torch.equal(cleaning.embed_captions(["The GRASPER."]), cleaning.embed_captions(["the grasper"]))


def test_other_models(tiny_model):
    class Mine(VideoEncoder):
        num_frames = preprocess = embed_windows = embed_texts = None

    mine = Mine(*tiny_model)
    assert encoder_of(mine, None) is mine
    with pytest.raises(TypeError, match="Linear is no SurgCLIP and has no get_image_features"):
        encoder_of(torch.nn.Linear(1, 1), None)
