# SPDX-License-Identifier: Apache-2.0
"""What readers of labels share: the form of a reader, tables of text, folders of frames."""

import csv
import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ..frame_source import FrameSource, ImageFrames, VideoFrames

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")  # as the released package
Kind = Literal["single_label", "multi_label", "triplet"]
# A class index, or for several classes a tuple of 0 and 1, one a class.
Label = int | tuple[int, ...]


@dataclass(frozen=True)
class Numbering:
    """
    How the frames of a benchmark are counted.

    Args:
        first: Number of the first frame.
        step: From one number to the next.
        seconds: Of video for each number.
        origin: Number whose time is 0 s.
        by_name: Whether frame files are named by these numbers. If not, the benchmark ships no frames, and the first
            file of a folder stands for the first number, whatever it is called.
        complete: Whether every frame has a label.
    """

    first: int = 0
    step: int = 1
    seconds: float = 1.0
    origin: int = 0
    by_name: bool = True
    complete: bool = True

    def time(self, number: int) -> float:
        """Returns the time of a frame, in seconds."""
        return (number - self.origin) * self.seconds


@dataclass(frozen=True, kw_only=True)
class LabelReader(ABC):
    """
    Reads the labels of a data set in some form. A benchmark's file names it under `labels: {reader: NAME}`; further
    fields that are made by [`option`] are given there, too. It keeps nothing that is not in the files.

    Args:
        classes: Names, by class index.
        kind: "single_label", "multi_label" or "triplet".
        video_files: Where the video may be, below the root, with `{video}` for its name.
        frame_folders: Where its frames may be.
    """

    tree: ClassVar[str] = ""  # the folders it expects, to show where they are not so
    numbering: ClassVar[Numbering] = Numbering()  # how frames are counted
    listed_in: ClassVar[str] = "the owners' numbering"  # what says which frames there are

    classes: tuple[str, ...]
    kind: Kind
    video_files: tuple[str, ...] = ("videos/{video}.mp4",)
    frame_folders: tuple[str, ...] = ("frames/{video}",)

    @abstractmethod
    def videos(self, root: Path) -> list[str]:
        """Returns the names of the videos that have labels, in order."""

    @abstractmethod
    def labels(self, root: Path, video: str, variant: str) -> Mapping[int, Label]:
        """
        Returns the labels of a video by frame number.

        Raises:
            FileNotFoundError: the labels are not where they are expected.
            ValueError: they cannot be read; the message names file and line.
        """

    def split_videos(self, root: Path, split: str, variant: str, known: Sequence[str] | None) -> Sequence[str] | None:
        """
        Returns the videos of a split; None where the variant has no such split.

        Args:
            known: Those of the data file.

        Raises:
            FileNotFoundError: the owners' files tell, and they are not there.
        """
        return known

    def labels_of(self, video: str, labels: Mapping[int, Label], listed: Sequence[int]) -> Mapping[int, Label]:
        """
        Returns the labels of the frames that are there.

        Args:
            video: Its name.
            labels: Of the video, from `labels`.
            listed: Numbers of the frames that there are.

        Raises:
            ValueError: labels are of another video.
        """
        present = set(listed)
        return {number: label for number, label in labels.items() if number in present}

    def counted(self, root: Path, videos: Sequence[str]) -> Mapping[str, int | str]:
        """Returns what was found in the labels of these videos that a report has to say."""
        return {}

    def missing(self, what: str, root: Path) -> FileNotFoundError:
        return FileNotFoundError(f"{what} is not in {root}; expected {self.tree}")

    def find(self, root: Path, video: str, patterns: Sequence[str]) -> Path:
        """
        Returns the first file that is there.

        Raises:
            FileNotFoundError: none is.
        """
        for pattern in patterns:
            if (path := root / pattern.format(video=video)).is_file():
                return path
        raise self.missing(patterns[0].format(video=video), root)

    def listed(self, root: Path, patterns: Sequence[str]) -> list[str]:
        """
        Returns the names of the videos for which there is a file of a pattern.

        Raises:
            FileNotFoundError: there are none.
        """
        for pattern in patterns:
            expression = re.compile(re.escape(Path(pattern).name).replace(r"\{video\}", "(.+)"))
            folder = root / Path(pattern).parent
            names = os.listdir(folder) if folder.is_dir() else []
            if found := sorted(match[1] for name in names if (match := expression.fullmatch(name))):
                return found
        raise self.missing(patterns[0].format(video="VIDEO"), root)

    def frame_source(
        self, root: Path, video: str, numbers: Sequence[int], frames_dir: Path | None
    ) -> tuple[FrameSource, list[int]] | None:
        """
        Returns the frames on disk and their numbers; None where there is no folder of frames.

        Args:
            numbers: Those that have labels.
            frames_dir: Where the folders of frames are, if not below the root.

        Raises:
            FileNotFoundError: a labelled frame is missing.
            ValueError: there are other frames than labels, as at another frame rate.
        """
        found = self.frame_files(root, video, frames_dir)
        if found is None:
            return None
        numbering, (folder, files) = self.numbering, found
        lacking = [number for number in numbers if number not in files]
        if numbering.complete and lacking == list(numbers[-1:]) and len(numbers) > 1:
            lacking = []  # the last second may be less than one, and FFmpeg may round it down
        if lacking:
            raise FileNotFoundError(
                f"{len(lacking)} of {len(numbers)} labelled frames of {video} are not in {folder}, the first of them "
                f"number {lacking[0]} (there are {len(files)} frames); extract the frames again"
            )
        # FFmpeg's fps filter may round the last frame up. Frames at another rate have most of their labels wrong.
        limit = len(numbers) + 1 if numbering.complete else 3 * (max(numbers, default=0) + 20)
        if len(files) > limit:
            raise ValueError(
                f"{folder} has {len(files)} frames and there are {len(numbers)} labels, expected one each; extract "
                f"the frames again at {1 / (numbering.seconds * numbering.step):g} a second"
            )
        return ImageFrames(folder, tuple(files.values())), list(files)

    def frame_files(self, root: Path, video: str, frames_dir: Path | None) -> tuple[Path, dict[int, str]] | None:
        """
        Returns the folder of a video's frames, and its files by number; None where there is none.

        Raises:
            FileNotFoundError: a frame is missing between others.
            ValueError: frames are numbered otherwise than labels.
        """
        folders = [root / pattern.format(video=video) for pattern in self.frame_folders]
        if frames_dir is not None:
            folders = [frames_dir / video / "rgb", frames_dir / video]
        folder = next((folder for folder in folders if folder.is_dir()), None)
        if folder is None:
            return None
        numbering, files = self.numbering, numbered_images(folder)
        if not numbering.by_name and files:
            files = _renumbered(folder, files, numbering.first)
        files = {number: name for number, name in files.items() if (number - numbering.first) % numbering.step == 0}
        if any(number < numbering.first for number in files):
            raise ValueError(
                f"{folder} has a frame {min(files)}, expected them to count from {numbering.first} as the labels do; "
                "rename or extract them"
            )
        return folder, files

    def listed_times(self, video: str, files: Sequence[str], numbers: Sequence[int]) -> list[float]:
        """Returns the times of the frames of a frame list, in seconds; NaN where they are not known."""
        origin = self.numbering.origin if self.numbering.by_name else min(numbers, default=0)
        return [(number - origin) * self.numbering.seconds for number in numbers]

    def video_path(self, root: Path, video: str) -> Path | None:
        """Returns where the video is; None where it is not there."""
        paths = (root / pattern.format(video=video) for pattern in self.video_files)
        return next((path for path in paths if path.is_file()), None)

    def video_source(self, root: Path, video: str, numbers: Sequence[int]) -> tuple[FrameSource, list[int]] | None:
        """Returns frames straight from the video and their numbers; None where the video is not there."""
        path = self.video_path(root, video)
        if path is None:
            return None
        numbering = self.numbering
        every = list(range(numbering.first, max(numbers, default=numbering.first) + 1, numbering.step))
        return VideoFrames(path, tuple(numbering.time(number) for number in every)), every


def _renumbered(folder: Path, files: dict[int, str], first: int) -> dict[int, str]:
    """Counts the files of a folder from `first`, whatever number theirs start with."""
    found = list(files)
    if found[0] > 1:
        raise FileNotFoundError(
            f"the frames in {folder} start with number {found[0]}, expected 0 or 1; extract them again"
        )
    if gaps := [number for number in range(found[0], found[-1] + 1) if number not in files]:
        raise FileNotFoundError(f"frame number {gaps[0]} is not in {folder}, where its neighbours are; extract it")
    return {number - found[0] + first: name for number, name in files.items()}


def numbered_images(folder: Path) -> dict[int, str]:
    """
    Returns the image files of a folder by the number at the end of their names, in order.

    Raises:
        ValueError: two files have one number.
    """
    files: dict[int, str] = {}
    for name in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(name)
        match = re.search(r"(\d+)$", stem, re.ASCII)
        if suffix.lower() not in IMAGE_SUFFIXES or not match:
            continue
        if (number := int(match[1])) in files:
            raise ValueError(f"{folder} has {files[number]} and {name}, both number {number}; keep one of them")
        files[number] = name
    return dict(sorted(files.items()))


def read_rows(path: Path, delimiter: str, columns: int | None, header: Sequence[str] = ()) -> Iterator["Row"]:
    """
    Yields the rows of a table of text.

    Args:
        path: The file.
        delimiter: Between cells.
        columns: How many a row must have; None for any.
        header: Names of the first line; without it there is none.

    Raises:
        ValueError: another header, or a row with more or fewer cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, delimiter=delimiter))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no table of text ({error})") from error
    if header and lines:
        _drop_empty_end(lines[0], len(header))
    if header and (not lines or [cell.strip().lower() for cell in lines[0]] != [name.lower() for name in header]):
        found = delimiter.join(lines[0]) if lines else "an empty file"
        raise ValueError(f"{path}, line 1: {found!r}, expected the header {delimiter.join(header)!r}")
    for number, cells in enumerate(lines[1:] if header else lines, start=2 if header else 1):
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        _drop_empty_end(cells, columns)
        if columns is not None and len(cells) != columns:
            raise ValueError(f"{path}, line {number}: {len(cells)} cells, expected {columns}")
        yield Row(path, number, cells)


def _drop_empty_end(cells: list[str], columns: int | None) -> None:
    """Lines may end with a delimiter."""
    while columns is not None and len(cells) > columns and not cells[-1].strip():
        cells.pop()


@dataclass(frozen=True)
class Row:
    """A row of a table of text, and where it stands."""

    path: Path
    line: int
    cells: list[str]

    def integer(self, cell: int, what: str, below: int | None = None, least: int = 0) -> int:
        """
        Returns a cell as a whole number.

        Raises:
            ValueError: it is none, is less than `least`, or not below `below`.
        """
        text = self.cells[cell]
        try:
            value = float(text)  # some writers give 1.0
        except ValueError:
            value = math.nan
        if not value.is_integer() or value < least or (below is not None and value >= below):
            limit = f" from {least} to {below - 1}" if below is not None else f" >= {least}"
            raise self.error(f"{what} {text!r}, expected a whole number{limit}")
        return int(value)

    def error(self, message: str) -> ValueError:
        return ValueError(f"{self.path}, line {self.line}: {message}")


def files_by_video(root: Path, pattern: str) -> dict[str, Path]:
    """Returns the files below a root that a pattern names, by what stands for `{video}` in it, in order of names."""
    expression = re.compile(re.escape(pattern).replace(r"\{video\}", "([^/]+)", 1).replace(r"\{video\}", r"\1"))
    found = {}
    for path in sorted(root.glob(pattern.replace("{video}", "*"))):
        match = expression.fullmatch(path.relative_to(root).as_posix())
        if match and path.is_file() and not match[1].startswith("."):
            found[match[1]] = path
    return found
