# SPDX-License-Identifier: Apache-2.0
"""What a model says of a video, beside what its captions say: a ribbon of classes, and a curve of likeness."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import Level
from .corpus import DELETED, Corpus
from .jobs import Job, Jobs
from .meanings import Meanings, Query

if TYPE_CHECKING:
    from .model import AnsweringModel

_MOST_CLASSES, _LONGEST_LINE = 60, 2000


class NotComputedError(Exception):
    """The model has not looked at the whole video yet."""


@dataclass(frozen=True)
class Scored:
    """
    Args:
        times: The seconds that each score begins at; it lasts one.
        scores: Of shape `(num_times, num_texts)`, NaN where nothing is known.
        source: "windows" of the model, or "clips" whose embeddings are known.
        how: What texts stand for.
        scale: The model's own, of scores; None where it says none, or there is no text of a model.
    """

    times: np.ndarray
    scores: np.ndarray
    source: str
    how: str
    scale: float | None = None

    @property
    def ends(self) -> np.ndarray:
        return self.times + 1.0


class Answers:
    """
    Answers about the videos of a corpus.

    Args:
        corpus: Of the videos.
        jobs: Where the model watches videos.
        model: None where there is none, nor anything kept of one.
        meanings: Embeddings of clips, if there are.
    """

    def __init__(self, corpus: Corpus, jobs: Jobs, model: "AnsweringModel | None", meanings: Meanings | None):
        self.corpus, self.jobs, self.model, self.meanings = corpus, jobs, model, meanings

    def state(self, place: int) -> dict[str, Any]:
        """Returns what can be asked about a video: `windows` ("known", "computable", "none"), `clips`, the `job`."""
        corpus, name = self.corpus, self.corpus.videos.names[place]
        windows = "none"
        if self.model is not None and corpus.library is not None and not corpus.video_taken_down[place]:
            try:
                known = self.model.known(name) is not None
                windows = "known" if known else "computable" if self.model.encoder is not None else "none"
            except (OSError, ValueError):
                windows = "none"
        rows = corpus.rows_of_video(place)
        clips = 0 if self.meanings is None else int(np.count_nonzero(self.meanings.places()[rows] >= 0))
        job = self.jobs.get(place)
        return {
            "windows": windows,
            "clips": clips,
            "job": job.as_json() if job else None,
            "model": self.model.name if self.model else None,
            "can_embed_text": self.model is not None and self.model.encoder is not None,
        }

    def watch(self, place: int) -> Job:
        """
        Has the model look at a whole video, in the background.

        Raises:
            ValueError: there is no model, or the video was taken down.
        """
        if self.model is None or self.model.encoder is None:
            raise ValueError("there is no model here; start surglavi explore with --model")
        if self.corpus.video_taken_down[place]:
            raise ValueError("this video was taken down")
        name, model = self.corpus.videos.names[place], self.model
        return self.jobs.start(place, lambda job: model.watch(name, job))

    def ribbon(self, place: int, prompts: str, level: Level = Level.PHASE, smoothing: float = 0.0) -> dict[str, Any]:
        """
        Returns the class of every second of a video by prompts, beside the captions of a level.

        Args:
            place: Of the video.
            prompts: A line a class, `name: a sentence | another`, or the sentence alone; empty for the captions of
                the level, each a class.
            level: Of the captions that are labels.
            smoothing: Seconds that scores are averaged over, as `surglavi predict --smoothing`.

        Raises:
            ValueError: there are less than two classes or too many, or nothing is known of the video.
            NotComputedError: the model has not looked at it yet.
        """
        labels = self._labels(place, level)
        names, texts = parse_prompts(prompts, list(dict.fromkeys(text for *_, text in labels)))
        scored = self._scored(place, texts, "prompt")
        scores = _smoothed(scored, smoothing)
        known = ~np.isnan(scores).any(axis=1)
        chosen = np.where(known, np.nan_to_num(scores, nan=-9.0).argmax(axis=1), -1)
        confidence = _confidence(scores, chosen, scored.scale)
        folded = {name.casefold(): at for at, name in enumerate(names)}
        folded |= {text.casefold(): at for at, of_class in enumerate(texts) for text in of_class}
        spans = [(start, end, folded.get(text.casefold(), -1)) for start, end, text in labels]
        middle = scored.times + 0.5
        truth = np.full(len(middle), -1)
        for start, end, at in reversed(spans):  # where labels overlap the first counts
            truth[(middle >= start) & (middle < end)] = at
        both = (truth >= 0) & (chosen >= 0)
        segments = [
            {
                "start": float(scored.times[first]),
                "end": float(scored.ends[last - 1]),
                "class": int(chosen[first]),
                "score": _mean(np.take_along_axis(scores[first:last], chosen[first:last, None], 1)),
                "confidence": None if confidence is None else _mean(confidence[first:last]),
            }
            for first, last in _runs(chosen)
            if chosen[first] >= 0
        ]
        return {
            "classes": [
                {"name": name, "prompts": list(of_class)} for name, of_class in zip(names, texts, strict=True)
            ],
            "segments": segments,
            "labels": [{"start": start, "end": end, "class": at} for start, end, at in spans if at >= 0],
            "level": level.name.lower(),
            "disagreements": [
                {"start": float(scored.times[first]), "end": float(scored.ends[last - 1])}
                for first, last in _runs(np.where(both & (truth != chosen), 1, 0))
                if both[first] and truth[first] != chosen[first]
            ],
            "times": [round(float(time), 2) for time in scored.times],
            "confidence": None
            if confidence is None
            else [round(float(value), 4) for value in np.nan_to_num(confidence)],
            "metrics": _metrics(truth[both], chosen[both], scores[both], names),
            "source": scored.source,
            "protocol": self._protocol(scored, smoothing, level),
        }

    def curve(self, place: int, text: str = "", caption_id: int | None = None) -> dict[str, Any]:
        """
        Returns how much each second of a video is like a sentence, or like the clip of a caption.

        Raises:
            ValueError: nothing is known of the video, or the clip has no embedding.
            NotComputedError: the model has not looked at it yet.
        """
        if caption_id is not None:
            row = self.corpus.row_of.get(caption_id)
            if row is None or self.meanings is None:
                raise ValueError(f"caption {caption_id} has no embedding here; start with --index")
            query = self.meanings.query_of_clip(row)
            scored = self._of_clips(place, [query], query.how)
        else:
            scored = self._scored(place, [(text,)], "caption")
        values = scored.scores[:, 0]
        return {
            "times": [round(float(time), 2) for time in scored.times],
            "values": [None if np.isnan(value) else round(float(value), 4) for value in values],
            "source": scored.source,
            "protocol": self._protocol(scored, 0.0, None),
        }

    def _labels(self, place: int, level: Level) -> list[tuple[float, float, str]]:
        corpus = self.corpus
        rows = corpus.rows_of_video(place)
        rows = rows[(corpus.level[rows] == level) & (corpus.state[rows] & DELETED == 0)]
        return [(float(corpus.start[row]), float(corpus.end[row]), corpus.text(row).strip()) for row in rows.tolist()]

    def _scored(self, place: int, texts: Sequence[Sequence[str]], kind: str) -> Scored:
        name, clips = self.corpus.videos.names[place], None
        if self.corpus.video_taken_down[place]:
            raise ValueError("this video was taken down")
        windows, vectors = None, None
        if self.model is not None and self.corpus.library is not None:
            if kind == "caption":
                found = self.model.text_vector(texts[0][0], kind)
                vectors = None if found is None else found[None]
            else:
                vectors = self.model.class_vectors(texts)
            try:
                windows = self.model.known(name)
            except (OSError, ValueError) as error:
                clips = error
        if windows is not None and vectors is not None:
            scores = self.model.score(windows, vectors)
            how, scale = f"by the model {self.model.name}", self.model.logit_scale
            return Scored(self.model.times(name), scores, "windows", how, scale)
        if self.meanings is not None:
            queries = []
            for of_class, vector in zip(texts, [None] * len(texts) if vectors is None else vectors, strict=True):
                if vector is not None:
                    queries.append(Query(np.asarray(vector, np.float32), f"by the model {self.model.name}", True))
                else:
                    queries.append(self.meanings.query_of_text(" ".join(of_class), None, without_video=place))
            return self._of_clips(place, queries, queries[0].how)
        if self.model is not None and self.model.encoder is not None and clips is None:
            raise NotComputedError("the model has not looked at this video yet")
        if clips is not None:
            raise ValueError(str(clips))
        raise ValueError("no model and no embeddings here; start surglavi explore with --model or --index")

    def _of_clips(self, place: int, queries: Sequence[Any], how: str) -> Scored:
        """Of the shortest clip that covers the middle of each second."""
        corpus = self.corpus
        rows = corpus.rows_of_video(place)
        rows = rows[(self.meanings.places()[rows] >= 0) & (corpus.state[rows] & DELETED == 0)]
        if not len(rows):
            raise ValueError(f"no clip of this video has an embedding in {self.meanings.source}")
        scores = np.stack([self.meanings.scores(query, rows) for query in queries], axis=1)
        start, end = corpus.start[rows], corpus.end[rows]
        times = np.arange(np.ceil(end.max()))
        of_second = np.full(len(times), -1)
        for at in np.argsort(-(end - start), kind="stable").tolist():  # shorter ones over longer ones
            first, last = np.searchsorted(times + 0.5, [start[at], end[at]])
            of_second[first:last] = at
        values = np.where(of_second[:, None] >= 0, scores[of_second], np.nan)
        texts = all(query.is_text for query in queries)
        return Scored(times, values, "clips", how, self.model.logit_scale if texts and self.model else None)

    def _protocol(self, scored: Scored, smoothing: float, level: Level | None) -> dict[str, Any]:
        found: dict[str, Any] = {"texts": scored.how}
        if scored.source == "clips":
            found["seen"] = "the embedding of the shortest clip over each second"
            found["embeddings"] = f"{self.meanings.source} ({self.meanings.made_with.get('name')})"
        elif self.model is not None:
            found |= self.model.protocol()
        if level is not None:
            found["labels"] = f"captions of level {level.name.lower()}; where two overlap the first"
            found["smoothing"] = f"mean over {smoothing:g} s" if smoothing else "none"
            found["confidence"] = "none" if scored.scale is None else f"softmax of scores times {scored.scale:.4g}"
        return found


def parse_prompts(text: str, labels: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]]]:
    """
    Returns names and texts of the classes that lines of a page say.

    Args:
        text: A line a class; empty for the labels themselves.
        labels: What the video's captions say.

    Raises:
        ValueError: there are less than two, too many, or a line is too long.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()] or list(labels)
    if any(len(line) > _LONGEST_LINE for line in lines):
        raise ValueError(f"a prompt is longer than {_LONGEST_LINE:,} characters")
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        name, colon, sentences = line.partition(":")
        if line in labels or not colon or not sentences.strip() or not name.strip() or len(name) > 60:
            name, sentences = line, line
        texts = [line] if name == line else [part.strip() for part in sentences.split("|") if part.strip()]
        found[name.strip()] = tuple(texts)
    if not 2 <= len(found) <= _MOST_CLASSES:
        raise ValueError(f"{len(found)} classes, expected 2 to {_MOST_CLASSES}; write a sentence a line")
    return list(found), list(found.values())


def _smoothed(scored: Scored, smoothing: float) -> np.ndarray:
    if not 0 <= smoothing <= 600:
        raise ValueError(f"smoothing={smoothing}, expected 0 to 600 s")
    window = 2 * int(smoothing / 2) + 1
    if window == 1 or np.isnan(scored.scores).any():  # where clips leave gaps there is nothing to average
        return scored.scores.astype(np.float64)
    half = window // 2
    padded = np.pad(scored.scores.astype(np.float64), ((half, half), (0, 0)), mode="edge")
    total = np.cumsum(np.pad(padded, ((1, 0), (0, 0))), axis=0)
    return (total[window:] - total[:-window]) / window


def _confidence(scores: np.ndarray, chosen: np.ndarray, scale: float | None) -> np.ndarray | None:
    if scale is None:
        return None
    scores = np.where(chosen[:, None] >= 0, scores, 0.0)  # of what is not known nothing is said
    logits = scale * (scores - scores.max(axis=1, keepdims=True))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.where(chosen >= 0, np.take_along_axis(probabilities, np.maximum(chosen, 0)[:, None], 1)[:, 0], np.nan)


def _metrics(
    truth: np.ndarray, chosen: np.ndarray, scores: np.ndarray, names: Sequence[str]
) -> dict[str, float] | None:
    """Of the seconds that have a label; None where no label is one of the classes."""
    if not len(truth):
        return None
    found: dict[str, float] = {"labelled_seconds": len(truth), "accuracy": float((truth == chosen).mean())}
    try:
        from ..evaluation.measures import MeasureOptions, measure_frames
    except ImportError:  # where there is no PyTorch
        return found
    measured, _, _ = measure_frames("single_label", names, ["video"], [truth], [scores], MeasureOptions())
    shown = {
        "macro_f1": "macro_f1_all_frames",
        "edit": "edit_video_mean",
        "segment_f1_at_50": "segment_f1_at_50_all_frames",
    }
    return found | {name: float(measured[full]) for name, full in shown.items() if measured.get(full) is not None}


def _runs(values: np.ndarray) -> list[tuple[int, int]]:
    if not len(values):
        return []
    borders = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return list(pairwise(borders))


def _mean(values: np.ndarray) -> float:
    return round(float(np.nanmean(values)), 4)
