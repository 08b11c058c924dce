# SPDX-License-Identifier: Apache-2.0
"""What the model says of a video, beside what `surglavi predict` says of it."""

import time

import numpy as np
import pytest

from surglavi_hf.data import Level
from surglavi_hf.demo.run import PROMPTS
from surglavi_hf.evaluation import embed_captions, predict
from surglavi_hf.evaluation.encoders import ClipEncoder
from surglavi_hf.explorer.answers import Answers, NotComputedError, parse_prompts
from surglavi_hf.explorer.corpus import Corpus
from surglavi_hf.explorer.jobs import Job, Jobs
from surglavi_hf.explorer.meanings import Meanings
from surglavi_hf.explorer.model import AnsweringModel
from surglavi_hf.explorer.words import WordIndex


@pytest.fixture
def explored(drawn):
    return Corpus.of_database(drawn)


@pytest.fixture
def jobs():
    found = Jobs()
    yield found
    found.close()


@pytest.fixture
def model(explored, encoder, drawn):
    return AnsweringModel(drawn / "explorer" / "answers", explored.library, encoder)


def job():
    return Job(lambda one: None)


def wait(found):
    for _ in range(600):
        if found.state not in ("waiting", "running"):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def test_scores_are_those_of_predict(explored, model, encoder, jobs, drawn, tmp_path):
    name = explored.videos.names[0]
    answers = Answers(explored, jobs, model, None)
    lines = "\n".join(f"class {at}: {text}" for at, text in enumerate(PROMPTS["phase"]))
    with pytest.raises(NotComputedError):
        answers.ribbon(0, lines)
    assert wait(answers.watch(0)).state == "done"
    assert answers.state(0)["windows"] == "known"
    found = answers.ribbon(0, lines)
    prompts = {f"class {at}": text for at, text in enumerate(PROMPTS["phase"])}
    expected = predict(encoder, None, [explored.library.video_path(name)], prompts, tmp_path / "out").videos[name]
    of_second = np.full(len(expected.times), -1)
    for segment in found["segments"]:
        inside = (expected.times >= segment["start"]) & (expected.times < segment["end"])
        of_second[inside] = segment["class"]
    assert of_second.tolist() == expected.classes.tolist()
    confidence = np.take_along_axis(expected.probabilities, expected.classes[:, None], 1)[:, 0]
    assert found["confidence"] == pytest.approx(confidence.tolist(), abs=1e-3)
    scores = model.score(model.known(name), model.class_vectors([(text,) for text in PROMPTS["phase"]]))
    assert np.abs(scores - expected.scores).max() < 1e-5


def test_captions_are_the_classes_where_none_are_typed(explored, model, jobs):
    answers = Answers(explored, jobs, model, None)
    model.watch(explored.videos.names[0], job())
    found = answers.ribbon(0, "")
    rows = [row for row in explored.rows_of_video(0).tolist() if explored.level[row] == Level.PHASE]
    assert [one["name"] for one in found["classes"]] == list(dict.fromkeys(explored.text(row) for row in rows))
    assert [(one["start"], one["end"]) for one in found["labels"]] == [
        (float(explored.start[row]), float(explored.end[row])) for row in rows
    ]
    # Metrics, seconds that differ and labels in plain Python.
    seconds = [second + 0.5 for second in range(len(found["times"]))]

    def at(spans, second):
        return next((one["class"] for one in spans if one["start"] <= second < one["end"]), None)

    both = [(at(found["labels"], second), at(found["segments"], second)) for second in seconds]
    labelled = [(label, said) for label, said in both if label is not None]
    right = sum(label == said for label, said in labelled)
    assert found["metrics"]["labelled_seconds"] == len(labelled)
    assert found["metrics"]["accuracy"] == pytest.approx(right / len(labelled))
    differ = {
        int(second) for second in seconds for one in found["disagreements"] if one["start"] <= second < one["end"]
    }
    assert differ == {int(s) for s, (label, said) in zip(seconds, both, strict=True) if label not in (None, said)}


def test_what_was_stopped_goes_on_and_gives_the_same(explored, encoder, drawn, monkeypatch):
    monkeypatch.setattr("surglavi_hf.explorer.model._WINDOWS_A_PART", 16)
    name, seen = explored.videos.names[0], []

    class Stopping(ClipEncoder):
        def describe(self):
            return encoder.describe()

        def embed_windows(self, frames, windows):
            seen.append(len(windows))
            return super().embed_windows(frames, windows)

    counting = Stopping(encoder.model, encoder.processor)
    whole = AnsweringModel(drawn / "one", explored.library, counting)
    whole.watch(name, job())
    passes = len(seen)
    stopped = job()
    again = AnsweringModel(drawn / "two", explored.library, counting)
    original = again._watch_part

    def stop_after_two(store, frames, positions, *rest):
        if positions[0] >= 32:
            stopped.stop()
        original(store, frames, positions, *rest)

    monkeypatch.setattr(again, "_watch_part", stop_after_two)
    with pytest.raises(InterruptedError):
        again.watch(name, stopped)
    assert again.known(name) is None
    monkeypatch.setattr(again, "_watch_part", original)
    seen.clear()
    again.watch(name, job())
    assert len(seen) == passes - 4  # of two parts of 16 windows, 8 a pass
    for key, values in whole.known(name).items():
        assert np.array_equal(values, again.known(name)[key])
    seen.clear()
    again.watch(name, job())
    assert not seen


def test_what_is_kept_answers_without_the_model(explored, model, jobs, drawn):
    answers = Answers(explored, jobs, model, None)
    model.watch(explored.videos.names[0], job())
    ribbon, curve = answers.ribbon(0, ""), answers.curve(0, "smoke rises")
    kept = AnsweringModel.kept(drawn / "explorer" / "answers", explored.library)
    assert kept.encoder is None
    without = Answers(explored, jobs, kept, None)
    assert without.ribbon(0, "")["segments"] == ribbon["segments"]
    assert without.curve(0, "smoke rises")["values"] == curve["values"]
    assert without.state(0)["windows"] == "known"
    assert without.state(1)["windows"] == "none"
    with pytest.raises(ValueError, match="no model"):
        without.watch(1)
    with pytest.raises(ValueError, match="no model and no embeddings"):
        without.curve(0, "another sentence")
    assert AnsweringModel.kept(drawn / "nothing", explored.library) is None


def test_another_model_has_answers_of_its_own(explored, model, drawn):
    import torch

    from surglavi_hf.training.start import new_tiny_model

    torch.manual_seed(1)
    other = AnsweringModel(
        drawn / "explorer" / "answers",
        explored.library,
        ClipEncoder(*new_tiny_model([*PROMPTS["task"], *PROMPTS["phase"]], num_frames=4)),
    )
    assert other.folder != model.folder


def test_embeddings_of_clips_answer_where_nothing_was_watched(explored, model, encoder, jobs, drawn, tmp_path):
    from datasets import load_dataset

    rows = load_dataset("surglavi", "task", data_dir=str(drawn), split="train", filter_pairs=False)
    embed_captions(encoder, None, rows, tmp_path / "clips.parquet")
    meanings = Meanings(
        explored, WordIndex(explored, tmp_path / "words.db"), tmp_path / "clips.parquet", tmp_path / "vectors"
    )
    answers = Answers(explored, jobs, model, meanings)
    assert answers.state(0)["windows"] == "computable"
    found = answers.curve(0, "The hook burns the liver.")
    assert found["source"] == "clips"
    vector = model.text_vector("The hook burns the liver.", "caption")
    tasks = [row for row in explored.rows_of_video(0).tolist() if meanings.places()[row] >= 0]
    for second, value in zip(found["times"], found["values"], strict=True):
        over = [row for row in tasks if explored.start[row] <= second + 0.5 < explored.end[row]]
        if not over:
            assert value is None
            continue
        clip = meanings._vectors[meanings.places()[over[0]]].astype(np.float32)
        assert value == pytest.approx(float(clip @ vector), abs=1e-3)

    without = Answers(explored, jobs, None, meanings)
    ribbon = without.ribbon(0, "")
    assert "no model" in ribbon["protocol"]["texts"]
    assert ribbon["confidence"] is None
    assert ribbon["metrics"]["labelled_seconds"] > 0
    like = without.curve(0, caption_id=int(explored.caption_id[tasks[0]]))
    assert max(value for value in like["values"] if value is not None) == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="has no embedding"):
        without.curve(0, caption_id=999_999)


def test_lines_of_a_page_are_classes():
    names, texts = parse_prompts("", ["first", "second: with a colon"])
    assert names == ["first", "second: with a colon"]
    assert texts == [("first",), ("second: with a colon",)]
    names, texts = parse_prompts("a: one | two\n\n b : three\nfour", [])
    assert names == ["a", "b", "four"]
    assert texts == [("one", "two"), ("three",), ("four",)]


@pytest.mark.parametrize("text", ["", "one", "a: x\na: y", "\n".join(map(str, range(61))), "x" * 2001 + "\ny"])
def test_classes_that_are_too_few_or_too_many(text):
    with pytest.raises(ValueError, match=r"expected 2 to 60|longer than"):
        parse_prompts(text, [])


def test_a_video_that_is_not_there_or_was_taken_down(explored, model, jobs, drawn):
    answers = Answers(explored, jobs, model, None)
    (drawn / "videos").unlink()
    assert answers.state(0)["windows"] == "none"
    failed = wait(answers.watch(0))
    assert failed.state == "failed"
    assert "not on disk" in failed.message
    explored.video_taken_down[1] = True
    with pytest.raises(ValueError, match="taken down"):
        answers.watch(1)


def test_texts_of_everybody_are_not_kept(explored, encoder, drawn):
    model = AnsweringModel(drawn / "public", explored.library, encoder, keeps_texts=False)
    assert model.text_vector("typed by somebody", "caption") is not None
    assert not list((drawn / "public").rglob("texts/*.arrow"))
