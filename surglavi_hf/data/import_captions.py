# SPDX-License-Identifier: Apache-2.0
"""A corpus of anyone's videos and captions, in the form that SurgLaVi has: everything else then works on it."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tqdm.auto import tqdm

from ..media import VideoDecodeError, VideoLibrary, is_file_name
from ..options import option
from .caption_files import FoundCaption, by_video, read_caption_files
from .corpus_info import CorpusInfo
from .database import DATABASE_NAME, Level
from .import_videos import (
    CorpusOptions,
    VideoFile,
    columns_of,
    find_video_files,
    link_videos,
    look_at,
    new_data_dir,
    refuse,
)
from .write_database import NewCaption, NewVideo, write_database

_PAST_END_S = 1.0  # containers round durations


@dataclass(frozen=True)
class ImportOptions(CorpusOptions):
    """What captions do not say of themselves."""

    level: Literal["task", "step", "phase"] = option("task", "Of captions whose file says no level.")


@dataclass
class Imported:
    """
    Args:
        database: That was written.
        captions: Numbers by level.
        videos: Number of videos.
        doubled: Captions that came twice and are there once.
        unused: Video files that no caption is of.
    """

    database: Path
    captions: Counter = field(default_factory=Counter)
    videos: int = 0
    doubled: int = 0
    unused: list[Path] = field(default_factory=list)


def import_captions(
    captions: str | os.PathLike,
    videos: str | os.PathLike,
    data_dir: str | os.PathLike,
    options: ImportOptions | None = None,
) -> Imported:
    """
    Writes a corpus: a database of the published schema, and links to the videos. Everything is checked first; where a
    row is wrong, nothing is written. The database is written last: where it is, the corpus is whole.

    Args:
        captions: A file or folder, as [`read_caption_files`].
        videos: Folder of the videos, flat or nested; a file is a video's where its name without the suffix is.
        data_dir: New folder, or one of an import that was stopped.
        options: What captions do not say of themselves.

    Raises:
        FileExistsError: there is a corpus already.
        FileNotFoundError: there are no captions, or no folder of videos.
        ValueError: a row or a video cannot be read; the message names the first.
    """
    options = options or ImportOptions()
    data_dir = new_data_dir(data_dir)
    info = CorpusInfo(
        options.title or data_dir.name,
        "Videos and captions of its publisher, imported by surglavi_hf.",
        options.license,
    )
    found, problems = read_caption_files(Path(os.path.expanduser(captions)))
    of_videos = by_video(found)
    files, unused = _find_videos(Path(os.path.expanduser(videos)), of_videos, problems)
    problems += [problem for caption in found if (problem := _problem(caption, files.get(caption.video)))]
    refuse(problems)
    if not found:
        raise ValueError("there are no captions to import")
    imported = Imported(data_dir / DATABASE_NAME, videos=len(of_videos), unused=unused)
    rows = {}
    for name, captions_of in of_videos.items():
        distinct = dict.fromkeys(
            NewCaption(caption.level or Level[options.level.upper()], caption.start, caption.end, caption.caption)
            for caption in captions_of
        )
        imported.doubled += len(captions_of) - len(distinct)
        rows[name] = sorted(distinct, key=lambda caption: (caption.start, -caption.end, -caption.level))
        imported.captions.update(Level(caption.level).name.lower() for caption in rows[name])
    link_videos(VideoLibrary(data_dir), files)
    info.write(data_dir)
    write_database(imported.database, [NewVideo(columns_of(name, files[name]), rows[name]) for name in of_videos])
    return imported


def _find_videos(
    folder: Path, of_videos: dict[str, list[FoundCaption]], problems: list[str]
) -> tuple[dict[str, VideoFile], list[Path]]:
    """The files of the videos that captions are of, each looked at; adds to `problems`."""
    candidates = find_video_files(folder)
    files: dict[str, VideoFile] = {}
    for name, captions in tqdm(of_videos.items(), desc="looking", unit=" video", dynamic_ncols=True, delay=2):
        where, paths = captions[0].where, candidates.pop(name, [])
        if not is_file_name(name):
            problems.append(f"{where}: video {name!r} cannot be a file's name")
        elif len(paths) != 1:
            several = f"several files, {paths[0]} and {paths[1]}" if paths else "no file"
            problems.append(f"{where}: video {name!r} has {several} in {folder}")
        else:
            try:
                files[name] = look_at(paths[0])
            except (OSError, VideoDecodeError, ValueError) as error:
                problems.append(f"{where}: {error}")
    return files, [path for paths in candidates.values() for path in paths]


def _problem(caption: FoundCaption, video: VideoFile | None) -> str | None:
    span = f"from {caption.start:g} to {caption.end:g} s"
    if caption.start < 0 or caption.end <= caption.start:
        return f"{caption.where}: {span}, expected 0 <= start < end"
    if video is not None and caption.end > video.duration + _PAST_END_S:
        return f"{caption.where}: {span}, and {video.path.name} lasts {video.duration:.1f} s"
    return None
