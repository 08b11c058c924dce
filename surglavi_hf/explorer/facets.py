# SPDX-License-Identifier: Apache-2.0
"""Captions and videos chosen by what they are, counted and in order: charts, lists and searches choose alike."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np

from ..data import Level
from .corpus import ADDED, APPROVED, CHANGED, DELETED, FLAGGED, UNKNOWN, Corpus
from .words import WordIndex

_SECONDS = (0, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_WORDS = (0, 5, 10, 15, 20, 30, 50, 100)
_MINUTES = (0, 2, 5, 10, 20, 30, 60, 120)
LEVELS = {level.name.lower(): level for level in reversed(Level)}  # phases first, as they are shown
REVIEWS = ("not reviewed", "flagged", "changed", "approved", "added", "deleted")
_CAPTION_SORTS = ("video", "start", "duration", "words", "caption_id", "level")
_VIDEO_SORTS = ("title", "duration", "captions", "video_id")
_KEPT = 64
_NOT_FACETS = {
    "q",
    "video",
    "like",
    "sort",
    "offset",
    "limit",
    "takedown",
}  # of an address; the last is not always one


@dataclass(frozen=True)
class Facet:
    """
    One way to part captions.

    Args:
        title: What people read.
        values: In the order they are shown.
        codes: Of each caption the place of its value.
        of_videos: Whether it is of videos: all captions of one have the same value.
        many: Whether only the most frequent values are shown at first.
    """

    title: str
    values: tuple[str, ...]
    codes: np.ndarray
    of_videos: bool = False
    many: bool = False


class Facets:
    """
    Chooses among the captions of a corpus.

    Args:
        corpus: Whose.
        words: Its index.
    """

    def __init__(self, corpus: Corpus, words: WordIndex):
        self.corpus, self.words = corpus, words
        self._facets: tuple[Any, dict[str, Facet]] | None = None
        self._kept: OrderedDict[tuple, Any] = OrderedDict()
        self._lock = Lock()
        self._of_videos = _facets_of_videos(corpus)

    def facets(self) -> dict[str, Facet]:
        """Returns all ways to part captions, by the name that addresses have."""
        corpus = self.corpus
        disk = corpus.disk()
        state = (corpus.version, id(disk))
        with self.corpus.lock:
            if self._facets is None or self._facets[0] != state:
                self._facets = state, self._make(disk)
            return self._facets[1]

    def _make(self, disk: np.ndarray) -> dict[str, Facet]:
        corpus = self.corpus
        review = np.select(
            [
                corpus.state & DELETED > 0,
                corpus.state & FLAGGED > 0,
                corpus.state & ADDED > 0,
                corpus.state & APPROVED > 0,
                corpus.state & CHANGED > 0,
            ],
            [5, 1, 4, 3, 2],
            0,
        ).astype(np.int16)
        found = {
            "level": Facet("Level", tuple(LEVELS), (3 - corpus.level).astype(np.int16)),
            "surgical": Facet("Surgical content", ("yes", "no"), (~corpus.surgical).astype(np.int16)),
            "descriptive": Facet("Descriptive", ("yes", "no"), (~corpus.descriptive).astype(np.int16)),
            "length": Facet("Length of clips", _bins(_SECONDS, "s"), _binned(corpus.end - corpus.start, _SECONDS)),
            "words": Facet("Words a caption", _bins(_WORDS, ""), _binned(corpus.words, _WORDS)),
            "disk": _facet_of_texts("On disk", list(disk), corpus.video, corpus.video, first=("video", "frames")),
            "review": Facet("Reviewed", REVIEWS, review),
        }
        if corpus.taken_down.any() or corpus.video_taken_down.any():
            found["takedown"] = Facet("Taken down", ("no", "yes"), corpus.taken_down.astype(np.int16))
        for name, facet in self._of_videos.items():
            found[name] = Facet(facet.title, facet.values, facet.codes[corpus.video], True, facet.many)
        return found

    def _masks(self, query: Mapping[str, Sequence[str]]) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """Returns the captions that each choice leaves, and where words are searched the ranked rows."""
        masks, ranked = {}, None
        facets = self.facets()
        if unknown := [name for name in query if name not in facets and name not in _NOT_FACETS]:
            raise ValueError(f"{unknown[0][:40]!r} is nothing to choose by; expected some of {', '.join(facets)}")
        for name, facet in facets.items():
            if wanted := [value for value in query.get(name, ()) if value]:
                if unknown := [value for value in wanted if value not in facet.values]:
                    raise ValueError(f"{name}={unknown[0][:60]!r}, expected some of {', '.join(facet.values[:12])}")
                masks[name] = np.isin(facet.codes, [facet.values.index(value) for value in wanted])
        if "review" not in masks:  # what was deleted is shown where it is asked for
            masks["review"] = self.corpus.state & DELETED == 0
        if text := " ".join(query.get("q", ())).strip():
            found = self.words.find(text)
            masks["q"] = np.zeros(len(self.corpus), bool)
            masks["q"][found.rows] = True
            ranked = found.rows if found.ranked else None
        if videos := query.get("video"):
            place = self.corpus.place_of_video.get(_whole("video", videos[0]))
            if place is None:
                raise ValueError(f"video={videos[0]!r}, expected the video_id of a video here")
            masks["video"] = self.corpus.video == place
        return masks, ranked

    def overview(self, query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """
        Returns what a choice leaves: `captions`, `videos`, `hours` of clips and of videos, and of each facet how many
        captions have each value among those that all other choices leave, so that a click shows what it would.

        Args:
            query: Of an address: values by facet, `q` (words), `video`.

        Raises:
            ValueError: a value is none of its facet's, or there are no words.
        """
        return self._keep(("overview", _key(query)), lambda: self._overview(query))

    def _overview(self, query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        corpus = self.corpus
        masks, _ = self._masks(query)
        everything = _all(masks, len(corpus))
        shown = []
        for name, facet in self.facets().items():
            mask = _all({other: values for other, values in masks.items() if other != name}, len(corpus))
            counts = np.bincount(facet.codes[mask], minlength=len(facet.values)).tolist()
            shown.append(
                {
                    "name": name,
                    "title": facet.title,
                    "many": facet.many,
                    "values": [
                        {"value": value, "captions": count} for value, count in zip(facet.values, counts, strict=True)
                    ],
                }
            )
        places = np.flatnonzero(np.bincount(corpus.video[everything], minlength=len(corpus.videos)))
        if not any(query.get(name) for name in (*self.facets(), "q", "video")):  # silent ones, too
            places = np.arange(len(corpus.videos))
        durations = corpus.videos.durations[places]
        return {
            "captions": int(np.count_nonzero(everything)),
            "all_captions": int(np.count_nonzero(corpus.state & DELETED == 0)),
            "videos": len(places),
            "all_videos": len(corpus.videos),
            "clip_hours": float((corpus.end - corpus.start)[everything].sum() / 3600),
            "video_hours": float(np.nansum(durations) / 3600),
            "videos_of_unknown_length": int(np.isnan(durations).sum()),
            "videos_on_disk": int(np.isin(corpus.disk()[places], ["video", "frames"]).sum()),
            "facets": shown,
        }

    def captions(self, query: Mapping[str, Sequence[str]]) -> np.ndarray:
        """
        Returns the rows of captions that are chosen, in the order asked for by `sort` (`-` before it turns it round);
        ranked by words where it is not given and words are searched.

        Raises:
            ValueError: as `overview`, or it cannot be sorted so.
        """
        return self._keep(("captions", _key(query)), lambda: self._captions(query))

    def _captions(self, query: Mapping[str, Sequence[str]]) -> np.ndarray:
        corpus = self.corpus
        masks, ranked = self._masks(query)
        mask = _all(masks, len(corpus))
        sort, backwards = _sort(query, ("", *_CAPTION_SORTS))
        if not sort and ranked is not None:
            return ranked[mask[ranked]]
        rows = np.flatnonzero(mask)
        keys: dict[str, np.ndarray] = {
            "start": corpus.start,
            "duration": corpus.end - corpus.start,
            "words": corpus.words,
            "caption_id": corpus.caption_id,
            "level": -corpus.level.astype(np.int16),
        }
        if sort in ("", "video"):
            order = np.lexsort(
                (-corpus.level[rows], corpus.start[rows], corpus.video[rows] * (-1 if backwards else 1))
            )
        else:
            key = keys[sort][rows]
            order = np.argsort(-key if backwards else key, kind="stable")
        return rows[order]

    def videos(self, query: Mapping[str, Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """
        Returns the places of the videos that have captions of the choice, in the order asked for, and how many. Where
        nothing is chosen but facets of videos, silent videos are among them.

        Raises:
            ValueError: as `captions`.
        """
        return self._keep(("videos", _key(query)), lambda: self._videos(query))

    def _videos(self, query: Mapping[str, Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        corpus = self.corpus
        masks, _ = self._masks(query)
        counts = np.bincount(corpus.video[_all(masks, len(corpus))], minlength=len(corpus.videos))
        of_videos = {"disk", *self._of_videos}
        chosen = counts > 0
        if not any(query.get(name) for name in (*self.facets(), "q", "video") if name not in of_videos):
            chosen = np.ones(len(corpus.videos), bool)
            for name in of_videos:
                if wanted := query.get(name):
                    values = (
                        corpus.disk()
                        if name == "disk"
                        else np.array(self._of_videos[name].values, object)[self._of_videos[name].codes]
                    )
                    chosen &= np.isin(values.astype(str), list(wanted))
        places = np.flatnonzero(chosen)
        sort, backwards = _sort(query, ("", *_VIDEO_SORTS))
        if sort in ("", "video_id"):
            order = np.arange(len(places))
        elif sort == "title":
            titles = [corpus.videos.titles[place].casefold() for place in places.tolist()]
            order = np.array(sorted(range(len(titles)), key=titles.__getitem__), np.int64)
        else:
            key = np.nan_to_num(corpus.videos.durations, nan=-1.0) if sort == "duration" else counts
            order = np.argsort(key[places], kind="stable")
        return places[order[::-1] if backwards else order], counts

    def _keep(self, key: tuple, make: Any) -> Any:
        key = (*key, self.corpus.version, id(self.corpus.disk()))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self.corpus.lock:  # columns are of one length
            found = make()
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found


def _facets_of_videos(corpus: Corpus) -> dict[str, Facet]:
    every = np.arange(len(corpus.videos))
    minutes = np.nan_to_num(corpus.videos.durations / 60, nan=-1)
    codes = np.where(minutes < 0, len(_MINUTES), _binned(minutes, _MINUTES)).astype(np.int16)
    found = {"video_length": Facet("Length of videos", (*_bins(_MINUTES, "min"), UNKNOWN), codes, True)}
    titles = {"specialty": "Specialty", "procedure_type": "Procedure", "procedure_modality": "Modality"}
    for name, title in titles.items():
        values = corpus.videos.about[name]
        if any(values):
            found[name] = _facet_of_texts(title, [value or UNKNOWN for value in values], every, corpus.video)
    return found


def _facet_of_texts(
    title: str, texts: Sequence[str], rows: np.ndarray, video: np.ndarray, first: tuple[str, ...] = ()
) -> Facet:
    """Of a text a video; those of most captions first. `rows` are the places of videos that it is wanted of."""
    captions = np.bincount(video, minlength=len(texts)).tolist()
    texts = [str(text) for text in texts]
    counted: dict[str, int] = dict.fromkeys(first, 0)
    for text, number in zip(texts, captions, strict=True):
        counted[text] = counted.get(text, 0) + number
    rest = sorted(
        (text for text in counted if text not in first), key=lambda text: (text == UNKNOWN, -counted[text], text)
    )
    values = (*first, *rest)
    place = {value: at for at, value in enumerate(values)}
    codes = np.array([place[text] for text in texts], np.int32)
    return Facet(title, values, codes[rows] if len(codes) else codes, True, len(values) > 8)


def _bins(edges: Sequence[int], unit: str) -> tuple[str, ...]:
    names = [f"{low}–{high}" for low, high in pairwise(edges)]
    return tuple(f"{name} {unit}".strip() for name in (*names, f"over {edges[-1]}"))


def _binned(values: np.ndarray, edges: Sequence[int]) -> np.ndarray:
    return (np.searchsorted(edges[1:], values, side="left")).astype(np.int16)


def _all(masks: Mapping[str, np.ndarray], length: int) -> np.ndarray:
    found = np.ones(length, bool)
    for mask in masks.values():
        found &= mask
    return found


def _sort(query: Mapping[str, Sequence[str]], known: Sequence[str]) -> tuple[str, bool]:
    asked = (query.get("sort") or [""])[0]
    name = asked.removeprefix("-")
    if name not in known:
        raise ValueError(f"sort={asked[:40]!r}, expected one of {', '.join(filter(None, known))}")
    return name, asked.startswith("-")


def _key(query: Mapping[str, Sequence[str]]) -> tuple:
    return tuple((name, tuple(values)) for name, values in sorted(query.items()) if name not in ("offset", "limit"))


def _whole(name: str, text: str) -> int:
    if not text.removeprefix("-").isdecimal() or len(text) > 18:
        raise ValueError(f"{name}={text[:40]!r}, expected a whole number")
    return int(text)
