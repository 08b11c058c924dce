# SPDX-License-Identifier: Apache-2.0
"""The table of clip-caption pairs: built, opened again, and held by eight workers.

Peers, in the same run: a bare SELECT of the same rows and columns, and the way of the upstream loader, which asks for
the captions, then for the video of each with a query of its own, and keeps a list of dictionaries.

    python benchmarks/dataset.py surglavi_beta.db
"""

import argparse
import multiprocessing
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from datasets import disable_progress_bars, load_dataset
from rich.console import Console
from rich.table import Table

from surglavi_hf.data.hierarchy import parent_rows

SELECT = """
    SELECT c.caption_id, c.video_id, v.youtube_id, v.name, c.level_id, c.start_time, c.end_time, c.duration, c.caption,
           c.raw_narration, c.caption IS NOT NULL, c.is_surgical_content, c.is_descriptive, v.title, v.procedure_type,
           v.procedure_modality, v.specialty, v.subject, v.fps, v.width, v.height
    FROM captions AS c JOIN videos AS v USING (video_id)
    WHERE c.duration > 0 AND c.duration <= 500 AND c.is_descriptive = 1 AND c.is_surgical_content = 1
    ORDER BY c.caption_id
"""
UPSTREAM = """
    SELECT * FROM captions
    WHERE duration > 0 AND duration <= 500 AND is_descriptive = 1 AND is_surgical_content = 1 ORDER BY caption_id
"""
WORKERS = 8


def seconds(function: Callable, database: Path, repeats: int = 5) -> float:
    """Returns the median of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(database)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def bare_select(database: Path) -> list[tuple]:
    connection = sqlite3.connect(database)
    rows = connection.execute(SELECT).fetchall()
    connection.close()
    return rows


def upstream_rows(database: Path) -> list[dict]:
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    rows = []
    for caption in connection.execute(UPSTREAM).fetchall():
        video = connection.execute("SELECT * FROM videos WHERE video_id = ?", (caption["video_id"],)).fetchone()
        rows.append({**caption, "video_path": f"{video['name']}/{video['name']}.mp4"})
    connection.close()
    return rows


def private_bytes() -> int:
    """Memory that is this process's alone. Pages of files are the system's: shared, and given back when needed."""
    return sum(region.private_dirty for region in psutil.Process().memory_maps() if region.path.startswith("["))


def read(rows: Sequence, all_of_them: bool, results: multiprocessing.Queue) -> None:
    """Reads every row once, as a DataLoader's worker does in an epoch, or the first ones as often."""
    before, characters = private_bytes(), 0
    for start in range(0, len(rows), 256):
        start = start if all_of_them else 0
        batch = rows[start : start + 256]
        captions = batch["caption"] if isinstance(batch, dict) else [row["caption"] for row in batch]
        characters += sum(map(len, captions))
    results.put((private_bytes() - before, characters))


def worker_megabytes(open_rows: Callable[..., Sequence], *arguments) -> tuple[float, float]:
    """
    Returns the mean growth of the private memory of workers, in MB: for reading all rows rather than the first ones as
    often, and for the latter, which is what Python itself writes to (its garbage collection to every object).
    """
    rows = open_rows(*arguments)
    context = multiprocessing.get_context("fork")
    results, grown = context.Queue(), []
    for all_of_them in (False, True):
        workers = [context.Process(target=read, args=(rows, all_of_them, results)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        found = [results.get() for _ in workers]
        for worker in workers:
            worker.join()
        assert len({characters for _, characters in found}) == 1
        grown.append(statistics.mean(growth for growth, _ in found) / 1e6)
    return grown[1] - grown[0], grown[0]


def in_new_process(function: Callable, *arguments):
    """What ran before leaves free memory all over a process, which its workers would then fill with copies."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        return executor.submit(function, *arguments).result()


def load(database: Path, cache_dir: str):
    disable_progress_bars()
    return load_dataset("surglavi", data_files=str(database), split="train", cache_dir=cache_dir)


def build(database: Path) -> None:
    with tempfile.TemporaryDirectory() as cache_dir:
        load(database, cache_dir)


def hierarchy_seconds(num_captions: int, num_videos: int) -> float:
    rng = np.random.default_rng(0)
    video, level = rng.integers(0, num_videos, num_captions), rng.integers(1, 4, num_captions)
    start_time = rng.uniform(0, 1000, num_captions)
    end_time = start_time + rng.exponential(300, num_captions) + 0.01
    start = time.perf_counter()
    parent_rows(video, level, start_time, end_time)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    database = parser.parse_args().database.absolute()

    select_s, build_s, upstream_s = (seconds(read, database) for read in (bare_select, build, upstream_rows))
    select_new_s, build_new_s = (in_new_process(seconds, read, database, 1) for read in (bare_select, build))
    with tempfile.TemporaryDirectory() as cache_dir:
        num_rows = len(load(database, cache_dir))
        assert num_rows == len(bare_select(database)) == len(upstream_rows(database))
        open_s = seconds(partial(load, cache_dir=cache_dir), database, 20)
        ours_mb = in_new_process(worker_megabytes, load, database, cache_dir)
    upstream_mb = in_new_process(worker_megabytes, upstream_rows, database)

    table = Table("what", "here", "peer", "ratio", title=f"{num_rows:,} rows of {database.name}")
    table.add_row("first build, s", f"{build_s:.2f}", f"{select_s:.2f} bare SELECT", f"{build_s / select_s:.2f}×")
    table.add_row(
        "… in a new process, s",
        f"{build_new_s:.2f}",
        f"{select_new_s:.2f} bare SELECT",
        f"{build_new_s / select_new_s:.2f}×",
    )
    table.add_row(
        "second open, s", f"{open_s:.4f}", f"{upstream_s:.2f} upstream's way", f"1/{upstream_s / open_s:.0f}"
    )
    table.add_row(
        f"private memory of each of {WORKERS} workers for the table, MB",
        f"{ours_mb[0]:.1f}",
        f"{upstream_mb[0]:.1f} upstream's list",
        f"{ours_mb[0] / upstream_mb[0]:.3f}×",
    )
    table.add_row("… and for Python, MB", f"{ours_mb[1]:.1f}", f"{upstream_mb[1]:.1f}")
    for videos in (300, 1):
        table.add_row(
            f"1,000,000 captions of {videos} videos linked, s", f"{hierarchy_seconds(1_000_000, videos):.1f}"
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
