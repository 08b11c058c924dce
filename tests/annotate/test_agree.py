# SPDX-License-Identifier: Apache-2.0
import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from surglavi_hf.annotate.agree import (
    OVERLAPS,
    TOLERANCES,
    FlagTable,
    LevelAgreement,
    Segment,
    _best_in_order,
    _overlaps,
    compare_annotations,
    compare_segments,
    rouge_l,
)
from surglavi_hf.data import Level
from surglavi_hf.data.write_database import NewCaption, NewVideo, write_database

WORDS = st.lists(st.sampled_from(["The", "the", "clip", "cut", "duct"]), max_size=8).map(" ".join)


@st.composite
def annotations(draw, longest: int = 8, least: int = 0) -> list[Segment]:
    """Segments that may overlap, touch or occur twice."""
    found = []
    for _ in range(draw(st.integers(least, longest))):
        start = draw(st.integers(0, 30)) / 2
        end = start + draw(st.integers(1, 12)) / 2
        found.append(Segment(start, end, draw(WORDS), (draw(st.booleans()), draw(st.booleans()))))
    return sorted(found, key=lambda segment: (segment.start, segment.end))


def most_pairs(size_a: int, size_b: int, is_pair) -> int:
    """The most pairs in order, by trying every choice of A with every choice of B."""
    for size in range(min(size_a, size_b), 0, -1):
        for chosen in itertools.combinations(range(size_a), size):
            for others in itertools.combinations(range(size_b), size):
                if all(is_pair(i, j) for i, j in zip(chosen, others, strict=True)):
                    return size
    return 0


def overlap(a: Segment, b: Segment) -> float:
    shared = min(a.end, b.end) - max(a.start, b.start)
    return max(0, shared) / (max(a.end, b.end) - min(a.start, b.start))


@given(annotations(5), annotations(5))
@settings(deadline=None)
def test_matches_are_as_many_as_there_can_be(a, b):
    found = compare_segments(a, b)
    for least in OVERLAPS:
        most = most_pairs(len(a), len(b), lambda i, j, least=least: overlap(a[i], b[j]) >= least - 1e-12)
        assert found.segments[least].matched == most
    for tolerance in TOLERANCES:
        most = 0
        for edge in ("start", "end"):
            one, other = (sorted(getattr(segment, edge) for segment in segments) for segments in (a, b))
            near = lambda i, j: abs(one[i] - other[j]) <= tolerance  # noqa: E731, B023
            most += most_pairs(len(a), len(b), near)
        assert found.boundaries[tolerance].matched == most


@given(annotations(), annotations())
def test_swapped_it_is_the_same(a, b):
    found, swapped = compare_segments(a, b), compare_segments(b, a)
    for name in ("boundaries", "segments"):
        for limit, one in getattr(found, name).items():
            other = getattr(swapped, name)[limit]
            assert (one.f1, one.precision, one.recall) == (other.f1, other.recall, other.precision)
    assert found.flags["is_descriptive"].total == swapped.flags["is_descriptive"].total


@given(annotations(least=1))
def test_with_itself_all_is_one(a):
    found = compare_segments(a, a)
    assert all(one.f1 == one.precision == one.recall == 1 for one in found.boundaries.values())
    assert all(one.f1 == one.matched / len(a) == 1 for one in found.segments.values())
    assert found.mean_rouge_l in (None, 1) and found.equal == found.texts
    for table in found.flags.values():
        assert table.total == len(a) and table.raw_agreement == 1 and table.kappa in (None, pytest.approx(1))


@given(annotations(), annotations())
def test_the_pairs_ascend_and_overlap(a, b):
    for least in OVERLAPS:
        pairs = _best_in_order(_overlaps(a, b), least)
        assert all(i < k and j < m for (i, j), (k, m) in itertools.pairwise(pairs))
        assert all(overlap(a[i], b[j]) >= least - 1e-12 for i, j in pairs)


def test_of_as_many_pairs_those_that_overlap_most():
    pairs = [(0, 0, 0.5), (0, 1, 0.9), (1, 0, 0.6), (1, 1, 0.5), (2, 2, 0.7)]
    assert _best_in_order(pairs, 0.1) == [(0, 0), (1, 1), (2, 2)], "three are more than the two best"
    assert _best_in_order([(0, 0, 0.5), (0, 1, 0.9)], 0.1) == [(0, 1)]
    assert _best_in_order([], 0.1) == []


@given(WORDS, WORDS)
def test_rouge_l(a, b):
    words, others = a.lower().split(), b.lower().split()
    table = [[0] * (len(others) + 1) for _ in range(len(words) + 1)]
    for i, j in itertools.product(range(len(words)), range(len(others))):
        same = words[i] == others[j]
        table[i + 1][j + 1] = table[i][j] + 1 if same else max(table[i][j + 1], table[i + 1][j])
    both = len(words) + len(others)
    assert rouge_l(a, b) == (2 * table[-1][-1] / both if both else 0)


def test_rouge_l_of_figures_that_are_known():
    # Lin (2004), ROUGE: "police killed the gunman" against two candidates.
    assert rouge_l("police killed the gunman", "police kill the gunman") == 0.75
    assert rouge_l("police killed the gunman", "the gunman kill police") == 0.5
    assert rouge_l("a " * 3000, "a b " * 1500) == pytest.approx(0.5)


@given(*[st.integers(0, 9)] * 4)
def test_kappa(both, only_a, only_b, neither):
    table = FlagTable(both, only_a, only_b, neither)
    a = [1] * both + [1] * only_a + [0] * only_b + [0] * neither
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    if len({*a, *b}) < 2:
        assert table.kappa is None, "one class alone"
    else:
        assert table.kappa == pytest.approx(cohen_kappa_score(a, b))


def test_a_sum_is_of_all():
    one = [Segment(0, 10, "The duct is cut.", (True, False)), Segment(10, 20, "", (False, False))]
    other = [Segment(0.5, 12, "the duct is clipped.", (True, True)), Segment(30, 40, "b", (True, True))]
    both = compare_segments(one, other) + LevelAgreement() + compare_segments(one, one)
    assert both.segments[0.5].to_dict() == {
        **{"precision": 0.75, "recall": 0.75, "f1": 0.75, "matched": 3, "a": 4, "b": 4}
    }
    assert both.boundaries[1.0].matched == 1 + 4 and both.boundaries[2.0].matched == 2 + 4
    assert both.flags["is_descriptive"] == FlagTable(0, 0, 1, 2)
    assert (both.texts, both.equal, both.rouge_l) == (2, 1, 1.75)
    empty = LevelAgreement().to_dict()
    assert empty["segments"]["IoU 0.5"]["f1"] is None and empty["captions"]["rouge_l"] is None


def caption(level: Level, start: float, end: float, text: str | None, **more) -> NewCaption:
    return NewCaption(level, start, end, text, more.pop("narration", "so here we go"), **more)


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    """Three videos in both by id, address and name, silent ones, and one more in each."""
    folder = tmp_path_factory.mktemp("agree")
    phase, task = Level.PHASE, Level.TASK
    a = [
        NewVideo({"name": "first", "youtube_id": "AAAAAAAAAAA"}, [
            caption(phase, 0, 100, "The surgeon dissects."), caption(task, 0, 10, None, narration="We cut."),
            caption(task, 10, 20, "Cut.", is_descriptive=0), caption(task, 20, 20, "no time passes"),
        ]),
        NewVideo({"name": "second", "url": "https://youtu.be/BBBBBBBBBBB"}, [caption(phase, 0, 50, "b")]),
        NewVideo({"name": "third"}, [caption(phase, 5, 10, "c")]),
        NewVideo({"name": "silent"}, []),
        NewVideo({"name": "alone in a"}, [caption(phase, 0, 1, "d")]),
        NewVideo({"name": "silent in a"}, []),
    ]  # fmt: skip
    b = [
        NewVideo({"name": "of another name", "url": "https://www.youtube.com/watch?v=AAAAAAAAAAA"}, [
            caption(phase, 3, 96, "The surgeon dissects."), caption(task, 0.5, 10, "we cut."),
            caption(task, 10, 19, "Cut.", is_surgical=0), caption(task, 30, 40, "more"),
        ]),
        NewVideo({"name": "2", "youtube_id": "BBBBBBBBBBB"}, []),
        NewVideo({"name": "third", "youtube_id": "CCCCCCCCCCC"}, [caption(phase, 5, 10, "c")]),
        NewVideo({"name": "silent"}, []),
        NewVideo({"name": "alone in b"}, [caption(phase, 0, 1, "d")]),
    ]  # fmt: skip
    for name, videos in (("a", a), ("b", b)):
        (folder / name).mkdir()
        write_database(folder / name / f"{name}.db", videos)
    return folder / "a", folder / "b" / "b.db"


def test_two_databases(databases):
    found = compare_annotations(*databases)
    assert {*found.videos} == {"first", "second", "third"} and found.silent == 1
    assert (found.only_a, found.only_b) == (("alone in a",), ("alone in b",))
    assert (found.left_out_a, found.left_out_b) == (1, 0)
    phases, steps, tasks = (found.levels[level] for level in (Level.PHASE, Level.STEP, Level.TASK))
    assert [found_.matched for found_ in phases.boundaries.values()] == [2, 2, 4]
    assert phases.segments[0.5].to_dict() | {} == {
        **{"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "matched": 2, "a": 3, "b": 2}
    }
    assert steps == LevelAgreement()
    assert tasks.segments[0.5].matched == 2 and tasks.boundaries[1.0].matched == 4
    assert tasks.flags == {
        "is_surgical_content": FlagTable(1, 1, 0, 0),
        "is_descriptive": FlagTable(1, 0, 1, 0),
    }
    assert tasks.flags["is_descriptive"].kappa == 0
    assert (tasks.texts, tasks.equal, tasks.mean_rouge_l) == (2, 1, 1.0), "the narration stands where no caption is"
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["videos"] == {"both": 4, "both_silent": 1, "only_a": ["alone in a"], "only_b": ["alone in b"]}
    assert content["by_video"]["third"]["phase"]["segments"]["IoU 0.5"]["f1"] == 1
    for _, header, rows in found.tables():
        assert rows and all(len(row) == len(header) and all(isinstance(cell, str) for cell in row) for row in rows)


def test_a_database_with_itself(databases):
    found = compare_annotations(databases[0], databases[0])
    assert not found.only_a and not found.only_b
    for level in (Level.PHASE, Level.TASK):
        one = found.levels[level]
        assert all(part.f1 == 1 for parts in (one.boundaries, one.segments) for part in parts.values())
        assert one.mean_rouge_l == one.equal_share == 1


def test_others_than_expected(databases, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no database"):
        compare_annotations(databases[0], tmp_path)
    write_database(tmp_path / "c.db", [NewVideo({"name": "another"}, [])])
    with pytest.raises(ValueError, match="have no video in common"):
        compare_annotations(databases[0], tmp_path / "c.db")
    monkeypatch.setattr("surglavi_hf.annotate.agree._MOST_SEGMENTS", 2)
    with pytest.raises(ValueError, match="has 3 captions of level task of video of another name, expected at most 2"):
        compare_annotations(*databases)


def test_names_of_videos_in_the_result_are_of_a(databases):
    swapped = compare_annotations(*reversed(databases))
    assert {*swapped.videos} == {"of another name", "2", "third"}
    assert replace(swapped, videos={}).only_a == ("alone in b",)
