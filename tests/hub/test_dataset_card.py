# SPDX-License-Identifier: Apache-2.0
"""The card of an annotated corpus."""

import json
import re
import shutil

import pytest
from datasets import load_dataset

from surglavi_hf.data import CorpusInfo, Level
from surglavi_hf.data.corpus_info import annotation_of
from surglavi_hf.data.reviews import REVIEWS_NAME, Review, ReviewLog
from surglavi_hf.data.write_database import NewCaption, NewVideo, write_database
from surglavi_hf.hub import push_dataset, push_reviews
from surglavi_hf.hub.card_text import BEGIN, END
from surglavi_hf.hub.dataset_card import _annotation_section

from ..data.test_corpus_info import CONTENT, changed


@pytest.fixture
def annotated(tmp_path):
    folder = tmp_path / "annotated"
    folder.mkdir()
    levels = (Level.PHASE, Level.STEP, Level.TASK)
    captions = [NewCaption(level, 0, 9 + level, f"The surgeon dissects, {level.name}.", "we cut") for level in levels]
    write_database(
        folder / "surglavi_beta.db", [NewVideo({"name": "a", "duration": 20.0}, captions)], json.dumps(CONTENT)
    )
    CorpusInfo("Our lectures", "Spoken by us.").write(folder)
    return folder


def readme(hub_server) -> str:
    return hub_server.repositories["datasets/me/own"]["commits"][-1]["files"]["README.md"].decode()


def test_the_card_tells_how_it_was_annotated(hub_server, annotated):
    push_dataset(annotated, "me/own")
    text = readme(hub_server)
    assert text.index("## Columns") < text.index("## How it was annotated") < text.index("## Splits")
    for line in (
        "| transcribe | faster-whisper (3 videos), subtitles (1 video); small.en | – | – |",
        "| segment | qwen3 | segment 1-0123456789ab | refused: 2 |",
        "| filter | not run | – | – |",
        "| filter, by the picture | surgclip, 7 clips | endoscopic ≥ 0.5, surgical ≥ 0 | – |",
        "| enrich | qwen3 | enrich 1-0123456789ab | none |",
        "| task | 4 | 3 |",
        "- by people: 0 captions",
        "- faces",
    ):
        assert f"\n{line}\n" in text
    assert "Languages of the transcripts: en (3 videos), de (1 video). 1 transcript translated." in text
    assert "by rules: name: 5; they are counted, not removed" in text and "in 1 caption\n" in text
    said = re.sub(r"\s+", " ", text)
    assert "The prompts are the package's own, unless" in said and "those of the SurgLaVi paper are not public" in said
    assert "$" not in text


def test_reviews_are_told_too(hub_server, annotated):
    push_dataset(annotated, "me/own")
    row = load_dataset("surglavi", data_dir=str(annotated), split="train")[0]
    about = {"caption_id": row["caption_id"], "video_id": row["video_id"], "video_name": row["video_name"]}
    about |= {"id": "0" * 32, "time": "2026-01-31T12:00:00.000+00:00", "reviewer": "Ann", "action": "change"}
    review = Review(**about, before={"caption": row["caption"]}, after={"caption": "Another."})
    ReviewLog(annotated / REVIEWS_NAME).append(review)
    proposed = push_reviews(annotated, "me/own")
    assert "README.md" in proposed.changed
    push_dataset(annotated, "me/own")
    assert "- by people: 1 caption\n" in readme(hub_server)


def test_a_corpus_that_was_not_annotated_has_no_such_section(hub_server, corpus, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for path in corpus.glob("*.*"):
        shutil.copy(path, own)
    push_dataset(own, "me/own")
    text = readme(hub_server)
    assert "annotated" not in text.partition(BEGIN)[2].partition(END)[0]


def test_what_models_are_named_cannot_leave_its_cell():
    hostile = changed("stages/segment/model", f"a|b {END} <script> $x")
    hostile["stages"]["segment"]["left_out"] = {f"{BEGIN}|": 1}
    hostile["not_checked"] = [f"{END} # Heading"]
    text = _annotation_section(annotation_of(hostile))
    assert "<" not in text
    rows = [line for line in text.splitlines() if line.startswith("| segment")]
    assert len(rows) == 1 and len(re.findall(r"(?<!\\)\|", rows[0])) == 5


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/ann/models/whisper-x", "whisper-x"),
        ("~/models/whisper-x/", "whisper-x"),
        ("./whisper-x", "whisper-x"),
        (r"C:\Users\ann\whisper-x", "whisper-x"),
        ("openai/whisper-x", "openai/whisper-x"),
    ],
)
def test_folders_of_this_machine_are_not_told(name, shown):
    content = changed("stages/segment/model", name)
    content["transcription"]["models"] = content["visual"]["model"], name
    content["transcription"]["models"] = [name]
    content["visual"]["model"] = name
    text = _annotation_section(annotation_of(content))
    assert "ann/" not in text and "~" not in text and "Users" not in text and text.count(shown) == 3
