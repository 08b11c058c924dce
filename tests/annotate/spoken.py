# SPDX-License-Identifier: Apache-2.0
"""Corpora whose transcripts are there, without a voice and without videos; what belongs together is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surglavi_hf.annotate.transcripts import Transcript, Word, transcript_path, write_transcript
from surglavi_hf.data import CorpusInfo
from surglavi_hf.data.write_database import NewVideo, write_database

WORD_S, PAUSE_S = 0.4, 1.2
_TISSUES = ("liver", "gallbladder", "omentum", "bowel", "spleen", "peritoneum")
_INSTRUMENTS = ("grasper", "hook", "scissors", "clip applier", "irrigator", "stapler")
_DOING = ("hold", "burn", "rinse", "mark", "press", "clip", "cut", "lift")


@dataclass(frozen=True)
class Spoken:
    """A line of a script; see `narrated.Line`."""

    text: str
    phase: int | None
    step: int | None
    task: int | None


def plan_script(rng: np.random.Generator, phases: int = 2, steps: int = 2, tasks: int = 3) -> list[Spoken]:
    """Returns the lines of an operation, with remarks before and after."""
    lines = [Spoken("Welcome to our hospital and thank you for coming.", None, None, None)]
    for phase, tissue in enumerate(rng.choice(_TISSUES, phases, replace=False)):
        lines.append(Spoken(f"Now we come to the {tissue} on the left side.", phase, None, None))
        for step, instrument in enumerate(rng.choice(_INSTRUMENTS, steps, replace=False)):
            lines.append(Spoken(f"I take the {instrument} for the {tissue}.", phase, step, None))
            for task, doing in enumerate(rng.choice(_DOING, tasks, replace=False)):
                lines.append(Spoken(f"We {doing} the {tissue} with the {instrument}.", phase, step, task))
    return [*lines, Spoken("Thank you for watching this video.", None, None, None)]


def words_of_lines(lines: Sequence[str]) -> list[Word]:
    """Returns the words of lines, one after the other."""
    words, time = [], 1.0
    for line in lines:
        for text in line.split():
            words.append(Word(text, round(time, 3), round(time + WORD_S * 0.9, 3), 0.9))
            time += WORD_S
        time += PAUSE_S
    return words


def write_spoken_corpus(data_dir: Path, scripts: dict[str, Sequence[str]], procedure: str = "cholecystectomy") -> Path:
    """
    Writes a corpus of transcripts, a video a title; returns its folder.

    Args:
        data_dir: New folder.
        scripts: The lines that are spoken, by title; videos are called video-1, video-2, ….
        procedure: Of all.
    """
    data_dir.mkdir(parents=True)
    videos = []
    for number, (title, lines) in enumerate(scripts.items(), start=1):
        name, words = f"video-{number}", tuple(words_of_lines(lines))
        duration = words[-1].end + 1 if words else 10.0
        columns = {"name": name, "title": title, "duration": duration, "procedure_type": procedure}
        videos.append(NewVideo(columns, []))
        write_transcript(transcript_path(data_dir, name), Transcript(name, "en", words, "subtitles"))
    CorpusInfo("Spoken", "Transcripts of tests.", "apache-2.0").write(data_dir)
    write_database(data_dir / "surglavi_beta.db", videos)
    return data_dir


def plan_scripts(number: int, seed: int = 0, **sizes: int) -> dict[str, list[Spoken]]:
    """Returns scripts by title."""
    return {f"Operation {at}": plan_script(np.random.default_rng([seed, at]), **sizes) for at in range(1, number + 1)}


def texts(scripts: dict[str, list[Spoken]]) -> dict[str, list[str]]:
    """Returns what is spoken of scripts."""
    return {title: [line.text for line in lines] for title, lines in scripts.items()}
