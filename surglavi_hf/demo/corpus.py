# SPDX-License-Identifier: Apache-2.0
"""A small SurgLaVi look-alike: drawn procedures, and a database of captions true of them.

A phase is a tissue, a step an instrument on that tissue, a task an action with that instrument. Every action has its
own look but for the motion pair, whose clips are the same frames in opposite order.
"""

import multiprocessing
import os
import sqlite3
import string
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..data import DATABASE_NAME, Level, split_position
from ..interrupts import interrupts_for_us_alone
from ..media import VideoLibrary
from .drawing import ACTIONS, FPS, INSTRUMENTS, PAUSE_S, SIZE, TASK_S, TISSUES, Task, write_video

TEST_FRACTION = 0.2
PHASES, STEPS, TASKS = 3, 2, 3  # phases a video, steps a phase, tasks a step

TASK_CAPTIONS = {
    "holds": "The {instrument} holds the {tissue}.",
    "burns": "The {instrument} burns the {tissue} and smoke rises.",
    "wets": "The {instrument} covers the {tissue} with water.",
    "marks": "The {instrument} marks the {tissue} with dots of ink.",
    "presses": "The {instrument} presses on the {tissue}, which turns pale.",
    "releases": "The {instrument} lets go of the {tissue}, which regains its colour.",
}
PHASE_CAPTION = "The surgeon works on the {tissue}."
STEP_CAPTION = "The surgeon operates on the {tissue} with the {instrument}."
NARRATIONS = {
    Level.PHASE: ("so now we are at the {tissue}", "next comes the {tissue}"),
    Level.STEP: ("i take the {instrument} here", "now with the {instrument}"),
    Level.TASK: ("and we do this with the {instrument}", "you see the {tissue} here"),
}
# Narration that the filter must drop: text, is_surgical_content, is_descriptive.
REMARKS = (("Thank you.", 0, 1), ("this video was made in our hospital", 1, 0), ("any questions", None, None))


def is_unseen(tissue: str, instrument: str, action: str) -> bool:
    """Whether a combination is kept out of the training videos: one action of each tissue and instrument."""
    places = (list(TISSUES).index(tissue), list(INSTRUMENTS).index(instrument), list(ACTIONS).index(action))
    return sum(places) % len(ACTIONS) == 0


def plan_video(rng: np.random.Generator, test: bool) -> list[Task]:
    """Returns the tasks of a video. In a test video one task of each step is a combination training never sees."""
    tasks, time = [], 0.0
    for phase, tissue in enumerate(rng.choice(list(TISSUES), PHASES, replace=False)):
        for step, instrument in enumerate(rng.choice(list(INSTRUMENTS), STEPS, replace=False)):
            seen = [action for action in ACTIONS if not is_unseen(tissue, instrument, action)]
            unseen = [action for action in ACTIONS if is_unseen(tissue, instrument, action)]
            actions = list(rng.choice(seen, TASKS - test, replace=False)) + unseen * test
            for action in rng.permutation(actions):
                tasks.append(Task(str(tissue), str(instrument), str(action), time, phase, step))
                time += TASK_S + PAUSE_S
    return tasks


SCHEMA = """
    CREATE TABLE videos(
        video_id INTEGER PRIMARY KEY, title varchar, name varchar, url varchar, runtime varchar, year INTEGER,
        fps FLOAT, duration FLOAT, frame_count INTEGER, width INTEGER, height INTEGER, youtube_id varchar,
        description TEXT, procedure_modality varchar, procedure_type varchar, specialty varchar, subject varchar,
        total_caption_count INTEGER);
    CREATE TABLE levels(level_id INTEGER PRIMARY KEY, name varchar NOT NULL);
    CREATE TABLE captions(
        caption_id INTEGER PRIMARY KEY, video_id INTEGER NOT NULL REFERENCES videos(video_id), video_name varchar,
        level_id INTEGER NOT NULL REFERENCES levels(level_id), raw_narration TEXT, start_time FLOAT, end_time FLOAT,
        duration FLOAT, is_surgical_content BOOLEAN, is_descriptive BOOLEAN, caption TEXT);
    CREATE TABLE transcriptions(
        transcription_id INTEGER PRIMARY KEY, video_id INTEGER NOT NULL REFERENCES videos(video_id),
        file_path varchar, text TEXT);
"""


def caption_rows(tasks: list[Task], rng: np.random.Generator) -> list[tuple]:
    """Returns the captions of a video: level, narration, start, end, is_surgical_content, is_descriptive, caption."""
    rows = []
    spans: dict[tuple, list[Task]] = {}
    for task in tasks:
        spans.setdefault((Level.PHASE, task.phase), []).append(task)
        spans.setdefault((Level.STEP, task.phase, task.step), []).append(task)
        spans.setdefault((Level.TASK, task.start_time), []).append(task)
    for (level, *_), inside in spans.items():
        first = inside[0]
        template = {Level.PHASE: PHASE_CAPTION, Level.STEP: STEP_CAPTION, Level.TASK: TASK_CAPTIONS[first.action]}[
            level
        ]
        words = {"tissue": first.tissue, "instrument": first.instrument}
        narration = str(rng.choice(NARRATIONS[level])).format(**words)
        rows.append((level, narration, first.start_time, inside[-1].end_time, 1, 1, template.format(**words)))
    for number, (text, surgical, descriptive) in enumerate(REMARKS):
        start = tasks[number].start_time
        rows.append((Level.TASK, text, start, start + TASK_S, surgical, descriptive, text))
    return rows


def draw_youtube_id(rng: np.random.Generator, test: bool) -> str:
    """Returns an id of eleven characters whose place in the split by video is the wanted one."""
    while True:
        identifier = "demo" + "".join(rng.choice(list(string.ascii_letters + string.digits), 7))
        if (split_position(identifier) < TEST_FRACTION) == test:
            return identifier


def write_corpus(
    data_dir: str | Path, seed: int = 0, num_train: int = 120, num_test: int = 24, num_silent: int = 4
) -> Path:
    """
    Writes `surglavi_beta.db` in the published schema, and `videos/`, into `data_dir`; returns the folder.

    `load_dataset("surglavi", data_dir=data_dir, test_fraction=TEST_FRACTION)` splits it as planned. The database is
    written last: where it is, the corpus is whole.

    Args:
        data_dir: Folder to write to.
        seed: Of everything drawn.
        num_train: Videos the split by video gives to training.
        num_test: Videos it gives to testing; a third of their tasks are combinations training never sees.
        num_silent: Videos without captions.
    """
    data_dir = Path(data_dir)
    library = VideoLibrary(data_dir)
    rng = np.random.default_rng(seed)
    videos = []
    for number in range(num_train + num_test + num_silent):
        test = num_train <= number < num_train + num_test
        videos.append((f"procedure-{number + 1:03d}", draw_youtube_id(rng, test), plan_video(rng, test)))
    # Spawned, since forking a process that has started threads (torch's, say) may hang.
    with ProcessPoolExecutor(min(8, os.cpu_count() or 1), mp_context=multiprocessing.get_context("spawn")) as pool:
        with interrupts_for_us_alone():  # the processes start here
            jobs = [
                pool.submit(write_video, library.video_path(name), tasks, [seed, number])
                for number, (name, _, tasks) in enumerate(videos)
            ]
        try:
            durations = [job.result() for job in tqdm(jobs, desc="draw videos", unit="video")]
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or all the rest would be drawn before it is heard
            raise

    beside = data_dir / f".{DATABASE_NAME}-unfinished"
    beside.unlink(missing_ok=True)
    with closing(sqlite3.connect(beside)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany("INSERT INTO levels VALUES (?, ?)", [(level, level.name.lower()) for level in Level])
        for number, ((name, youtube_id, tasks), duration) in enumerate(zip(videos, durations, strict=True)):
            rows = caption_rows(tasks, rng) if number < num_train + num_test else []
            _insert(connection, number + 1, name, youtube_id, duration, rows)
    beside.rename(data_dir / DATABASE_NAME)
    return data_dir


def _insert(
    connection: sqlite3.Connection, video_id: int, name: str, youtube_id: str, duration: float, rows: list[tuple]
) -> None:
    """Inserts a video with its captions (as `caption_rows` makes them) and its transcription."""
    video = {
        "video_id": video_id,
        "title": f"Drawn procedure {video_id}",
        "name": name,
        "url": f"https://www.youtube.com/watch?v={youtube_id}",
        "runtime": f"{int(duration) // 60}:{int(duration) % 60:02d}",
        "year": 2026,
        "fps": FPS,
        "duration": duration,
        "frame_count": round(duration * FPS),
        "width": SIZE,
        "height": SIZE,
        "youtube_id": youtube_id,
        "description": "Drawn by surglavi demo.",
        "procedure_modality": "laparoscopic",
        "procedure_type": "drawing",
        "specialty": "demo",
        "subject": None,
        "total_caption_count": len(rows),
    }
    connection.execute(
        f"INSERT INTO videos({', '.join(video)}) VALUES ({', '.join('?' * len(video))})", list(video.values())
    )
    connection.executemany(
        "INSERT INTO captions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (video_id, name, level, narration, start, end, end - start, surgical, descriptive, caption)
            for level, narration, start, end, surgical, descriptive, caption in rows
        ],
    )
    if rows:
        spoken = " ".join(row[1] for row in rows if row[0] is Level.TASK)
        connection.execute(
            "INSERT INTO transcriptions VALUES (NULL, ?, ?, ?)", (video_id, f"transcriptions/{name}.json", spoken)
        )
