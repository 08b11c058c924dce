# SPDX-License-Identifier: Apache-2.0
"""Tiny models of open_clip with random weights, against open_clip's own preprocessing and encoders."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F

open_clip = pytest.importorskip("open_clip")

from surglavi_hf.evaluation import Windows, linear_probe, load_benchmark, load_encoder, retrieval, zero_shot  # noqa: E402
from surglavi_hf.evaluation.linear_probe import Probe  # noqa: E402

from .conftest import write_pictures  # noqa: E402
from .native_files import some_labels, write_frames, write_native  # noqa: E402

VISION = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
CONFIG = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT}
PREPROCESS = {"size": 32, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear"}


def save(folder, tokenizer=None, **changes):
    """Writes a folder as open_clip's push to the Hub does; returns the model."""
    torch.manual_seed(0)
    config = CONFIG | changes
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
        config |= {"text_cfg": TEXT | {"hf_tokenizer_name": "theirs", "vocab_size": len(tokenizer)}}
    folder.mkdir(exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESS}))
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    model = kind(**{name: value for name, value in config.items() if name != "custom_text"}).eval()
    save_file(dict(model.state_dict()), folder / "open_clip_model.safetensors")
    return model


@pytest.fixture
def frames():
    return torch.randint(0, 256, (6, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["clip", "custom", "tokenizer"])
def test_embeddings_are_those_of_open_clip(kind, tmp_path, frames, tiny_model):
    tokenizer = tiny_model[1].tokenizer if kind == "tokenizer" else None
    save(tmp_path / "model", tokenizer, **({"custom_text": True} if kind == "custom" else {}))
    encoder = load_encoder(f"open_clip:local-dir:{tmp_path / 'model'}")
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path / 'model'}")
    read = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'model'}")
    texts = ["A Grasper", "the hook cuts the duct", "the hook " * 30]
    windows = torch.tensor([[0, 1, 2], [2, 2, 5]])
    with encoder.evaluating():
        found = encoder.embed_windows(encoder.encode_frames(encoder.preprocess(frames)), windows)
        scores = encoder.score(found, encoder.embed_texts(texts))
        images = torch.stack([transform(Image.fromarray(np.asarray(frame.permute(1, 2, 0)))) for frame in frames])
        single, of_texts = model.eval().encode_image(images), model.encode_text(read(texts))
        logits, _ = model.get_logits(images, read(texts))
    expected = F.normalize(single, dim=1)[windows].mean(dim=1) @ F.normalize(of_texts, dim=1).T
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(scores, (logits / encoder.logit_scale)[windows].mean(dim=1), rtol=0, atol=1e-6)
    assert set(found) == {"projected"} and scores.std() > 1e-3
    protocol = encoder.text_protocol(texts)
    assert protocol["text_max_tokens"] == 16 and protocol["texts_cut"] >= 1
    assert "mean [0.5, 0.4, 0.3]" in encoder.frame_protocol()["frame_preprocessing"]


def test_descriptions_tell_models_apart(tmp_path, tiny_model):
    """By weights, preprocessing, architecture and tokenizer; the same again where all are the same."""
    save(tmp_path / "model")
    first = load_encoder(f"open_clip:local-dir:{tmp_path / 'model'}").describe()
    assert first == load_encoder(f"open_clip:local-dir:{tmp_path / 'model'}").describe()
    assert first["name"] == "open_clip:model" and str(tmp_path) not in str(first)

    def other(**changes):
        path = tmp_path / "model" / "open_clip_config.json"
        content = json.loads(path.read_text())
        kept = path.read_text()
        for part, change in changes.items():
            content[part] |= change
        path.write_text(json.dumps(content))
        found = load_encoder(f"open_clip:local-dir:{tmp_path / 'model'}").describe()
        path.write_text(kept)
        return {name for name in first if found[name] != first[name]}

    assert other(preprocess_cfg={"interpolation": "bicubic"}) == {"processor_sha256"}
    assert other(model_cfg={"quick_gelu": True}) == {"config_sha256"}
    cleaned = {"text_cfg": TEXT | {"tokenizer_kwargs": {"clean": "canonicalize"}}}
    assert other(model_cfg=cleaned) == {"config_sha256", "tokenizer_sha256"}


@pytest.mark.parametrize(
    "name, message",
    [
        ("ViT-B-32", r"^open_clip:ViT-B-32 names no weights; write open_clip:ARCHITECTURE/TAG, "),
        ("ViT-B-32/nobody", r"^open_clip:ViT-B-32/nobody cannot be loaded \(RuntimeError: .*not a known tag"),
        ("nothing/openai", r"^open_clip:nothing/openai cannot be loaded "),
    ],
)
def test_names_that_are_none(name, message):
    with pytest.raises(ValueError, match=message) as raised:
        load_encoder(f"open_clip:{name}")
    assert "\n" not in str(raised.value)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(OSError, match="nothing"):
        load_encoder(f"open_clip:local-dir:{tmp_path / 'nothing'}")
    save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"leave revision='main' \(--revision\) out"):
        load_encoder(f"open_clip:local-dir:{tmp_path / 'model'}", "main")
    (tmp_path / "model" / "open_clip_model.safetensors").unlink()
    with pytest.raises(ValueError, match="Required pretrained weights"):
        load_encoder(f"open_clip:local-dir:{tmp_path / 'model'}")


def test_code_of_others_is_not_run(tmp_path, tiny_model):
    tokens = {"tokenizer_kwargs": {"trust_remote_code": True}, "hf_tokenizer_name": "theirs"}
    save(tmp_path / "model", text_cfg=TEXT)
    path = tmp_path / "model" / "open_clip_config.json"
    content = json.loads(path.read_text())
    content["model_cfg"]["text_cfg"] |= tokens
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="it comes with code of its own, which is not run"):
        load_encoder(f"open_clip:local-dir:{tmp_path / 'model'}")


def test_every_evaluation(tmp_path, clips):
    save(tmp_path / "model")
    encoder = load_encoder(f"open_clip:local-dir:{tmp_path / 'model'}")
    report = retrieval(encoder, None, clips)
    assert report.model == encoder.describe() and report.protocol["text_padding"] == "to the most tokens"
    write_pictures(tmp_path / "video.mp4", [float(second) for second in range(10)])
    for place, number in enumerate([*range(1, 11), *range(15, 22)]):
        write_native("autolaparo", tmp_path / "autolaparo", f"{number:02d}", some_labels("autolaparo", shift=place))
        write_frames("autolaparo", tmp_path / "autolaparo", f"{number:02d}", tmp_path / "video.mp4")
    train, test = (load_benchmark("autolaparo", tmp_path / "autolaparo", split) for split in ("train", "test"))
    report = zero_shot(encoder, None, test, Windows(num_frames=2))
    assert report.protocol["frame_preprocessing"].startswith("open_clip: ") and report.protocol["dtype"] == "float32"
    report = linear_probe(encoder, None, train, test, Probe(percents=(100,), seeds=1), Windows(num_frames=2))
    assert report.protocol["features"] == "projected"
