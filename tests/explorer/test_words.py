# SPDX-License-Identifier: Apache-2.0
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.explorer import words
from surglavi_hf.explorer.corpus import Corpus
from surglavi_hf.explorer.words import WordIndex, terms_of


@pytest.fixture
def corpus(own):
    return Corpus.of_database(own)


@pytest.fixture
def index(corpus, own):
    return WordIndex(corpus, own / "explorer" / "words.db")


def having(corpus, *wanted):
    """The rows whose caption or narration has all of these words, written as they are there."""
    texts = [f"{corpus.text(row)} {corpus.narration(row)}".lower() for row in range(len(corpus))]
    return {row for row, text in enumerate(texts) if all(re.search(rf"\b{word}\b", text) for word in wanted)}


@pytest.mark.parametrize("wanted", [["gallbladder"], ["cystic", "duct"], ["surgeon", "liver"], ["number", "12"]])
def test_captions_that_have_all_words(corpus, index, wanted):
    found = index.find(" ".join(wanted))
    assert {*found.rows.tolist()} == having(corpus, *wanted) != set()
    assert found.ranked


def test_endings_accents_phrases_and_beginnings(corpus, index):
    assert {*index.find("dissecting").rows.tolist()} == having(corpus, "dissects")
    assert {*index.find("naive").rows.tolist()} == having(corpus, "naïve")
    assert {*index.find('"cystic duct"').rows.tolist()} == having(corpus, "cystic")
    assert not len(index.find('"duct cystic"').rows)
    assert {*index.find("cyst*").rows.tolist()} == having(corpus, "cystic")


def test_many_are_not_ranked_and_all_there(corpus, index, monkeypatch):
    ranked = index.find("surgeon").rows
    monkeypatch.setattr(words, "MOST_RANKED", 5)
    found = WordIndex(corpus, index.path).find("surgeon")
    assert not found.ranked
    assert found.rows.tolist() == sorted(ranked.tolist())


def test_any_word_is_enough_where_it_is_asked_for(corpus, index):
    found = index.find("gallbladder xylophone", any_word=True)
    assert {*found.rows.tolist()} == having(corpus, "gallbladder")


@given(st.text(max_size=60))
def test_no_text_is_an_operator(text):
    try:
        terms = terms_of(text)
    except ValueError:
        assert not re.search(r"\w", text)
        return
    assert all(re.fullmatch(r'"[^"]*"\*?', term) for term in terms)


@pytest.mark.parametrize(
    "text", ['a" OR "b', "NEAR(a b)", "caption:a", "a AND NOT b", "^a", "-a", "a*b", '"', "'; DROP"]
)
def test_hostile_queries_find_or_are_refused(index, text):
    try:
        index.find(text)
    except ValueError as error:
        assert "no words" in str(error)


def test_an_index_that_is_deleted_while_it_is_used_is_made_again(corpus, index, caplog):
    expected = index.find("gallbladder").rows.tolist()
    index.path.unlink()
    index._local.connection.close()
    index._local.connection = None  # as of a thread that has not asked yet
    assert index.find("gallbladder liver").rows.tolist() == []
    assert index.find("gallbladder", any_word=True).rows.tolist() == expected
    assert index.path.is_file()
    assert "making it again" in caplog.text


def test_a_beginning_has_two_letters(index):
    assert len(index.find("ga*").rows)
    with pytest.raises(ValueError, match="at least 2 letters"):
        index.find("g*")


@pytest.mark.parametrize("text", ["", "  ", "!?", "a" * 1001, "b " * 41])
def test_queries_without_words_are_refused(index, text):
    with pytest.raises(ValueError, match=r"no words|expected at most"):
        index.find(text)


def test_the_corpus_is_not_written_to(own, index):
    before = {path.name for path in own.iterdir()}
    index.find("surgeon")
    assert {path.name for path in own.iterdir()} == before == {"surglavi_beta.db", "explorer"}


def test_an_index_is_made_once(own, corpus, index):
    stamp = index.path.stat().st_mtime_ns
    WordIndex(corpus, index.path)
    assert index.path.stat().st_mtime_ns == stamp


def test_an_index_of_another_corpus_or_a_damaged_one_is_made_again(own, corpus, index, caplog):
    other = Corpus.of_database(own)
    other.fingerprint = "another"
    stamp = index.path.stat().st_mtime_ns
    WordIndex(other, index.path)
    assert index.path.stat().st_mtime_ns != stamp
    index.path.write_bytes(b"no database" * 100)
    assert len(WordIndex(corpus, index.path).find("gallbladder").rows)
    assert "making it again" in caplog.text
