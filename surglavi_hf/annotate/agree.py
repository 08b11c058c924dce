# SPDX-License-Identifier: Apache-2.0
"""How far two annotations of the same videos agree: boundaries, segments, flags, captions."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..data import Level, find_database, video_identities
from ..data.database import State, open_database, read_captions, read_levels, read_texts, read_videos

TOLERANCES = (1.0, 2.0, 5.0)  # s
OVERLAPS = (0.1, 0.25, 0.5)  # intersection over union
MATCHED_AT = 0.5  # what is compared of segments is compared of those that overlap so far
FLAGS = {"is_surgical_content": State.SURGICAL, "is_descriptive": State.DESCRIPTIVE}
_MOST_SEGMENTS = 5_000  # of a level of a video; an hour of tasks of a second has 3,600


@dataclass(frozen=True)
class Segment:
    """
    Args:
        start, end: In seconds.
        text: The caption, or the narration where there is none.
        flags: Of [`FLAGS`], in their order; NULL counts as 0.
    """

    start: float
    end: float
    text: str
    flags: tuple[bool, ...]


@dataclass(frozen=True)
class Found:
    """
    How much of two sets was found in each other, one to one.

    Args:
        matched: Pairs.
        a, b: Sizes.
    """

    matched: int = 0
    a: int = 0
    b: int = 0

    @property
    def precision(self) -> float | None:
        """Share of B that is in A; None where B is empty."""
        return self.matched / self.b if self.b else None

    @property
    def recall(self) -> float | None:
        """Share of A that is in B; None where A is empty."""
        return self.matched / self.a if self.a else None

    @property
    def f1(self) -> float | None:
        """None where both are empty."""
        return 2 * self.matched / (self.a + self.b) if self.a + self.b else None

    def __add__(self, other: "Found") -> "Found":
        return Found(self.matched + other.matched, self.a + other.a, self.b + other.b)

    def to_dict(self) -> dict[str, Any]:
        measures = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return measures | {"matched": self.matched, "a": self.a, "b": self.b}


@dataclass(frozen=True)
class FlagTable:
    """
    A flag of matched segments: how many have it in both, in one, in neither.

    Args:
        both, only_a, only_b, neither: Numbers of segments.
    """

    both: int = 0
    only_a: int = 0
    only_b: int = 0
    neither: int = 0

    @property
    def total(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def raw_agreement(self) -> float | None:
        """Share that has the same in both; None where there are none."""
        return (self.both + self.neither) / self.total if self.total else None

    @property
    def kappa(self) -> float | None:
        """Cohen's; None where it is not defined: no segments, or all of them have one and the same value in both."""
        if self.total in (0, self.both, self.neither):
            return None
        in_a, in_b = (self.both + self.only_a) / self.total, (self.both + self.only_b) / self.total
        by_chance = in_a * in_b + (1 - in_a) * (1 - in_b)
        return ((self.both + self.neither) / self.total - by_chance) / (1 - by_chance)

    def __add__(self, other: "FlagTable") -> "FlagTable":
        return FlagTable(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def to_dict(self) -> dict[str, Any]:
        counts = {one.name: getattr(self, one.name) for one in fields(self)}
        return {"kappa": self.kappa, "raw_agreement": self.raw_agreement} | counts


@dataclass(frozen=True)
class LevelAgreement:
    """
    Agreement on one level, of a video or of all.

    Args:
        boundaries: Starts and ends, by tolerance in seconds.
        segments: By intersection over union.
        flags: Of matched segments, by name.
        texts: Matched segments with words in both captions.
        equal: Of these with the same caption.
        rouge_l: Sum of the F1 of ROUGE-L over them.
    """

    boundaries: dict[float, Found] = field(default_factory=lambda: dict.fromkeys(TOLERANCES, Found()))
    segments: dict[float, Found] = field(default_factory=lambda: dict.fromkeys(OVERLAPS, Found()))
    flags: dict[str, FlagTable] = field(default_factory=lambda: dict.fromkeys(FLAGS, FlagTable()))
    texts: int = 0
    equal: int = 0
    rouge_l: float = 0.0

    @property
    def mean_rouge_l(self) -> float | None:
        return self.rouge_l / self.texts if self.texts else None

    @property
    def equal_share(self) -> float | None:
        return self.equal / self.texts if self.texts else None

    def __add__(self, other: "LevelAgreement") -> "LevelAgreement":
        return LevelAgreement(
            {tolerance: found + other.boundaries[tolerance] for tolerance, found in self.boundaries.items()},
            {overlap: found + other.segments[overlap] for overlap, found in self.segments.items()},
            {name: table + other.flags[name] for name, table in self.flags.items()},
            self.texts + other.texts,
            self.equal + other.equal,
            self.rouge_l + other.rouge_l,
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "boundaries": {f"{tolerance:g} s": found.to_dict() for tolerance, found in self.boundaries.items()},
            "segments": {f"IoU {overlap:g}": found.to_dict() for overlap, found in self.segments.items()},
            "flags": {name: table.to_dict() for name, table in self.flags.items()},
            "captions": {"compared": self.texts, "rouge_l": self.mean_rouge_l, "equal": self.equal_share},
        }


@dataclass(frozen=True)
class Agreement:
    """
    The outcome of [`compare_annotations`].

    Args:
        a, b: The databases.
        videos: Agreement by level of each video of both that has captions in one, by its name in A.
        silent: Videos of both without captions.
        only_a, only_b: Names of videos of one alone, of those with captions.
        left_out_a, left_out_b: Captions without a known level or video, or whose times are none.
    """

    a: Path
    b: Path
    videos: dict[str, dict[Level, LevelAgreement]]
    silent: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    left_out_a: int
    left_out_b: int

    @property
    def levels(self) -> dict[Level, LevelAgreement]:
        """Agreement by level over all videos of both, each segment as one (micro)."""
        return {level: sum((one[level] for one in self.videos.values()), LevelAgreement()) for level in Level}

    def to_dict(self) -> dict[str, Any]:
        """Returns all figures as JSON; those that are not defined are None."""
        return {
            "a": str(self.a),
            "b": str(self.b),
            "videos": {
                "both": len(self.videos) + self.silent,
                "both_silent": self.silent,
                "only_a": list(self.only_a),
                "only_b": list(self.only_b),
            },
            "captions_left_out": {"a": self.left_out_a, "b": self.left_out_b},
            "levels": _by_name(self.levels),
            "by_video": {name: _by_name(levels) for name, levels in self.videos.items()},
        }

    def tables(self) -> Iterator[tuple[str, list[str], list[list[str]]]]:
        """Yields the tables that people read: title, header, rows."""
        levels = {level.name.lower(): one for level, one in sorted(self.levels.items(), reverse=True)}
        yield (
            "videos",
            ["", "A", "B"],
            [
                ["in both, with captions in one or both", *[f"{len(self.videos):,}"] * 2],
                ["in both, without captions", *[f"{self.silent:,}"] * 2],
                ["in one alone, with captions", f"{len(self.only_a):,}", f"{len(self.only_b):,}"],
                ["captions left out", f"{self.left_out_a:,}", f"{self.left_out_b:,}"],
            ],
        )
        of_found = ["matched", "in A", "in B", "precision", "recall", "F1"]
        yield (
            "boundaries: starts and ends",
            ["level", "within", *of_found],
            [
                [name, f"{tolerance:g} s", *_row(found)]
                for name, one in levels.items()
                for tolerance, found in one.boundaries.items()
            ],
        )
        yield (
            "segments",
            ["level", "IoU", *of_found],
            [
                [name, f"{overlap:g}", *_row(found)]
                for name, one in levels.items()
                for overlap, found in one.segments.items()
            ],
        )
        yield (
            f"flags of segments matched at IoU {MATCHED_AT:g}",
            ["level", "flag", "both", "only A", "only B", "neither", "agree", "kappa"],
            [
                [
                    *(name, flag, f"{table.both:,}", f"{table.only_a:,}", f"{table.only_b:,}", f"{table.neither:,}"),
                    *map(_figure, (table.raw_agreement, table.kappa)),
                ]
                for name, one in levels.items()
                for flag, table in one.flags.items()
            ],
        )
        yield (
            f"captions of segments matched at IoU {MATCHED_AT:g}",
            ["level", "compared", "ROUGE-L", "equal"],
            [
                [name, f"{one.texts:,}", _figure(one.mean_rouge_l), _figure(one.equal_share)]
                for name, one in levels.items()
            ],
        )


def compare_annotations(a: str | os.PathLike, b: str | os.PathLike) -> Agreement:
    """
    Compares two annotations of the same videos. A is what B is held against: precision is the share of B that is in
    A, recall that of A in B.

    Videos are the same where their YouTube ids or addresses are, or else their names. In each video and level,
    starts are matched with starts and ends with ends that lie within a tolerance; segments with segments that overlap
    enough (as the segmental F1 of Lea et al. 2017, without classes). A match is one to one and in the order of time,
    as many pairs as there can be; among as many, those that overlap most. Flags and captions are compared of the
    segments matched at an intersection over union of 0.5. Captions are compared by ROUGE-L, the F1 of the longest
    common subsequence of their words in lower case.

    Args:
        a, b: Databases, or the folders that hold them.

    Raises:
        FileNotFoundError, OSError, ValueError: one cannot be read, as [`open_database`]; they have no video in
            common; or a level of a video has more than 5,000 captions.
    """
    first, second = _Annotation(a), _Annotation(b)
    pairs = _same_videos(first, second)
    if not pairs:
        raise ValueError(
            f"{first.database} and {second.database} have no video in common, by YouTube id, address or name"
        )
    videos, silent = {}, 0
    progress = tqdm(pairs.items(), desc="compare", unit="video", dynamic_ncols=True, delay=2)
    for one, other in progress:
        levels = {level: (first.segments(one, level), second.segments(other, level)) for level in Level}
        if not any(segments for pair in levels.values() for segments in pair):
            silent += 1
            continue
        name = first.names[one] if first.names[one] not in videos else one
        videos[name] = {level: compare_segments(*pair) for level, pair in levels.items()}
    return Agreement(
        *(first.database, second.database, videos, silent),
        *(first.without({*pairs}), second.without({*pairs.values()}), first.left_out, second.left_out),
    )


def compare_segments(a: Sequence[Segment], b: Sequence[Segment]) -> LevelAgreement:
    """Returns how far two lists of segments of a level of a video agree, both in the order of starts and ends."""
    sizes = len(a), len(b)
    boundaries = {}
    for tolerance in TOLERANCES:
        near = [_matches_within(_times(a, edge), _times(b, edge), tolerance) for edge in ("start", "end")]
        boundaries[tolerance] = Found(sum(near), 2 * sizes[0], 2 * sizes[1])
    overlaps = _overlaps(a, b)
    segments = {least: Found(len(_best_in_order(overlaps, least)), *sizes) for least in OVERLAPS}
    matched = [(a[i], b[j]) for i, j in _best_in_order(overlaps, MATCHED_AT)]
    flags = {name: _flag_table(matched, place) for place, name in enumerate(FLAGS)}
    texts = [(one.text, other.text) for one, other in matched if one.text.split() and other.text.split()]
    equal = sum(one.split() == other.split() for one, other in texts)
    return LevelAgreement(boundaries, segments, flags, len(texts), equal, sum(rouge_l(*pair) for pair in texts))


def rouge_l(a: str, b: str) -> float:
    """Returns the F1 of the longest common subsequence of words in lower case; 0 where neither has words."""
    words, others = a.lower().split(), b.lower().split()
    if not words or not others:
        return 0.0
    masks: dict[str, int] = {}
    for place, word in enumerate(words):
        masks[word] = masks.get(word, 0) | 1 << place
    full = state = (1 << len(words)) - 1
    for word in others:  # all of a row of the table at once, a bit a word (Hyyrö 2004)
        same = state & masks.get(word, 0)
        state = ((state + same) | (state - same)) & full
    longest = len(words) - state.bit_count()
    return 2 * longest / (len(words) + len(others))


class _Annotation:
    """The captions of a database, by the identity of their video and by level."""

    def __init__(self, path: str | os.PathLike):
        self.database = find_database(path)
        self.names: dict[str, str] = {}
        self._segments: dict[tuple[str, Level], list[Segment]] = {}
        with open_database(self.database) as connection:
            levels, videos, captions = read_levels(connection), read_videos(connection), read_captions(connection)
            identity_of = dict(zip(videos["video_id"].to_pylist(), video_identities(videos).to_pylist(), strict=True))
            for identity, name in zip(identity_of.values(), videos["name"].to_pylist(), strict=True):
                self.names.setdefault(identity, name or identity)
            start, end = (
                captions[name].to_numpy(zero_copy_only=False).astype(float) for name in ("start_time", "end_time")
            )
            keep = np.isfinite(start) & np.isfinite(end) & (start >= 0) & (start < end)
            rows = zip(captions["video_id"].to_pylist(), captions["level_id"].to_pylist(), strict=True)
            keep &= np.array([video in identity_of and level in levels for video, level in rows], bool)
            self.left_out = int((~keep).sum())
            kept = captions.filter(keep).to_pylist()
            texts = (pair for parts in read_texts(connection, keep) for pair in zip(*parts, strict=True))
            for row, (caption, narration) in zip(kept, texts, strict=True):
                text = caption.as_py() if caption.is_valid else narration.as_py()
                flags = tuple(bool(row["state"] & flag) for flag in FLAGS.values())
                segment = Segment(row["start_time"], row["end_time"], text or "", flags)
                key = identity_of[row["video_id"]], levels[row["level_id"]]
                self._segments.setdefault(key, []).append(segment)
        for (identity, level), segments in self._segments.items():
            segments.sort(key=lambda segment: (segment.start, segment.end))
            if len(segments) > _MOST_SEGMENTS:
                raise ValueError(
                    f"{self.database} has {len(segments):,} captions of level {level.name.lower()} of video "
                    f"{self.names[identity]}, expected at most {_MOST_SEGMENTS:,}"
                )

    def segments(self, identity: str, level: Level) -> list[Segment]:
        return self._segments.get((identity, level), [])

    def without(self, identities: set[str]) -> tuple[str, ...]:
        """Returns the names of other videos with captions."""
        narrated = dict.fromkeys(identity for identity, _ in self._segments if identity not in identities)
        return tuple(sorted(self.names[identity] for identity in narrated))


def _same_videos(a: _Annotation, b: _Annotation) -> dict[str, str]:
    """Returns the identity in B of the videos of A that B has."""
    pairs = {identity: identity for identity in a.names if identity and identity in b.names}
    taken = {*pairs.values()}
    left = [
        {identity: name for identity, name in one.names.items() if identity not in known}
        for one, known in ((a, pairs), (b, taken))
    ]
    counts = [Counter(names.values()) for names in left]
    of_name = {name: identity for identity, name in left[1].items()}
    for identity, name in left[0].items():
        if name and counts[0][name] == counts[1][name] == 1:
            pairs[identity] = of_name[name]
    return pairs


def _times(segments: Sequence[Segment], edge: str) -> list[float]:
    return sorted(getattr(segment, edge) for segment in segments)


def _matches_within(a: Sequence[float], b: Sequence[float], tolerance: float) -> int:
    """Returns how many pairs there can be at most of times in order that differ by no more than a tolerance."""
    i = j = matched = 0
    while i < len(a) and j < len(b):
        if abs(a[i] - b[j]) <= tolerance:
            i, j, matched = i + 1, j + 1, matched + 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return matched


def _overlaps(a: Sequence[Segment], b: Sequence[Segment]) -> list[tuple[int, int, float]]:
    """Returns the pairs of segments that overlap enough to count, with their intersection over union."""
    if not a or not b:
        return []
    starts, ends = (np.array([getattr(segment, edge) for segment in b]) for edge in ("start", "end"))
    found = []
    for i, segment in enumerate(a):
        shared = np.minimum(segment.end, ends) - np.maximum(segment.start, starts)
        union = np.maximum(segment.end, ends) - np.minimum(segment.start, starts)
        found += [(i, int(j), float(shared[j] / union[j])) for j in np.flatnonzero(shared >= OVERLAPS[0] * union)]
    return found


def _best_in_order(overlaps: Sequence[tuple[int, int, float]], least: float) -> list[tuple[int, int]]:
    """
    Returns the most pairs whose members both ascend, of those the pairs that overlap most in sum.

    Args:
        overlaps: Pairs and how far they overlap, from 0 to 1.
        least: What a pair has to overlap.
    """
    edges = sorted((edge for edge in overlaps if edge[2] >= least), key=lambda edge: (edge[0], -edge[1]))
    size = 1 + max((j for _, j, _ in edges), default=0)
    best: list[tuple[int, float, int]] = [(0, 0.0, -1)] * (
        size + 1
    )  # of chains that end before a place: a Fenwick tree
    before = []
    for number, (_, j, overlap) in enumerate(edges):
        chain, place = (0, 0.0, -1), j
        while place > 0:
            chain = max(chain, best[place])
            place -= place & -place
        before.append(chain[2])
        longer, place = (chain[0] + 1, chain[1] + overlap, number), j + 1
        while place <= size:
            best[place] = max(best[place], longer)
            place += place & -place
    chain, place = (0, 0.0, -1), size
    while place > 0:
        chain = max(chain, best[place])
        place -= place & -place
    pairs, number = [], chain[2]
    while number >= 0:
        pairs.append(edges[number][:2])
        number = before[number]
    return pairs[::-1]


def _flag_table(matched: Sequence[tuple[Segment, Segment]], place: int) -> FlagTable:
    counts = Counter((one.flags[place], other.flags[place]) for one, other in matched)
    return FlagTable(*(counts[pair] for pair in ((True, True), (True, False), (False, True), (False, False))))


def _by_name(levels: Mapping[Level, LevelAgreement]) -> dict[str, Any]:
    return {level.name.lower(): one.to_dict() for level, one in sorted(levels.items(), reverse=True)}


def _row(found: Found) -> list[str]:
    counts = [f"{number:,}" for number in (found.matched, found.a, found.b)]
    return [*counts, *map(_figure, (found.precision, found.recall, found.f1))]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
