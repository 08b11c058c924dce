# SPDX-License-Identifier: Apache-2.0
"""Transcripts out of subtitles, which people or programs wrote."""

import html
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..data.caption_files import SUBTITLES, Cue, read_cues
from .transcripts import Transcript, Word, in_order, spread

_ROLLING_S = 0.1  # subtitles that follow one another as closely may repeat lines, as YouTube's do
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]+)*")
# What nobody says: [Music], a line in (brackets), notes and what is sung, >> and the names of speakers.
_UNSAID = re.compile(
    r"\[[^\[\]]*\]|^\s*\([^()]*\)\s*$|[♩♪♫♬][^♩♪♫♬]*(?:[♩♪♫♬]+|$)"
    r"|^\s*(?:>>+|--?(?=\s))|^\s*[A-Z][A-Z .'-]{1,30}:(?=\s)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Subtitles:
    """
    Args:
        transcript: Of the video.
        num_removed: How many signs of sounds, of music and of speakers were left out.
        num_repeated: How many lines that a subtitle repeats of the one before it.
    """

    transcript: Transcript
    num_removed: int
    num_repeated: int


def find_subtitles(
    folder: Path, video: str | None = None, language: str | None = None, videos: Collection[str] = ()
) -> Path | None:
    """
    Returns the file of subtitles in a folder: of several one without a language in its name, then one of the
    language that is spoken (`.en-orig`, as yt-dlp names it), then the first.

    Args:
        folder: Where to look, not below it; it need not be there.
        video: The name that the file has, but for language and suffix; any where it is None.
        language: Code that the file has, where it has one; any where it is None.
        videos: Names of all videos: `a.tep.srt` is of `a.tep` where there is such a video, and not of `a`.
    """
    found = []
    for path in _files(folder):
        of_file = language_of(path, video)
        if video is not None and video not in _videos_of(path, videos):
            continue
        if language is None or of_file is None or _main(of_file) == _main(language):
            found.append((of_file is not None, not (of_file or "").endswith("-orig"), path.name, path))
    return min(found)[-1] if found else None


def unused_subtitles(folder: Path, videos: Collection[str]) -> list[str]:
    """Returns the names of the files of subtitles in a folder that are of none of the videos, sorted."""
    return sorted(path.name for path in _files(folder) if not any(name in videos for name in _videos_of(path, videos)))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUBTITLES and not path.name.startswith(".") and path.is_file()
    ]


def _videos_of(path: Path, videos: Collection[str]) -> tuple[str, ...]:
    """Returns the names that the video of a file may have: its own, and that without a language."""
    language = language_of(path)
    if language is None or path.stem in videos:
        return (path.stem,)
    return path.stem, path.stem.removesuffix(f".{language}")


def language_of(path: Path, video: str | None = None) -> str | None:
    """Returns the code at the end of a file's name, as in `video.en.vtt`; never a part of the video's name."""
    stem, _, language = path.stem.rpartition(".")
    return language if stem and path.stem != video and _LANGUAGE.fullmatch(language) else None


def _main(language: str) -> str:
    return language.partition("-")[0].lower()


def read_subtitles(path: Path, video: str) -> Subtitles:
    """
    Returns what subtitles say. Within a subtitle, words take their share of the time by their characters; one ends
    where the next begins. Tags are left out, and what nobody says.

    Args:
        path: In SRT or VTT.
        video: The name of the video.

    Raises:
        FileNotFoundError: it is not there.
        ImportError: pysubs2 is not installed.
        ValueError: it cannot be read, or has times or characters that cannot be; the message names the file.
    """
    cues, num_removed, num_repeated = [], 0, 0
    shown, until = [], -math.inf
    for number, cue in enumerate(read_cues(path), start=1):
        if not 0 <= cue.start <= cue.end:
            raise ValueError(
                f"{path}, subtitle {number}: from {cue.start:g} to {cue.end:g} s, expected 0 <= start <= end; mend it"
            )
        text, count = _UNSAID.subn(" ", html.unescape(cue.text))
        num_removed += count
        lines = [line for line in (" ".join(line.split()) for line in text.split("\n")) if line]
        repeated = _num_repeated(shown, lines) if cue.start - until <= _ROLLING_S else 0
        num_repeated += repeated
        if lines:
            shown, until = lines, max(until, cue.end)
        if said := " ".join(lines[repeated:]):
            cues.append(Cue(cue.start, cue.end, said))
    cues.sort(key=lambda cue: cue.start)
    try:
        words = tuple(in_order(_words(cues), math.inf))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; mend it") from error
    settings = {"subtitles": path.name}
    transcript = Transcript(video, language_of(path, video), words, "subtitles", settings=settings)
    return Subtitles(transcript, num_removed, num_repeated)


def _num_repeated(shown: list[str], lines: list[str]) -> int:
    """Returns how many lines at the beginning are the last of those that were shown."""
    most = min(len(shown), len(lines))
    return next((number for number in range(most, 0, -1) if shown[-number:] == lines[:number]), 0)


def _words(cues: list[Cue]) -> Iterator[Word]:
    for number, cue in enumerate(cues):
        after = cues[number + 1].start if number + 1 < len(cues) else math.inf
        yield from spread(cue.text, cue.start, min(cue.end, after) if after > cue.start else cue.end)
