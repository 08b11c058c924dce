# SPDX-License-Identifier: Apache-2.0
"""Models that hear what is said, and when. Only speech reaches them: of noise they make sentences."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from ..files import digest_of
from ..media.audio import SPEECH_RATE
from ..media.library import content_identity
from .transcripts import Word, in_order, words_of_pieces

logger = logging.getLogger(__name__)

Engine = Literal["faster-whisper", "transformers"]
Device = Literal["auto", "cpu", "cuda"]
DEFAULT_MODELS: dict[Engine, str] = {
    "faster-whisper": "large-v3-turbo",
    "transformers": "openai/whisper-large-v3-turbo",
}
_WINDOW_S = 29.0  # Whisper hears 30 s at a time
_APART_S = 2.0  # speech is not joined over longer pauses
_FINE = {"min_silence_duration_ms": 500, "speech_pad_ms": 200, "max_speech_duration_s": _WINDOW_S}
_LANGUAGE_WINDOWS = 4  # that tell which language it is
_LEAST_S = 0.05  # less sound holds no word


@dataclass(frozen=True)
class Heard:
    """
    What a model heard.

    Args:
        words: In seconds of the sound, in order.
        language: Code of what is spoken, such as `en`; None where nobody speaks.
        language_probability: None where the language was given, or the model does not say.
    """

    words: tuple[Word, ...] = ()
    language: str | None = None
    language_probability: float | None = None


class SpeechModel(Protocol):
    """
    A model that hears words.

    Args:
        source: Its library, as [`Transcript`] names it.
        model: Its name, of a folder the last part.
        settings: What changes the result, known before it is loaded.
    """

    source: Engine
    model: str
    settings: dict[str, Any]

    def load(self, language: str | None = None, translate: bool = False) -> None:
        """
        Loads it, if it is not loaded.

        Args:
            language, translate: What it shall be asked for.

        Raises:
            ValueError: it is not there, cannot be loaded, or hears English alone and is asked for something else.
        """

    def versions(self) -> dict[str, str]:
        """Returns the versions of the libraries that it runs on."""

    def hear(self, audio: np.ndarray, language: str | None = None, translate: bool = False) -> Heard:
        """
        Returns what is said.

        Args:
            audio: float32 of shape `(num_samples,)`, 16,000 samples a second.
            language: Code of what is spoken; None to find out.
            translate: To English.

        Raises:
            ValueError: as [`SpeechModel.load`].
        """


def speech_model(engine: Engine, model: str | None = None, device: Device = "auto") -> SpeechModel:
    """
    Returns a model, not loaded yet.

    Args:
        engine: The library that runs it.
        model: Its name or folder; None for the engine's default.
        device: Where it runs; `auto` takes a GPU where there is one.

    Raises:
        ImportError: the library is not installed.
        ValueError: it shall run on a GPU, and there is none.
    """
    kind = FasterWhisper if engine == "faster-whisper" else TransformersSpeech
    return kind(model or DEFAULT_MODELS[engine], device)


def check_language(language: str) -> None:
    """Raises ValueError where a text is no code of a language that Whisper knows."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    codes = sorted(set(TO_LANGUAGE_CODE.values()))
    if language in codes:
        return
    name = language.strip().casefold()
    known = TO_LANGUAGE_CODE.get(name) or next((code for code in codes if code == name), None)
    raise ValueError(f"language {language[:40]!r}, expected {known or 'one of ' + ', '.join(codes)}")


class FasterWhisper:
    """Whisper in the form of CTranslate2: a name that faster-whisper knows, a repository on the Hub, or a folder."""

    source: Engine = "faster-whisper"

    def __init__(self, model: str, device: Device = "auto"):
        _import_faster_whisper()
        import ctranslate2

        if device == "auto":
            device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        elif device == "cuda":
            _check_gpu("CTranslate2", ctranslate2.get_cuda_device_count() > 0)
        self._device, self._given, self._loaded = device, model, None
        compute_type = "float16" if device == "cuda" else "int8"
        self.model, identity = _identity(model, ("model.bin", "config.json"))
        self.settings = {"model": self.model, **identity, "compute_type": compute_type}

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in ("faster-whisper", "ctranslate2")}

    def load(self, language: str | None = None, translate: bool = False) -> None:
        if self._loaded is None:
            self._load()
        if not self._loaded.model.is_multilingual:
            _check_english(self, language, translate)

    def _load(self) -> None:
        from faster_whisper import WhisperModel, available_models

        try:
            self._loaded = WhisperModel(self._given, device=self._device, compute_type=self.settings["compute_type"])
        except Exception as error:  # of the Hub, of CTranslate2, of a damaged file
            raise ValueError(
                f"speech model {self._given!r} cannot be loaded by faster-whisper ({_first_line(error)}); expected "
                f"one of {', '.join(available_models())}, which the Hub has, or a folder of a Whisper for CTranslate2"
            ) from error

    def hear(self, audio: np.ndarray, language: str | None = None, translate: bool = False) -> Heard:
        import ctranslate2

        self.load(language, translate)
        if len(audio) < _LEAST_S * SPEECH_RATE or not _speech(audio):
            return Heard()  # it would find the language of nothing
        ctranslate2.set_random_seed(0)  # where the best guess is bad it draws others
        multilingual = self._loaded.model.is_multilingual
        segments, info = self._loaded.transcribe(
            audio,
            language=language if multilingual else None,
            task="translate" if translate else "transcribe",
            word_timestamps=True,
            vad_filter=True,
            condition_on_previous_text=False,
            language_detection_segments=_LANGUAGE_WINDOWS,
        )
        pieces = [
            (word.word, float(word.start), float(word.end), float(word.probability))
            for segment in segments
            for word in segment.words or ()
        ]
        probability = None if language or not multilingual else float(info.language_probability)
        return Heard(_words(pieces, len(audio)), info.language, probability)


class TransformersSpeech:
    """Whisper of transformers: a repository on the Hub, or a folder. It says no confidence of words."""

    source: Engine = "transformers"

    def __init__(self, model: str, device: Device = "auto"):
        _import_faster_whisper()  # whose detector of speech is taken
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        elif device == "cuda":
            _check_gpu("torch", torch.cuda.is_available())
        self._device, self._given, self._pipeline = device, model, None
        dtype = "float16" if device == "cuda" else "float32"
        self.model, identity = _identity(model, ("model.safetensors", "config.json"))
        self.settings = {"model": self.model, **identity, "compute_type": dtype}

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in ("transformers", "torch", "faster-whisper")}

    def load(self, language: str | None = None, translate: bool = False) -> None:
        if self._pipeline is None:
            self._load()
        if not self._is_multilingual:
            _check_english(self, language, translate)

    @property
    def _is_multilingual(self) -> bool:
        return bool(getattr(self._pipeline.model.generation_config, "is_multilingual", False))

    def _load(self) -> None:
        import torch
        from transformers import pipeline

        try:
            loaded = pipeline(
                "automatic-speech-recognition",
                model=self._given,
                device=self._device,
                dtype=getattr(torch, self.settings["compute_type"]),
            )
        except Exception as error:  # of the Hub, of a damaged file
            raise ValueError(
                f"speech model {self._given!r} cannot be loaded by transformers ({_first_line(error)}); expected a "
                f"Whisper on the Hub such as {DEFAULT_MODELS['transformers']}, or its folder"
            ) from error
        if loaded.type != "seq2seq_whisper" or not getattr(loaded.model.generation_config, "alignment_heads", None):
            raise ValueError(
                f"speech model {self._given!r} is {loaded.model.config.model_type!r} and tells no times of words, "
                f"expected a Whisper with alignment_heads such as {DEFAULT_MODELS['transformers']}"
            )
        self._pipeline = loaded

    def hear(self, audio: np.ndarray, language: str | None = None, translate: bool = False) -> Heard:
        self.load(language, translate)
        spans = _speech(audio, **_FINE) if len(audio) >= _LEAST_S * SPEECH_RATE else []
        if not spans:
            return Heard()
        windows = [
            (first, audio[round(first * SPEECH_RATE) : round(last * SPEECH_RATE)]) for first, last in _windows(spans)
        ]
        asked: dict[str, Any] = {}
        if self._is_multilingual:
            language = language or self._language([sound for _, sound in windows[:_LANGUAGE_WINDOWS]])
            asked = {"language": language, "task": "translate" if translate else "transcribe"}
        pieces = []
        for first, sound in windows:
            found = self._pipeline(sound, return_timestamps="word", generate_kwargs=asked)
            length = len(sound) / SPEECH_RATE
            for piece in found["chunks"]:
                start, end = (length if time is None else min(time, length) for time in piece["timestamp"])
                pieces.append((piece["text"], *_within(spans, first + start, first + max(start, end)), None))
        return Heard(_words(pieces, len(audio)), language or "en")

    def _language(self, windows: list[np.ndarray]) -> str:
        """Returns the code of the language that most of the windows are in."""
        pipeline = self._pipeline
        features = pipeline.feature_extractor(windows, sampling_rate=SPEECH_RATE, return_tensors="pt").input_features
        ids = pipeline.model.detect_language(input_features=features.to(pipeline.device, pipeline.model.dtype))
        ((token, _),) = Counter(ids.flatten().tolist()).most_common(1)
        return pipeline.tokenizer.convert_ids_to_tokens(token).strip("<|>")


def _import_faster_whisper() -> None:
    try:
        import faster_whisper  # noqa: F401
    except ImportError as error:
        raise ImportError("faster-whisper is not installed; pip install 'surglavi-hf[annotate]'") from error


def _check_gpu(library: str, is_there: bool) -> None:
    if not is_there:
        raise ValueError(f"device 'cuda', but {library} finds no GPU here; leave --device out, or say --device cpu")


def _check_english(model: SpeechModel, language: str | None, translate: bool) -> None:
    """Raises ValueError where a model that hears English alone is asked for something else."""
    if asked := [f"language {language!r}"] * (language not in (None, "en")) + ["to translate"] * translate:
        raise ValueError(
            f"speech model {model.model!r} hears English alone, asked for {' and '.join(asked)}; "
            f"name a model of many languages, such as {DEFAULT_MODELS[model.source]}"
        )


def _identity(model: str, files: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Returns what a model is called, without the folders of this machine; and of a folder what tells its weights."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return model, {}
    there = [folder / name for name in files if (folder / name).is_file()]
    return folder.resolve().name, {"weights": digest_of(*(content_identity(path)["digest"] for path in there))}


def _speech(audio: np.ndarray, **options: float) -> list[tuple[float, float]]:
    """Returns from when to when somebody speaks, in seconds, by Silero's detector."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    spans = get_speech_timestamps(audio, VadOptions(**options))
    return [(span["start"] / SPEECH_RATE, span["end"] / SPEECH_RATE) for span in spans]


def _windows(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Joins speech that lies close together to as much as the model hears at a time."""
    found: list[tuple[float, float]] = []
    for start, end in spans:
        if found and start - found[-1][1] < _APART_S and end - found[-1][0] <= _WINDOW_S:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def _within(spans: list[tuple[float, float]], start: float, end: float) -> tuple[float, float]:
    """Returns the part of a word's time that somebody speaks in; the model lets words last until the next."""
    parts = [(max(start, first), min(end, last)) for first, last in spans if first < end and last > start]
    return max(parts, key=lambda part: part[1] - part[0], default=(start, end))


def _words(pieces: list[tuple[str, float, float, float | None]], num_samples: int) -> tuple[Word, ...]:
    """Returns the words of pieces, within the sound and in order; what is no text is left out, with a warning."""
    last = num_samples / SPEECH_RATE
    kept = []
    for text, start, end, confidence in pieces:
        if "\ufffd" in text:  # half a character
            logger.warning("a piece of what was heard at %.1f s is no text; leaving it out", start)
            continue
        start = min(max(start, 0.0), last)
        kept.append((text, start, min(max(start, end), last), None if confidence is None else min(confidence, 1.0)))
    return tuple(in_order(words_of_pieces(kept), float("inf")))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".,;: ")
