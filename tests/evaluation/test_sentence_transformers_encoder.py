# SPDX-License-Identifier: Apache-2.0
"""Tiny models of sentence-transformers with random weights, against its own encoders and the models below them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLModel,
    Qwen3VLProcessor,
)

sentence_transformers = pytest.importorskip("sentence_transformers")

from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.base.modules import Transformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling  # noqa: E402

from surglavi_hf.evaluation import load_encoder, retrieval  # noqa: E402

from ..surgclip.conftest import make_tokenizer  # noqa: E402
from .conftest import new_image_model  # noqa: E402

TEXTS = ["a grasper", "the hook cuts the duct"]
WORDS = ["<pad>", "<unk>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
WORDS += ["user", "system", "a", "the", "grasper", "hook", "cuts", "duct", "Represent", "input"]
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} {% for c in m['content'] %}{% if c['type'] == 'image' %} <|vision_start|> "
    "<|image_pad|> <|vision_end|> {% else %} {{ c['text'] }} {% endif %}{% endfor %} <|im_end|> {% endfor %}"
)


@pytest.fixture
def frames():
    return torch.randint(0, 256, (6, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def saved(tmp_path, tiny_model):
    """A CLIP as sentence-transformers saves it, with a prompt for queries."""
    model, processor = new_image_model("clip", tiny_model[1].tokenizer)
    for part in (model, processor):
        part.save_pretrained(tmp_path / "clip")
    prompts = {"query": "find: ", "document": ""}
    SentenceTransformer(str(tmp_path / "clip"), device="cpu", prompts=prompts).save_pretrained(str(tmp_path / "saved"))
    return tmp_path / "saved", model, processor


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def images_of(frames):
    return [Image.fromarray(np.asarray(frame.permute(1, 2, 0))) for frame in frames]


def test_embeddings_are_those_of_the_library_and_of_the_model(saved, frames):
    folder, model, processor = saved
    encoder, own = load_encoder(f"sentence_transformers:{folder}"), SentenceTransformer(str(folder), device="cpu")
    windows = torch.tensor([[0, 1, 2], [2, 2, 5]])
    with encoder.evaluating():
        found = encoder.embed_windows(encoder.encode_frames(encoder.preprocess(frames)), windows)
        texts = encoder.embed_texts(TEXTS)
        scores = encoder.score(found, texts)
        pixels = encoder.processor(images=images_of(frames), return_tensors="pt")
        single = F.normalize(model.get_image_features(**pixels).pooler_output, dim=1)
        tokens = processor(text=[f"find: {text}" for text in TEXTS], padding=True, return_tensors="pt")
        prompted = F.normalize(model.get_text_features(**tokens).pooler_output, dim=1)
    similar = own.similarity(own.encode_document(images_of(frames)), own.encode_query(TEXTS))
    torch.testing.assert_close(scores, similar[windows].mean(dim=1), rtol=0, atol=1e-6)
    torch.testing.assert_close(scores, single[windows].mean(dim=1) @ prompted.T, rtol=0, atol=1e-6)
    assert set(found) == {"projected"} and scores.std() > 1e-3 and encoder.num_frames == 16
    assert encoder.text_protocol(TEXTS) == {"text_max_tokens": 24, "text_prompt": "query: 'find: '"}
    protocol = encoder.frame_protocol()
    assert protocol["frame_preprocessing"].startswith(type(encoder.processor.image_processor).__name__)
    assert protocol["frame_prompt"] == "document: ''" and protocol["similarity"] == "cosine"


def test_a_model_that_compares_by_dot_products(saved, frames):
    folder = saved[0]
    change(folder / "config_sentence_transformers.json", similarity_fn_name="dot")
    encoder, own = load_encoder(f"sentence_transformers:{folder}"), SentenceTransformer(str(folder), device="cpu")
    with encoder.evaluating():
        found = encoder.embed_windows(encoder.encode_frames(frames), torch.tensor([[0], [1]]))
        scores = encoder.score(found, encoder.embed_texts(TEXTS))
    expected = own.similarity(own.encode_document(images_of(frames[:2])), own.encode_query(TEXTS))
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)
    assert not encoder.unit_texts and encoder.score_protocol.startswith("dot product")


def test_descriptions_tell_settings_apart(saved):
    folder = saved[0]
    first = load_encoder(f"sentence_transformers:{folder}").describe()
    assert first == load_encoder(f"sentence_transformers:{folder}").describe()
    assert first["name"] == "saved" and str(folder.parent) not in str(first)
    for changes in ({"prompts": {"query": "x: "}}, {"similarity_fn_name": "dot"}, {"truncate_dim": 4}):
        change(folder / "config_sentence_transformers.json", **changes)
        found = load_encoder(f"sentence_transformers:{folder}").describe()
        assert {name for name in first if first[name] != found[name]} == {"modules_sha256"}
        first = found


def test_what_cannot_be_evaluated(saved, tmp_path):
    folder = saved[0]
    change(folder / "config_sentence_transformers.json", similarity_fn_name="euclidean")
    with pytest.raises(ValueError, match=r"saved cannot be loaded .*it compares by euclidean, expected cosine or dot"):
        load_encoder(f"sentence_transformers:{folder}")
    BertModel(BertConfig(hidden_size=12, num_hidden_layers=1, vocab_size=120)).save_pretrained(tmp_path / "bert")
    make_tokenizer().save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match=r"it embeds text; expected a model that embeds images and texts"):
        load_encoder(f"sentence_transformers:{tmp_path / 'bert'}")


def test_weights_that_are_missing_are_not_made_up(saved):
    folder = saved[0]
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"it has no visual_projection.weight; copy or download it again"):
        load_encoder(f"sentence_transformers:{folder}")


def test_code_of_others_is_not_run(saved, monkeypatch):
    """Neither from the folder nor from where Python was started."""
    folder = saved[0]
    (folder / "modeling_theirs.py").write_text("raise SystemExit('was run')")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "modeling_theirs.Theirs"
    (folder / "modules.json").write_text(json.dumps(modules))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(ValueError, match=r"saved cannot be loaded .*trust_remote_code"):
        load_encoder(f"sentence_transformers:{folder}")


def test_retrieval(saved, clips):
    encoder = load_encoder(f"sentence_transformers:{saved[0]}")
    report = retrieval(encoder, None, clips)
    assert report.model == encoder.describe() and report.protocol["text_prompt"] == "query: 'find: '"
    assert report.protocol["modules"].startswith("Transformer {")


def test_a_language_model_that_sees(tmp_path):
    """A Qwen3-VL, whose chat template reads prompts as a system's message, against itself run by hand."""
    pytest.importorskip("torchvision")
    from transformers import Qwen3VLVideoProcessor

    backend = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    tokens = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "<|im_end|>", "padding_side": "left"}
    tokens |= {"additional_special_tokens": WORDS[2:7], "model_max_length": 256}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **tokens)
    tokenizer.image_token, tokenizer.video_token = "<|image_pad|>", "<|video_pad|>"
    sizes = {"patch_size": 8, "temporal_patch_size": 2, "merge_size": 2}
    images = Qwen2VLImageProcessorPil(**sizes, size={"shortest_edge": 256, "longest_edge": 4096})
    processor = Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(**sizes), chat_template=TEMPLATE)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "vocab_size": len(WORDS), **heads}
    text["rope_parameters"] = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 10000.0}
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "patch_size": 8}
    vision |= {"out_hidden_size": 32, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    ids = {"image_token_id": 5, "video_token_id": 6, "vision_start_token_id": 3, "vision_end_token_id": 4}  # of WORDS
    torch.manual_seed(0)
    model = Qwen3VLModel(Qwen3VLConfig(text_config=text, vision_config=vision, **ids)).eval()
    for part in (model, processor):
        part.save_pretrained(tmp_path / "qwen")
    modules = [Transformer(str(tmp_path / "qwen")), Pooling(32, "lasttoken"), Normalize()]
    prompts = {"query": "Represent the input", "document": "Represent the input"}
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save_pretrained(str(tmp_path / "saved"))

    def by_hand(content):
        system = {"role": "system", "content": [{"type": "text", "text": "Represent the input"}]}
        said = [[system, {"role": "user", "content": [content]}]]
        inputs = processor.apply_chat_template(said, tokenize=True, return_dict=True, return_tensors="pt")
        return F.normalize(model(**inputs).last_hidden_state[:, -1], dim=1)

    encoder = load_encoder(f"sentence_transformers:{tmp_path / 'saved'}")
    frames = torch.randint(0, 256, (4, 3, 48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with encoder.evaluating():
        found, texts = encoder.encode_frames(encoder.preprocess(frames)), encoder.embed_texts(TEXTS)
        seen = torch.cat([by_hand({"type": "image", "image": image}) for image in images_of(frames)])
        read = torch.cat([by_hand({"type": "text", "text": text}) for text in TEXTS])
    torch.testing.assert_close(found, seen, rtol=0, atol=1e-6)
    torch.testing.assert_close(texts, read, rtol=0, atol=1e-6)
    assert seen.std(dim=0).max() > 1e-3
