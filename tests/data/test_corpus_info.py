# SPDX-License-Identifier: Apache-2.0
import copy
import json

import pytest

from surglavi_hf.data import Level
from surglavi_hf.data.corpus_info import AnnotationInfo, StageInfo, ViewInfo, annotation_of, read_annotation_info
from surglavi_hf.data.reviews import REVIEWS_NAME, Review, ReviewLog
from surglavi_hf.data.write_database import NewCaption, NewVideo, write_database

CONTENT = {
    "pipeline_version": "1",
    "transcription": {
        "sources": {"faster-whisper": 3, "subtitles": 1},
        "models": ["small.en"],
        "languages": {"en": 3, "de": 1},
        "translated": 1,
    },
    "stages": {
        "segment": {"model": "qwen3", "prompt": "segment 1-0123456789ab", "left_out": {"refused": 2}},
        "enrich": {"model": "qwen3", "prompt": "enrich 1-0123456789ab", "left_out": {}},
    },
    "visual": {"model": "surgclip", "endoscopic_threshold": 0.5, "surgical_threshold": 0, "clips": 7},
    "captions": {"phase": 1, "step": 2, "task": 4},
    "kept": {"phase": 1, "step": 1, "task": 3},
    "identifiers": {"name": 5},
    "ungrounded": 1,
    "not_checked": ["faces"],
    "something new": {"in a later": "version"},
}
REMOVED = object()


def changed(path: str, value) -> dict:
    content = copy.deepcopy(CONTENT)
    *above, last = path.split("/")
    place = content
    for name in above:
        place = place[name]
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value
    return content


def write(folder, annotation: str | None):
    captions = [NewCaption(Level.TASK, 0, 1, "a"), NewCaption(Level.TASK, 1, 2, "b")]
    write_database(folder / "own.db", [NewVideo({"name": "v"}, captions)], annotation)
    return folder


def test_what_an_annotated_corpus_says(tmp_path):
    write(tmp_path, json.dumps(CONTENT))
    info = read_annotation_info(tmp_path)
    assert info == AnnotationInfo(
        pipeline_version="1",
        sources={"faster-whisper": 3, "subtitles": 1},
        languages={"en": 3, "de": 1},
        speech_models=("small.en",),
        translated=1,
        stages={
            "segment": StageInfo("qwen3", "segment 1-0123456789ab", {"refused": 2}),
            "enrich": StageInfo("qwen3", "enrich 1-0123456789ab", {}),
        },
        visual=ViewInfo("surgclip", 0.5, 0.0, 7),
        captions={"phase": 1, "step": 2, "task": 4},
        kept={"phase": 1, "step": 1, "task": 3},
        identifiers={"name": 5},
        ungrounded=1,
        not_checked=("faces",),
    )
    assert annotation_of(changed("visual", None)).visual is None


def test_reviewed_captions_are_counted_once(tmp_path):
    write(tmp_path, json.dumps(CONTENT))
    log = ReviewLog(tmp_path / REVIEWS_NAME)
    follows = None
    for number, caption in enumerate((1, 2, 2)):
        about = {"caption_id": caption, "video_id": 1, "video_name": "v", "before": {}, "after": {}}
        about |= {"time": "2026-01-31T12:00:00.000+00:00", "reviewer": "Ann", "action": "approve"}
        log.append(Review(f"{number:032x}", **about, follows=follows if number == 2 else None))
        follows = f"{number:032x}"
    assert read_annotation_info(tmp_path).reviewed == 2


def test_another_corpus_says_nothing(tmp_path):
    assert read_annotation_info(write(tmp_path, None)) is None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("pipeline_version", REMOVED, "annotation has no pipeline_version"),
        ("pipeline_version", 1, "pipeline_version 1, expected a line of at most 200 characters"),
        ("pipeline_version", "a\x1b[2J", "pipeline_version 'a.*expected a line"),
        ("pipeline_version", "a" * 201, "expected a line of at most 200 characters"),
        ("pipeline_version", " ", "expected a line of at most 200 characters"),
        ("transcription", [], r"transcription \[\], expected an object"),
        ("transcription/models", "small", "models 'small', expected a list of at most 200"),
        ("transcription/models", ["a"] * 201, "expected a list of at most 200"),
        ("transcription/models", [None], "models None, expected a line"),
        ("transcription/sources", {"a": -1}, "a -1, expected a whole number from 0"),
        ("transcription/sources", {"a\n": 1}, r"sources 'a\\n', expected a line"),
        ("transcription/sources", {str(n): 1 for n in range(201)}, "sources has 201 entries, expected at most 200"),
        ("transcription/translated", True, "translated True, expected a whole number from 0"),
        ("transcription/translated", 10**30, "translated 1000.*, expected a whole number from 0"),
        ("stages/segment", None, "segment None, expected an object"),
        ("stages/segment/left_out", {"refused": 1.5}, "refused 1.5, expected a whole number from 0"),
        ("visual/surgical_threshold", float("nan"), "surgical_threshold nan, expected a finite number"),
        ("visual/surgical_threshold", 10**400, "expected a finite number"),
        ("kept", {"phase": 1, "step": 1}, "kept has no task"),
        ("not_checked", {"a": "b"}, "expected a list"),
    ],
)
def test_something_else(tmp_path, path, value, message):
    write(tmp_path, json.dumps(changed(path, value)))
    with pytest.raises(ValueError, match=rf"table annotation of .*own\.db cannot be read \(.*{message}") as error:
        read_annotation_info(tmp_path)
    assert "export it again with surglavi annotate export" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "no json", "[1]", "[" * 100_000, '{"stages": 1, "stages": 2}', "1" * 5000])
def test_no_object(tmp_path, text):
    write(tmp_path, text)
    with pytest.raises(ValueError, match=r"table annotation of .* cannot be read"):
        read_annotation_info(tmp_path)
