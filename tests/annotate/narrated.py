# SPDX-License-Identifier: Apache-2.0
"""Drawn procedures that a synthetic voice narrates; what it says when is known."""

import io
import math
import re
import shutil
import subprocess
import tempfile
import wave
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import pytest

from surglavi_hf.data.import_videos import import_videos
from surglavi_hf.demo.corpus import plan_video
from surglavi_hf.demo.drawing import FPS, PAUSE_S, Task, write_video

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")

RATE = 22050  # samples a second, espeak's
SILENCE_S = 0.7  # between sentences
WORDS_PER_MINUTE = 165
GREETING, REMARK, THANKS = "Welcome to our hospital.", "I hope that you can hear me.", "Thank you for watching."
REMARKS = (GREETING, REMARK, THANKS)
# Of the wordings that were tried these are heard best; a small Whisper takes this voice's "holds" for "folds".
PHASE_LINES = (
    "Next, we move on to the {tissue}, which you can see here.",
    "Now we come to the {tissue}, which you can see here.",
)
STEP_LINES = (
    "For this part of the surgery we need the {instrument}.",
    "My assistant gives me the {instrument}, and we go on.",
)
TASK_LINES = {
    "holds": "We carry the {tissue} with the {instrument}, and it does not move.",
    "burns": "I burn the {tissue} with the {instrument}, and you can see the smoke rise.",
    "wets": "We cover the {tissue} with water, and we use the {instrument}.",
    "marks": "We draw on the {tissue} with the {instrument}, and you can see the dots.",
    "presses": "We press on the {tissue} with the {instrument}, and it turns pale.",
    "releases": "We let go of the {tissue} with the {instrument}, and its color returns.",
}
_MISHEARD = ("spleen", "clip applier")  # by a small Whisper, of this voice, nearly always
_THIRD_TASK = 0.2  # the share of steps that have three tasks, not two
_LOUD = 0.01  # of full scale; below it espeak is silent


@dataclass(frozen=True)
class Line:
    """
    A sentence that is spoken from `start` to `end`, in seconds of the video. `phase` is a number in the video, `step`
    in the phase, `task` in the step; the line that opens a phase has no step and no task, that of a step no task, a
    remark none of them.
    """

    text: str
    start: float
    end: float
    phase: int | None
    step: int | None
    task: int | None


@dataclass(frozen=True)
class NarratedVideo:
    """`tasks` are what is drawn: each from the first line that leads to it to the last of its own."""

    name: str
    title: str
    lines: list[Line]
    tasks: list[Task]


def speak(text: str, voice: str = "en") -> np.ndarray:
    """Returns speech, float32 of shape `(num_samples,)`, `RATE` samples a second, without silence around it."""
    command = ["espeak-ng", "-v", voice, "-s", str(WORDS_PER_MINUTE), "--stdout", text]
    data = bytearray(subprocess.run(command, check=True, capture_output=True).stdout)
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        sound = np.frombuffer(file.readframes(len(data)), np.int16).astype(np.float32) / 32768
    loud = np.flatnonzero(np.abs(sound) > _LOUD)
    return sound[loud[0] : loud[-1] + 1]


def add_sound(source: Path, target: Path, sound: np.ndarray, rate: int = RATE) -> None:
    """Copies a video and gives it a sound, in AAC; the container follows from the name."""
    with av.open(str(source)) as video, av.open(str(target), "w") as container:
        picture = container.add_stream_from_template(video.streams.video[0])
        voice = container.add_stream("aac", rate=rate, layout="mono")
        for packet in video.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                container.mux(packet)
        for start in range(0, len(sound), 1024):
            frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
            frame.rate, frame.pts = rate, start
            container.mux(voice.encode(frame))
        container.mux(voice.encode())


def _plan(rng: np.random.Generator) -> list[tuple[Task, list[tuple[str, int | None, int | None, int | None]]]]:
    """Returns the tasks of a video, two or three a step, each with the lines that are spoken while it is drawn."""
    tasks, numbers = [], Counter()
    planned = plan_video(rng, test=False)
    while any(task.tissue in _MISHEARD or task.instrument in _MISHEARD for task in planned):
        planned = plan_video(rng, test=False)
    for task in planned:
        number = numbers[task.phase, task.step]
        if number >= 2 and rng.random() > _THIRD_TASK:
            continue
        numbers[task.phase, task.step] += 1
        words = {"tissue": task.tissue, "instrument": task.instrument}
        lines = []
        if number == task.step == 0:
            lines.append((str(rng.choice(PHASE_LINES)).format(**words), task.phase, None, None))
        if number == 0:
            lines.append((str(rng.choice(STEP_LINES)).format(**words), task.phase, task.step, None))
        lines.append((TASK_LINES[task.action].format(**words), task.phase, task.step, number))
        tasks.append((task, lines))
    tasks[0][1].insert(0, (GREETING, None, None, None))
    tasks[len(tasks) // 2][1].append((REMARK, None, None, None))
    tasks[-1][1].append((THANKS, None, None, None))
    return tasks


def narrate(path: Path, seed: list[int]) -> tuple[list[Line], list[Task]]:
    """Draws a video, speaks to it, and writes both; returns what is said and what is drawn."""
    lines, tasks, pieces = [], [], []
    time = 0.0  # where the next task begins
    for task, said in _plan(np.random.default_rng(seed)):
        begin, silence = time, np.zeros(round(SILENCE_S * RATE), np.float32)
        for text, *place in said:
            pieces.append(speak(text))
            end = time + len(pieces[-1]) / RATE
            lines.append(Line(text, time, end, *place))
            pieces.append(silence)
            time = end + len(silence) / RATE
        frames = math.ceil((time - begin) * FPS)
        tasks.append(replace(task, start_time=begin, seconds=frames / FPS - PAUSE_S))
        pieces.append(np.zeros(round((begin + frames / FPS) * RATE) - sum(map(len, pieces)), np.float32))
        time = sum(map(len, pieces)) / RATE
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "drawn.mp4"
        write_video(drawn, tasks, seed)
        add_sound(drawn, path, np.concatenate(pieces))
    return lines, tasks


def write_narrated_corpus(data_dir: Path, num_videos: int, seed: int) -> list[NarratedVideo]:
    """
    Writes a corpus without captions: `num_videos` drawn procedures of about 90 s that are narrated in English, and a
    database as `surglavi import --videos-only` writes it. The recordings lie beside `data_dir`.
    """
    data_dir = Path(data_dir)
    recordings = data_dir.with_name(f"{data_dir.name}-recordings")
    recordings.mkdir(parents=True)
    videos = []
    for number in range(num_videos):
        name, title = f"narrated-{number + 1:03d}", f"Narrated procedure {number + 1}"
        videos.append(NarratedVideo(name, title, *narrate(recordings / f"{name}.mp4", [seed, number])))
    table = recordings / "about.csv"
    table.write_text(
        "video,title,procedure_type\n" + "".join(f"{video.name},{video.title},drawing\n" for video in videos)
    )
    import_videos(recordings, data_dir, table=table)
    return videos


def words_of(text: str) -> list[str]:
    """Returns the words of a text in lower case, without punctuation."""
    return re.findall(r"[\w']+", text.lower())


def word_errors(said: list[str], heard: list[str]) -> int:
    """Returns how many words must be put in, left out or replaced to make one of the other."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(said, start=1):
        before, row[0] = row[0], number
        for place, other in enumerate(heard, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]
