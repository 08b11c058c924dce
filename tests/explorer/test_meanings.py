# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from datasets import load_dataset

from surglavi_hf.data import Embeddings
from surglavi_hf.evaluation import build_search_index, search
from surglavi_hf.explorer.corpus import Corpus
from surglavi_hf.explorer.meanings import Meanings
from surglavi_hf.explorer.model import AnsweringModel
from surglavi_hf.explorer.words import WordIndex


@pytest.fixture
def small(own):
    return Corpus.of_database(own)


@pytest.fixture
def words(small, own):
    return WordIndex(small, own / "explorer" / "words.db")


@pytest.fixture
def embeddings(own) -> Embeddings:
    """Of all captions but five."""
    vectors = np.random.default_rng(0).normal(size=(55, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) * 1.2
    found = Embeddings(np.arange(1, 56), vectors.astype(np.float16), "me/model", "weights 1")
    found.write(own / "embeddings.parquet")
    return found


@pytest.fixture
def meanings(small, words, embeddings, own):
    return Meanings(small, words, own / "embeddings.parquet", own / "vectors")


class OneVector:
    name = "a model"

    def __init__(self, vector):
        self.vector = np.asarray(vector, np.float32)

    def text_vector(self, text, kind):
        return self.vector


def test_scores_of_a_text_are_products(small, meanings, embeddings):
    vector = np.random.default_rng(1).normal(size=8)
    query = meanings.query_of_text("anything", OneVector(vector))
    scores = meanings.scores(query)
    expected = embeddings.embedding.astype(np.float64) @ (vector / np.linalg.norm(vector))
    for row, number in enumerate(small.caption_id.tolist()):
        if number <= 55:
            assert scores[row] == pytest.approx(expected[number - 1], abs=1e-5)
    rows = np.array([3, 50, 7])
    assert np.allclose(meanings.scores(query, rows), scores[rows], equal_nan=True)


def test_a_clip_is_most_like_itself(small, meanings):
    row = small.row_of[17]
    scores = meanings.scores(meanings.query_of_clip(row))
    assert np.nanargmax(scores) == row
    assert scores[row] == pytest.approx(1, abs=1e-3)
    assert np.nanmax(scores) <= 1 + 1e-3


def test_captions_of_one_interval_are_of_one_clip(tmp_path):
    from ..data.reference import write_database

    caption = {"video_id": 1, "level_id": 1, "start_time": 1, "end_time": 3, "duration": 2, "caption": "x"}
    captions = [caption | {"caption_id": number} for number in (1, 2)]
    captions.append(caption | {"caption_id": 3, "end_time": 4, "duration": 3})
    path = tmp_path / "surglavi_beta.db"
    write_database(path, videos=[{"video_id": 1, "name": "v"}], captions=captions)
    Embeddings(np.array([2]), np.full((1, 2), 0.5, np.float16), "m", "r").write(tmp_path / "e.parquet")
    corpus = Corpus.of_database(tmp_path)
    meanings = Meanings(corpus, WordIndex(corpus, tmp_path / "words.db"), tmp_path / "e.parquet", tmp_path / "vectors")
    assert meanings.places().tolist() == [0, 0, -1]


def test_a_clip_that_was_moved_has_no_embedding_any_more(small, meanings):
    row = small.row_of[17]
    assert meanings.places()[row] >= 0
    small.end = small.end.copy()
    small.end[row] += 1
    assert meanings.places()[row] == -1


def test_without_a_model_a_text_stands_for_clips_whose_captions_have_its_words(small, meanings):
    query = meanings.query_of_text("the gallbladder", None)
    assert "no model" in query.how
    rows = [row for row in range(len(small)) if "gallbladder" in small.text(row) and meanings.places()[row] >= 0]
    assert f"{min(len(rows), 20)} clips" in query.how
    scores = meanings.scores(query)
    others = [row for row in range(len(small)) if meanings.places()[row] >= 0 and row not in rows]
    assert np.nanmean(scores[rows]) > np.nanmean(scores[others])


def test_a_video_is_not_judged_by_its_own_captions(small, meanings):
    place = 1
    query = meanings.query_of_text("gallbladder", None, without_video=place)
    rows = [row for row in range(len(small)) if "gallbladder" in small.text(row) and meanings.places()[row] >= 0]
    others = [row for row in rows if small.video[row] != place]
    assert len(others) < len(rows)
    assert f"{len(others)} clips" in query.how


def test_words_that_no_caption_has(meanings):
    with pytest.raises(ValueError, match="no clip's caption has the words"):
        meanings.query_of_text("xylophone", None)


def test_embeddings_of_another_corpus_are_refused(small, words, own):
    vectors = np.full((2, 4), 0.5, np.float16)
    Embeddings(np.array([901, 902]), vectors, "me/model", "weights 1").write(own / "other.parquet")
    with pytest.raises(ValueError, match="of 2 captions, of which 0 are in SurgLaVi"):
        Meanings(small, words, own / "other.parquet", own / "vectors")


def test_an_index_finds_what_surglavi_search_finds(drawn, encoder, tmp_path):
    rows = load_dataset("surglavi", "task", data_dir=str(drawn), split="train").select(range(20))
    build_search_index(encoder, None, rows, tmp_path / "index")
    corpus = Corpus.of_database(drawn)
    meanings = Meanings(corpus, WordIndex(corpus, tmp_path / "words.db"), tmp_path / "index", tmp_path / "vectors")
    model = AnsweringModel(tmp_path / "answers", corpus.library, encoder)
    model.check_is_of(meanings)
    text = "The hook burns the liver and smoke rises."
    scores = meanings.scores(meanings.query_of_text(text, model))
    best = {}  # one caption a clip
    for row in np.argsort(-np.nan_to_num(scores, nan=-9)).tolist():
        best.setdefault((corpus.video[row], corpus.start[row], corpus.end[row]), row)
    best = list(best.values())[:5]
    found = search(encoder, None, tmp_path / "index", text, 5)
    assert [corpus.start[row] for row in best] == [one.start_time for one in found]
    names = [corpus.videos.names[corpus.video[row]] for row in best]
    assert names == [one.video_name for one in found]
    assert scores[best] == pytest.approx([one.score for one in found], abs=2e-3)  # in float16


def test_embeddings_of_another_model_are_refused(small, meanings, encoder, tmp_path):
    model = AnsweringModel(tmp_path / "answers", small.library, encoder)
    with pytest.raises(ValueError, match="embeddings of me/model"):
        model.check_is_of(meanings)


def test_embeddings_are_kept_in_a_form_that_is_mapped(small, words, own, meanings, monkeypatch, caplog):
    first = meanings.scores(meanings.query_of_clip(3))
    (kept,) = (own / "vectors").glob("*.arrow")
    with monkeypatch.context() as patch:
        patch.setattr(Embeddings, "read", None)  # which is not needed any more
        again = Meanings(small, words, own / "embeddings.parquet", own / "vectors")
    assert np.array_equal(again.scores(again.query_of_clip(3)), first, equal_nan=True)
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    mended = Meanings(small, words, own / "embeddings.parquet", own / "vectors")
    assert "making it again" in caplog.text
    assert np.array_equal(mended.scores(mended.query_of_clip(3)), first, equal_nan=True)
