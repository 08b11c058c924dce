# SPDX-License-Identifier: Apache-2.0
"""A corpus of anyone's videos without captions; and how videos come into any corpus that is imported."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from ..media import (
    VIDEO_SUFFIXES,
    VideoDecodeError,
    VideoLibrary,
    VideoSource,
    adopt_videos,
    is_file_name,
    read_header,
)
from ..media.identity import find_youtube_id, named_video
from ..options import option
from ..text_tables import TableRow, read_table, read_text
from .corpus_info import CorpusInfo
from .database import DATABASE_NAME
from .write_database import NewVideo, write_database

ABOUT_COLUMNS = (
    *("title", "year", "procedure_modality", "procedure_type", "specialty", "subject", "description", "url"),
    "youtube_id",
)
_SHOWN = 3  # of what is wrong
_LONGEST = 10_000  # characters of a cell


@dataclass(frozen=True)
class CorpusOptions:
    """What a corpus says of itself."""

    title: str | None = option(None, "Of the corpus, for its cards (default: the name of its folder).")
    license: str | None = option(
        None, "The Hub's name of the captions' licence, such as cc-by-4.0, for its cards.", metavar="NAME"
    )


@dataclass(frozen=True)
class VideoFile:
    """A video on disk, as it declares itself; the duration in seconds, the size in pixels."""

    path: Path
    duration: float
    width: int
    height: int


@dataclass(frozen=True)
class ImportedVideos:
    """
    Args:
        database: That was written.
        videos: Number of videos.
        duration: Of all of them, in seconds.
        described: Number of videos that the table tells about.
    """

    database: Path
    videos: int
    duration: float
    described: int


def import_videos(
    videos: str | os.PathLike,
    data_dir: str | os.PathLike,
    options: CorpusOptions | None = None,
    table: str | os.PathLike | None = None,
) -> ImportedVideos:
    """
    Writes a corpus without captions: a database of the published schema with a row for each video file, and links to
    the files. A video is named as its file is, without the suffix. Everything is checked first; where a video or a row
    is wrong, no database is written. The database is written last: where it is, the corpus is whole.

    Args:
        videos: Folder of the videos, flat or nested.
        data_dir: New folder, or one of an import that was stopped.
        options: What the corpus says of itself.
        table: A CSV or TSV table with `video` and some of [`ABOUT_COLUMNS`]; not every video needs a row.

    Raises:
        FileExistsError: there is a corpus already.
        FileNotFoundError: there is no folder of videos, or no table.
        ValueError: one folder lies in the other, or a video or a row cannot be read; the message names the first.
    """
    options, folder = options or CorpusOptions(), Path(os.path.expanduser(videos))
    data_dir = new_data_dir(data_dir)
    info = CorpusInfo(
        options.title or data_dir.name, "Videos of its publisher, imported by surglavi_hf.", options.license
    )
    table = None if table is None else Path(os.path.expanduser(table))
    if table is not None and not table.is_file():
        raise FileNotFoundError(f"no table at {table}")
    candidates = find_video_files(folder)
    _check_apart(folder, data_dir)
    files, problems = _look_at_all(candidates)
    about = {} if table is None else _read_about(table, problems)
    problems += [
        f"{where}: video {name!r} has no file in {folder}" for name, (where, _) in about.items() if name not in files
    ]
    refuse(problems)
    if not files:
        raise ValueError(f"no videos in {folder}, expected files that end in {', '.join(sorted(VIDEO_SUFFIXES))}")
    link_videos(VideoLibrary(data_dir), files)
    info.write(data_dir)
    rows = [columns_of(name, file) | about.get(name, ("", {}))[1] for name, file in files.items()]
    database = data_dir / DATABASE_NAME
    write_database(database, [NewVideo(row, []) for row in rows])
    return ImportedVideos(database, len(files), sum(file.duration for file in files.values()), len(about))


def new_data_dir(data_dir: str | os.PathLike) -> Path:
    """Returns the folder of a corpus to be. Raises FileExistsError where it has a database."""
    data_dir = Path(os.path.expanduser(data_dir)).absolute()
    if others := sorted(data_dir.glob("*.db")) if data_dir.is_dir() else []:
        raise FileExistsError(f"{others[0]} is there already, a corpus of its own; name a new --data-dir")
    return data_dir


def _check_apart(videos: Path, data_dir: Path) -> None:
    """Raises ValueError where a folder lies in the other: what is linked would be found as videos again."""
    found, new = videos.resolve(), data_dir.resolve()
    if found.is_relative_to(new) or new.is_relative_to(found):
        raise ValueError(
            f"the folder of videos {videos} and the new one {data_dir} lie in one another, expected two apart; "
            "name another --data-dir"
        )


def find_video_files(folder: Path) -> dict[str, list[Path]]:
    """Returns the video files in a folder and those below it, by name without the suffix, sorted."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of videos at {folder}")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not path.name.startswith("."):
            found.setdefault(path.stem, []).append(path)
    return found


def look_at(path: Path) -> VideoFile:
    """Returns what a video declares. Raises OSError, VideoDecodeError, or ValueError where it declares no duration."""
    header = read_header(str(path))
    if not header.duration:
        raise ValueError(f"{path} does not say how long it is; remux it (ffmpeg -i IN -c copy OUT)")
    return VideoFile(path.resolve(), header.duration, header.width, header.height)


def refuse(problems: Sequence[str]) -> None:
    """Raises ValueError where something is wrong, which names the first."""
    if problems:
        more = f"; {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
        raise ValueError(f"{'; '.join(problems[:_SHOWN])}{more}; nothing is imported, mend the rows")


def link_videos(library: VideoLibrary, files: Mapping[str, VideoFile]) -> None:
    """Links the videos, each read as a download is. Raises ValueError where one is not whole."""
    for folder in sorted({video.path.parent for video in files.values()}):
        sources = [VideoSource(name) for name, video in files.items() if video.path.parent == folder]
        adoption = adopt_videos(library, sources, folder)
        wrong = {path: reason for path, reason in adoption.skipped.items() if path.stem in files}
        refuse([f"{path} {reason}" for path, reason in wrong.items()])
    for name, video in files.items():
        if library.video_path(name).resolve() != video.path:
            raise ValueError(f"{library.video_path(name)} is another file than {video.path}; name a new --data-dir")


def columns_of(name: str, video: VideoFile) -> dict[str, str | int | float | None]:
    """Returns what the database says of a video of which its file alone is known."""
    seconds = round(video.duration)
    return {
        "title": name,
        "name": name,
        "runtime": f"{seconds // 3600}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}",
        "duration": video.duration,
        "width": video.width,
        "height": video.height,
    }


def _look_at_all(candidates: Mapping[str, Sequence[Path]]) -> tuple[dict[str, VideoFile], list[str]]:
    files: dict[str, VideoFile] = {}
    problems: list[str] = []
    for name, paths in tqdm(candidates.items(), desc="looking", unit=" video", dynamic_ncols=True, delay=2):
        if not is_file_name(name):
            problems.append(f"{paths[0]}: video {name!r} cannot be a file's name; rename it")
        elif len(paths) > 1:
            problems.append(f"{paths[0]} and {paths[1]} would be one video by their names; rename one of them")
        else:
            try:
                files[name] = look_at(paths[0])
            except (OSError, VideoDecodeError, ValueError) as error:
                problems.append(str(error))
    return files, problems


def _read_about(path: Path, problems: list[str]) -> dict[str, tuple[str, dict[str, str | int]]]:
    """Returns of each video of the table where its row is, and its columns; adds to `problems`."""
    _check_header(path)
    found: dict[str, tuple[str, dict[str, str | int]]] = {}
    for row in read_table(path, ("video",), ABOUT_COLUMNS):
        name = named_video(row.cells["video"])
        if name in found:
            problems.append(f"{row.where}: video {name!r} is there twice, first in {found[name][0]}")
            continue
        found[name] = (row.where, {})
        try:
            found[name] = (row.where, _about(row))
        except ValueError as error:
            problems.append(str(error))
    return found


def _check_header(path: Path) -> None:
    """Raises ValueError where the table has columns that would be passed over in silence."""
    line = next((line for line in read_text(path).split("\n") if line.strip()), "")
    for delimiter in ",;\t":
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
        known = ("video", *ABOUT_COLUMNS)
        if "video" in map(str.casefold, names):
            if unknown := [name for name in names if name and name.casefold() not in known]:
                raise ValueError(
                    f"{path}, line 1: column {unknown[0][:60]!r}, "
                    f"expected video and some of {', '.join(ABOUT_COLUMNS)}"
                )
            return


def _about(row: TableRow) -> dict[str, str | int]:
    cells = {name: " ".join(text.split()) for name, text in row.cells.items() if name != "video" and text}
    for name, text in cells.items():
        if not text.isprintable() or len(text) > _LONGEST:
            raise row.error(
                f"{name} {text[:60]!r}, expected at most {_LONGEST:,} characters without control characters"
            )
    values: dict[str, str | int] = dict(cells)
    if year := cells.get("year"):
        if not (year.isascii() and year.isdecimal() and len(year) == 4):
            raise row.error(f"year {year[:60]!r}, expected four digits")
        values["year"] = int(year)
    if (youtube_id := cells.get("youtube_id")) and not find_youtube_id(youtube_id):
        raise row.error(f"youtube_id {youtube_id[:60]!r}, expected an id of 11 characters, or an address that has one")
    return values
