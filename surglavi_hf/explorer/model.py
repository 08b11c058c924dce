# SPDX-License-Identifier: Apache-2.0
"""The model that answers: it embeds typed texts, and the windows of videos second by second; what it said is kept."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F

from ..data import Embeddings
from ..evaluation import VideoEncoder, Windows, embed_texts
from ..evaluation.clip_embeddings import check_same_model
from ..evaluation.frame_source import FrameSource
from ..evaluation.video_store import VideoResult, VideoStore, store_key
from ..evaluation.window_embeddings import embed_windows
from ..files import write_text
from ..media import VideoLibrary, read_frames, read_header
from ..media.frame_store import open_frame_store
from ..media.library import content_identity
from .jobs import Job

if TYPE_CHECKING:
    from .meanings import Meanings

FPS = 1.0  # windows a second
_WINDOWS_A_PART = 128  # what a stop loses at most
_LONGEST_TEXT = 2000
_TEXTS_AT_HAND = 1000
_ABOUT = "model.json"


class TextModel(Protocol):
    name: str

    def text_vector(self, text: str, kind: str) -> "np.ndarray | None": ...


@dataclass(frozen=True)
class LibraryFrames(FrameSource):
    """
    Frames of a video of a library: from its frame store where there is one.

    Args:
        library: Where it is.
        name: The video's.
        times: Of each position, in seconds.
    """

    library: VideoLibrary
    name: str
    times: tuple[float, ...]
    reading = "from the frame store, else from the video"

    def __len__(self) -> int:
        return len(self.times)

    def read(self, positions: Sequence[int]) -> torch.Tensor:
        return read_frames(self.library, self.name, [self.times[position] for position in positions])

    def files(self) -> list[Path]:
        return [self.library.video_path(self.name)]


class AnsweringModel:
    """
    A model, and what it said of videos and texts, kept in a folder: nothing is computed twice, and what was stopped
    goes on. Of a folder alone, without the model, what is kept can be asked for.

    Args:
        folder: Of this model's answers.
        library: Of the videos.
        encoder: None where only what is kept is asked for.
        keeps_texts: Whether texts that are typed are kept.
    """

    def __init__(
        self, folder: Path, library: VideoLibrary | None, encoder: VideoEncoder | None, keeps_texts: bool = True
    ):
        self.library, self.encoder, self.keeps_texts = library, encoder, keeps_texts
        self.windows = Windows()
        self._lock = Lock()
        if encoder is not None:
            self.about = _about(encoder, self.windows)
            self.folder = folder / store_key(self.about["key"])
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / _ABOUT, json.dumps(self.about, indent=2, ensure_ascii=False) + "\n")
        else:
            self.folder = folder
            self.about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        self.name = str(self.about["name"])
        self.logit_scale: float | None = self.about["logit_scale"]
        self._texts = VideoStore(self.folder / "texts", "texts")
        self._known: dict[tuple[str, str], np.ndarray] = {}

    @classmethod
    def kept(cls, folder: Path, library: VideoLibrary | None) -> "AnsweringModel | None":
        """Returns what was kept last of a model in a folder of answers; None where nothing can be read."""
        found = sorted(folder.glob(f"*/{_ABOUT}"), key=lambda path: path.stat().st_mtime)
        for path in reversed(found):
            try:
                return cls(path.parent, library, None)
            except (ValueError, KeyError, OSError):
                continue
        return None

    def check_is_of(self, meanings: "Meanings") -> None:
        """Raises ValueError where embeddings of clips are of another model."""
        if self.encoder is None:
            return
        made_with, described = meanings.made_with, self.encoder.describe()
        if "weights_sha256" not in made_with:  # of a file or the Hub
            nothing = np.empty((0, 1), np.float16)
            known = Embeddings(
                np.empty(0, np.int64), nothing, made_with["name"], made_with["revision"], meanings.source
            )
            check_same_model(known, self.encoder)
            return
        if any(made_with.get(name) != described.get(name) for name in ("weights_sha256", "encoder_sha256")):
            raise ValueError(
                f"{meanings.source} was made with other weights ({made_with.get('name')}); give its model, "
                "or build the index of this one"
            )

    def text_vector(self, text: str, kind: str) -> np.ndarray | None:
        """
        Returns the embedding of a text, `np.float32` of shape `(dimension,)`; None where there is no model and it was
        not kept.

        Args:
            text: Any.
            kind: "caption", cleaned as the model's captions were, or "prompt", as it is.

        Raises:
            ValueError: it is empty or too long, or the model has no texts.
        """
        if not text.strip() or len(text) > _LONGEST_TEXT:
            raise ValueError(f"a text of {len(text):,} characters, expected 1 to {_LONGEST_TEXT:,}")
        if (kind, text) in self._known:
            return self._known[kind, text]
        name = store_key(kind, text)
        result = self._texts.read(name, 1)
        if result is None:
            if self.encoder is None:
                return None
            with self._lock, self.encoder.evaluating():
                if kind == "caption":
                    found = embed_texts(self.encoder, None, [text])
                else:
                    found = self.encoder.embed_texts([text]).float().cpu()
            result = VideoResult({"embeds": found.numpy()}, 0.0)
            if self.keeps_texts:
                self._texts.write(name, {}, result)
        while len(self._known) >= _TEXTS_AT_HAND:
            self._known.pop(next(iter(self._known)))
        self._known[kind, text] = result.arrays["embeds"][0]
        return result.arrays["embeds"][0]

    def class_vectors(self, prompts: Sequence[Sequence[str]]) -> np.ndarray | None:
        """
        Returns an embedding a class, as zero-shot recognition has them, `np.float32` of shape `(num_classes,
        dimension)`; None where one is not known.
        """
        rows = []
        for texts in prompts:
            vectors = [self.text_vector(text, "prompt") for text in texts]
            if any(vector is None for vector in vectors):
                return None
            mean = torch.from_numpy(np.stack(vectors)).mean(dim=0)
            unit = self.encoder is None or self.encoder.unit_texts
            rows.append(F.normalize(mean, dim=0) if unit and len(vectors) > 1 else mean)
        return torch.stack(rows).numpy()

    def times(self, name: str) -> np.ndarray:
        """
        Returns the seconds of a video that have a window.

        Raises:
            FileNotFoundError: it is not on disk.
            VideoDecodeError, ValueError: it cannot be read, or does not say how long it is.
        """
        duration = self._duration(name)
        return np.arange(max(1, math.ceil(duration * FPS - 1e-6))) / FPS

    def _duration(self, name: str) -> float:
        store, video = self.library.frames_path(name), self.library.video_path(name)
        if store.is_file():
            return open_frame_store(store).end
        if not video.is_file():
            raise FileNotFoundError(f"video {name} is not on disk; the model has nothing to look at")
        duration = read_header(str(video)).duration
        if not duration:
            raise ValueError(f"{video.name} does not say how long it is; remux it (ffmpeg -i IN -c copy OUT.mp4)")
        return duration

    def _store(self, name: str) -> VideoStore:
        """The parts of a video as it is now."""
        paths = (self.library.frames_path(name), self.library.video_path(name))
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise FileNotFoundError(f"video {name} is not on disk; the model has nothing to look at")
        key = store_key(name, path.suffix, content_identity(path), FPS)
        return VideoStore(self.folder / "videos" / key, key)

    def known(self, name: str) -> dict[str, np.ndarray] | None:
        """Returns what is kept of all windows of a video by name of array, None where some is missing."""
        store, times = self._store(name), self.times(name)
        parts = []
        for start in range(0, len(times), _WINDOWS_A_PART):
            part = store.read(f"{start:07d}", len(times[start : start + _WINDOWS_A_PART]))
            if part is None:
                return None
            parts.append(part.arrays)
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def watch(self, name: str, job: Job) -> None:
        """
        Embeds the windows of a video that are not kept yet, some at a time.

        Raises:
            InterruptedError: it was stopped; what was done is kept.
            FileNotFoundError, VideoDecodeError, ValueError: it cannot be read.
        """
        store, times = self._store(name), self.times(name)
        frames = LibraryFrames(self.library, name, tuple(times.tolist()))
        for start in range(0, len(times), _WINDOWS_A_PART):
            positions = range(start, min(start + _WINDOWS_A_PART, len(times)))
            if store.read(f"{start:07d}", len(positions)) is None:
                with self.encoder.evaluating():
                    self._watch_part(store, frames, positions, times, job)
            job.share = (positions[-1] + 1) / len(times)

    def _watch_part(
        self, store: VideoStore, frames: LibraryFrames, positions: range, times: np.ndarray, job: Job
    ) -> None:
        more = type(self.encoder).score is not VideoEncoder.score
        windows = self.windows.shown(self.encoder, positions, len(times))
        found: list[Mapping[str, torch.Tensor]] = []
        for embeds in embed_windows(self.encoder, frames, windows, batch_size=8):
            if job.stopped():
                raise InterruptedError
            found.append({key: value for key, value in embeds.items() if more or key == "projected"})
            job.share = (positions[0] + sum(len(next(iter(one.values()))) for one in found)) / len(times)
        arrays = {key: torch.cat([one[key] for one in found]).numpy() for key in found[0]}
        store.write(f"{positions[0]:07d}", {"time": times[list(positions)].tolist()}, VideoResult(arrays, 0.0))

    def score(self, windows: Mapping[str, np.ndarray], texts: np.ndarray) -> np.ndarray:
        """Returns how much windows are like texts, of shape `(num_windows, num_texts)`."""
        if self.encoder is None:
            if not self.about["plain"]:
                raise ValueError(f"{self.name} compares windows with texts itself; start with --model")
            return windows["projected"] @ texts.T
        known = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in windows.items()}
        with self.encoder.evaluating():
            return self.encoder.score(known, torch.from_numpy(texts)).numpy()

    def protocol(self) -> dict[str, Any]:
        """Returns what answers depend on, for people."""
        return dict(self.about["protocol"])


def _about(encoder: VideoEncoder, windows: Windows) -> dict[str, Any]:
    described = encoder.describe()
    seen = {**windows.protocol_of(encoder), **encoder.frame_protocol(), "windows_per_second": FPS}
    return {
        "name": described.get("name") or described.get("encoder"),
        "key": [described, seen],
        "logit_scale": encoder.logit_scale,
        "plain": type(encoder).score is VideoEncoder.score,
        "protocol": {**{key: value for key, value in described.items() if value}, **seen},
    }
