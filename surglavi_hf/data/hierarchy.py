# SPDX-License-Identifier: Apache-2.0
"""Which task lies in which step, and which step in which phase, from times alone."""

from typing import NamedTuple

import numpy as np

from .database import Level

PARENT_LEVELS = ((Level.TASK, Level.STEP), (Level.STEP, Level.PHASE))


class _Intervals(NamedTuple):
    video: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def __getitem__(self, rows) -> "_Intervals":
        return _Intervals(*(column[rows] for column in self))


def parent_rows(
    video: np.ndarray, level: np.ndarray, start: np.ndarray, end: np.ndarray, eligible: np.ndarray | None = None
) -> np.ndarray:
    """
    Returns for each caption the row of its parent, or -1 where it has none.

    The parent of a task is the step, of a step the phase, of the same video with the largest overlap in time, which
    must be at least half of the child's own duration. Ties go to the shorter parent, then to the earlier row. Takes
    O(n log n) time, whatever overlaps what.

    Args:
        video: `(num_captions,)` integers, equal for captions of one video.
        level: `(num_captions,)` values of [`Level`].
        start: `(num_captions,)` seconds.
        end: `(num_captions,)` seconds, above `start`.
        eligible: `(num_captions,)` booleans, which captions can be parents; all by default.
    """
    result = np.full(len(video), -1, dtype=np.int64)
    captions = _Intervals(np.unique(video, return_inverse=True)[1], start, end)  # small numbers for _running_first
    for child_level, parent_level in PARENT_LEVELS:
        child, parent = np.flatnonzero(level == child_level), level == parent_level
        parent = np.flatnonzero(parent if eligible is None else parent & eligible)
        if len(child) and len(parent):
            best = _best_parents(captions[child], captions[parent])
            result[child] = np.where(best < 0, -1, parent[best])
    return result


def _best_parents(child: _Intervals, parent: _Intervals) -> np.ndarray:
    """Returns for each child the row of its parent or -1."""
    length = parent.end - parent.start
    start, minus_start, end, minus_end = parent.start, -parent.start, parent.end, -parent.end
    # Among those that begin with the child or before it, the one that reaches furthest, and of these the shortest.
    best = _first_before(parent, start, child, child.start, _places(minus_end, minus_start))
    covered = (best >= 0) & (end[best] >= child.end)
    inner = child[covered]
    best[covered] = _first_dominating(parent, (start, minus_end), inner, (inner.start, -inner.end), _places(length))
    # Where nothing covers the child, the largest overlap is by such a one, by one that reaches over its end and begins
    # first, or by the longest within it.
    outer = child[~covered]
    candidates = (
        best[~covered],
        _first_before(parent, minus_end, outer, -outer.end, _places(start, end)),
        _first_dominating(parent, (minus_start, end), outer, (-outer.start, outer.end), _places(-length)),
    )
    best[~covered] = _choose(candidates, outer, parent)
    return best


def _choose(candidates: tuple[np.ndarray, ...], child: _Intervals, parent: _Intervals) -> np.ndarray:
    """Returns for each child the candidate that overlaps most, or -1 where none covers half of it."""
    best = np.full(len(child.video), -1, dtype=np.int64)
    best_overlap, best_length = np.zeros(len(best)), np.full(len(best), np.inf)
    for candidate in candidates:
        length = parent.end[candidate] - parent.start[candidate]
        overlap = np.minimum(parent.end[candidate], child.end) - np.maximum(parent.start[candidate], child.start)
        overlap[(candidate < 0) | (overlap < (child.end - child.start) / 2)] = -1
        shorter = (length < best_length) | ((length == best_length) & (candidate < best))
        better = (overlap > best_overlap) | ((overlap == best_overlap) & shorter)
        best[better], best_overlap[better], best_length[better] = candidate[better], overlap[better], length[better]
    return best


def _places(*keys: np.ndarray) -> np.ndarray:
    """Returns each row's place in the order of `keys`, equal ones in the order of rows."""
    place = np.empty(len(keys[0]), dtype=np.int64)
    place[np.lexsort(keys[::-1])] = np.arange(len(place))
    return place


def _first_before(
    parent: _Intervals, parent_key: np.ndarray, child: _Intervals, child_key: np.ndarray, place: np.ndarray
) -> np.ndarray:
    """Returns for each child the parent of lowest `place` among those of its video whose key is at most its own."""
    video, order, places = _merge(parent, parent_key, child, child_key, place)
    first = np.empty(len(video), dtype=np.int64)
    first[order] = _running_first(places[order], video[order], len(place))
    return _of_place(place, first[len(place) :])


def _first_dominating(
    parent: _Intervals,
    parent_keys: tuple[np.ndarray, np.ndarray],
    child: _Intervals,
    child_keys: tuple[np.ndarray, np.ndarray],
    place: np.ndarray,
) -> np.ndarray:
    """
    Returns for each child the parent of lowest `place` among those of its video whose keys are both at most its own.

    A merge sort backwards: items in the order of the second key are parted, bit by bit, by their rank in the first. A
    parent and a child part in one block, the parent to the left, at exactly one bit if its rank is the lower one, and
    at none otherwise.
    """
    video, order, places = _merge(parent, parent_keys[0], child, child_keys[0], place)
    _, items, _ = _merge(parent, parent_keys[1], child, child_keys[1], place)
    position = np.arange(len(video))
    first_of_video = np.searchsorted(video[order], video)
    rank = np.empty(len(video), dtype=np.int64)
    rank[order] = position
    rank -= first_of_video
    first = np.full(len(video), len(place), dtype=np.int64)
    for bit in reversed(range(int(rank.max()).bit_length())):
        item_rank = rank[items]
        block = first_of_video[items] + (item_rank >> (bit + 1) << (bit + 1))
        right = item_rank >> bit & 1
        found = _running_first(np.where(right, len(place), places[items]), block, len(place))
        first[items] = np.where(right, np.minimum(first[items], found), first[items])
        rights_before = np.cumsum(right) - right
        rights_before -= rights_before[block]
        target = block + np.where(right, (1 << bit) + rights_before, position - block - rights_before)
        parted = np.empty_like(items)
        parted[target] = items
        items = parted
    return _of_place(place, first[len(place) :])


def _merge(
    parent: _Intervals, parent_key: np.ndarray, child: _Intervals, child_key: np.ndarray, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the videos of parents and children, their order by video and key, parents first, and their places."""
    video = np.concatenate((parent.video, child.video))
    _, key = np.unique(np.concatenate((parent_key, child_key)), return_inverse=True)
    order = np.argsort((video * len(video) + key) * 2 + (np.arange(len(video)) >= len(place)))  # faster than lexsort
    return video, order, np.append(place, np.full(len(child_key), len(place)))


def _running_first(place: np.ndarray, block: np.ndarray, num_places: int) -> np.ndarray:
    """Returns the lowest place so far in each block, `num_places` or more where there is none. Blocks ascend."""
    offset = (block[-1] - block) * (num_places + 1)  # a later block is below all of an earlier one
    return np.minimum.accumulate(place + offset) - offset


def _of_place(place: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Returns the rows that have the places `found`, -1 for one that none has."""
    return np.append(np.argsort(place), -1)[np.minimum(found, len(place))]
