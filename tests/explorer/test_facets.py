# SPDX-License-Identifier: Apache-2.0
"""What charts and lists say, beside the same in plain Python over every caption."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.explorer.corpus import Corpus
from surglavi_hf.explorer.facets import Facets
from surglavi_hf.explorer.words import WordIndex

LEVELS = {3: "phase", 2: "step", 1: "task"}
LENGTHS = {3.0: "2–5 s", 12.5: "10–20 s", 40.0: "30–60 s", 0.5: "0–2 s", 130.0: "120–300 s"}


@pytest.fixture(scope="module")
def corpus(database, tmp_path_factory):
    return Corpus.of_database(database)


@pytest.fixture(scope="module")
def facets(corpus, tmp_path_factory):
    return Facets(corpus, WordIndex(corpus, tmp_path_factory.mktemp("index") / "words.db"))


def value(corpus, row, name):
    place = corpus.video[row]
    return {
        "level": lambda: LEVELS[corpus.level[row]],
        "surgical": lambda: "yes" if corpus.surgical[row] else "no",
        "descriptive": lambda: "yes" if corpus.descriptive[row] else "no",
        "length": lambda: LENGTHS[round(float(corpus.end[row] - corpus.start[row]), 6)],
        "procedure_type": lambda: corpus.videos.about["procedure_type"][place] or "not known",
    }[name]()


CHOICES = {
    "level": list(LEVELS.values()),
    "surgical": ["yes", "no"],
    "descriptive": ["yes", "no"],
    "length": list(LENGTHS.values()),
    "procedure_type": ["cholecystectomy", "hernia repair", "not known"],
}
queries = st.fixed_dictionaries(
    {}, optional={name: st.lists(st.sampled_from(values), min_size=1, max_size=2) for name, values in CHOICES.items()}
)


@given(queries)
def test_counts_and_rows_are_those_of_every_caption(corpus, facets, query):
    def fits(row, but=None):
        return all(value(corpus, row, name) in wanted for name, wanted in query.items() if name != but)

    rows = [row for row in range(len(corpus)) if fits(row)]
    overview = facets.overview(query)
    assert overview["captions"] == len(rows)
    assert overview["clip_hours"] == pytest.approx(sum(corpus.end[row] - corpus.start[row] for row in rows) / 3600)
    assert {*facets.captions(query).tolist()} == {*rows}
    places, counts = facets.videos(query)
    if query.keys() - {"procedure_type"}:
        assert {*places.tolist()} == {corpus.video[row] for row in rows}
    assert {place: counts[place] for place in places if counts[place]} == Counter(corpus.video[row] for row in rows)
    for facet in overview["facets"]:
        if facet["name"] in CHOICES:
            expected = Counter(
                value(corpus, row, facet["name"]) for row in range(len(corpus)) if fits(row, but=facet["name"])
            )
            assert {one["value"]: one["captions"] for one in facet["values"] if one["captions"]} == expected


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", ["start", "duration", "words", "caption_id", "level", "video"])
def test_lists_are_in_the_order_asked_for(corpus, facets, name, backwards):
    rows = facets.captions({"sort": ["-" * backwards + name]})
    keys = {
        "start": corpus.start,
        "duration": corpus.end - corpus.start,
        "words": corpus.words,
        "caption_id": corpus.caption_id,
        "level": -corpus.level.astype(int),
        "video": corpus.video,
    }[name][rows].tolist()
    assert keys == sorted(keys, reverse=backwards)
    assert len(rows) == len(corpus)


def test_words_are_a_choice_like_others(corpus, facets):
    rows = facets.captions({"q": ["gallbladder"], "level": ["phase"]})
    assert len(rows)
    assert all("gallbladder" in corpus.text(row) and corpus.level[row] == 3 for row in rows.tolist())
    assert facets.overview({"q": ["gallbladder"], "level": ["phase"]})["captions"] == len(rows)


def test_silent_videos_are_there_where_no_caption_is_chosen(corpus, facets):
    assert len(facets.videos({})[0]) == 6
    assert facets.overview({})["videos"] == 6
    assert len(facets.videos({"level": ["phase", "step", "task"]})[0]) == 5
    assert len(facets.videos({"disk": ["not tried"]})[0]) == 6
    assert facets.overview({})["videos_of_unknown_length"] == 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"level": ["operation"]}, "level='operation', expected some of phase, step, task"),
        ({"procedure": ["x"]}, "'procedure' is nothing to choose by; expected some of level"),
        ({"sort": ["DROP TABLE"]}, "sort='DROP TABLE', expected one of"),
        ({"video": ["99"]}, "video='99', expected the video_id"),
        ({"video": ["x"]}, "expected a whole number"),
        ({"q": ["?!"]}, "no words in"),
    ],
)
def test_what_cannot_be_chosen_is_refused(facets, query, message):
    with pytest.raises(ValueError, match=message):
        facets.captions(query)


def test_one_video(corpus, facets):
    rows = facets.captions({"video": ["20"]})
    assert {corpus.videos.names[place] for place in corpus.video[rows]} == {"video 2"}
