# SPDX-License-Identifier: Apache-2.0
"""A small SurgLaVi look-alike: drawn procedures, and a database of captions true of them.

A phase is a tissue, a step an instrument on that tissue, a task an action with that instrument. Every action has its
own look but for the motion pair, whose clips are the same frames in opposite order.
"""

import multiprocessing
import os
import string
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..data import DATABASE_NAME, CorpusInfo, Level, split_position
from ..data.write_database import NewCaption, NewVideo, write_database
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

    title = "Drawn procedures"
    CorpusInfo(title, "Procedures drawn by surglavi demo, and captions that are true of them.", "apache-2.0").write(
        data_dir
    )
    silent = range(num_train + num_test, len(videos))
    rows = [[] if number in silent else caption_rows(tasks, rng) for number, (_, _, tasks) in enumerate(videos)]
    numbered = enumerate(zip(videos, durations, rows, strict=True), start=1)
    write_database(
        data_dir / DATABASE_NAME,
        [_video(number, name, id_, duration, of) for number, ((name, id_, _), duration, of) in numbered],
    )
    return data_dir


def _video(number: int, name: str, youtube_id: str, duration: float, rows: list[tuple]) -> NewVideo:
    """A video with its captions, as `caption_rows` makes them, and its transcription."""
    columns = {
        "title": f"Drawn procedure {number}",
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
    }
    captions = [
        NewCaption(level, start, end, caption, narration, surgical, descriptive)
        for level, narration, start, end, surgical, descriptive, caption in rows
    ]
    spoken = " ".join(row[1] for row in rows if row[0] is Level.TASK)
    return NewVideo(columns, captions, (f"transcriptions/{name}.json", spoken) if rows else None)
