# SPDX-License-Identifier: Apache-2.0
"""What the data room computes, written out in plain Python, and small databases to compute it on."""

import math
import sqlite3
from pathlib import Path

SCHEMA = """
    CREATE TABLE videos(video_id INTEGER PRIMARY KEY, title, name, url, runtime, year, fps, duration, frame_count,
        width, height, youtube_id, description, procedure_modality, procedure_type, specialty, subject,
        total_caption_count);
    CREATE TABLE levels(level_id INTEGER PRIMARY KEY, name);
    CREATE TABLE captions(caption_id INTEGER PRIMARY KEY, video_id, video_name, level_id, raw_narration, start_time,
        end_time, duration, is_surgical_content, is_descriptive, caption);
    CREATE TABLE transcriptions(transcription_id INTEGER PRIMARY KEY, video_id, file_path, text);
"""
LEVELS = ("task", "step", "phase")
ALIASES = {"task": 1, "fine": 1, "step": 2, "mid": 2, "phase": 3, "coarse": 3}


def write_database(path: Path, **tables: list[dict]) -> Path:
    """Writes a database in the published schema, whose columns take values of any type."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    tables.setdefault("levels", [{"level_id": index + 1, "name": name} for index, name in enumerate(LEVELS)])
    for table, rows in tables.items():
        for row in rows:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
    connection.commit()
    connection.close()
    return path


def stored(path: Path, table: str) -> list[dict]:
    """Returns the rows of a table as they are stored; text that is not UTF-8 with replacement characters."""
    connection = sqlite3.connect(path)
    connection.text_factory = lambda text: text.decode(errors="replace")
    connection.row_factory = sqlite3.Row
    rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")]
    connection.close()
    return rows


def is_number(value) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def is_sound(caption: dict, videos: dict[int, dict], levels: dict[int, int], enhanced_captions: bool = True) -> bool:
    use_narration = caption["caption"] is None or not enhanced_captions
    text = caption["raw_narration"] if use_narration else caption["caption"]
    times = caption["start_time"], caption["end_time"], caption["duration"]
    name = videos.get(caption["video_id"], {}).get("name") if isinstance(caption["video_id"], int) else None
    return (
        isinstance(name, str)
        and bool(name.strip())
        and isinstance(caption["level_id"], int)
        and caption["level_id"] in levels
        and all(map(is_number, times))
        and 0 <= caption["start_time"] < caption["end_time"]
        and caption["duration"] > 0
        and isinstance(text, str)
        and bool(text.strip())
    )


def parent_of(child: dict, captions: list[dict]) -> int | None:
    """Every pair compared."""
    best = None
    for parent in captions:
        if parent["video_id"] == child["video_id"] and parent["level"] == child["level"] + 1:
            overlap = min(parent["end_time"], child["end_time"]) - max(parent["start_time"], child["start_time"])
            if overlap > 0 and overlap >= (child["end_time"] - child["start_time"]) / 2:
                rank = (-overlap, parent["end_time"] - parent["start_time"], parent["caption_id"])
                best = min(best, rank) if best else rank
    return best and best[2]


def sound_captions(path: Path, enhanced_captions: bool = True) -> list[dict]:
    """The captions that can be used, with their level (1 for task) and their parents, which options do not change."""
    videos = {row["video_id"]: row for row in stored(path, "videos")}
    levels = {
        row["level_id"]: ALIASES[row["name"].strip().lower()]
        for row in stored(path, "levels")
        if str(row["name"]).strip().lower() in ALIASES
    }
    captions = [row for row in stored(path, "captions") if is_sound(row, videos, levels, enhanced_captions)]
    for row in captions:
        row["level"] = levels[row["level_id"]]
        row["video"] = videos[row["video_id"]]
        for name in ("start_time", "end_time", "duration"):
            row[name] = float(row[name])
    of_video: dict[int, list[dict]] = {}
    for row in captions:
        if is_sound(row, videos, levels):
            of_video.setdefault(row["video_id"], []).append(row)
    for row in captions:
        row["parent_caption_id"] = parent_of(row, of_video.get(row["video_id"], []))
    return captions


def expected_rows(
    path: Path,
    level: str = "all",
    filter_pairs: bool = True,
    enhanced_captions: bool = True,
    min_duration: float = 0,
    max_duration: float = 500,
    deduplicate: bool = False,
) -> list[dict]:
    """The rows of `load_dataset("surglavi", level, …)`, by the columns that are not copied from the video."""
    rows = []
    for row in sound_captions(path, enhanced_captions):
        narration = row["raw_narration"] if isinstance(row["raw_narration"], str) else None
        text = row["caption"] if enhanced_captions and row["caption"] is not None else narration
        flagged = row["is_descriptive"] == 1 and row["is_surgical_content"] == 1
        if (
            min_duration < row["duration"] <= max_duration
            and level in ("all", LEVELS[row["level"] - 1])
            and (flagged or not filter_pairs)
        ):
            copied = ("caption_id", "parent_caption_id", "video_id", "start_time", "end_time", "duration")
            rows.append(
                {name: row[name] for name in copied}
                | {
                    "video_name": row["video"]["name"],
                    "level": row["level"] - 1,
                    "caption": text,
                    "raw_narration": narration,
                    "is_enhanced": enhanced_captions and row["caption"] is not None,
                    "is_surgical_content": row["is_surgical_content"] == 1,
                    "is_descriptive": row["is_descriptive"] == 1,
                }
            )
    if deduplicate:
        longest: dict[tuple, dict] = {}
        for row in rows:
            key = (row["video_id"], row["level"], row["start_time"], row["end_time"])
            if key not in longest or len(row["caption"]) > len(longest[key]["caption"]):
                longest[key] = row
        rows = sorted(longest.values(), key=lambda row: row["caption_id"])
    return rows
