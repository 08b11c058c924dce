# SPDX-License-Identifier: Apache-2.0
"""Labels that are said of stretches of time, put on the frames that are evaluated."""

import logging
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ...media import read_header
from ...options import option
from ..frame_source import FrameSource, ImageFrames, VideoFrames
from .label_reader import Label, LabelReader, Numbering, files_by_video

logger = logging.getLogger(__name__)

_ROUNDING = 1e-6  # of a frame; 0.1 + 0.2 is no later than 0.3
_SHOWN = 3  # of what is wrong
_FASTEST = 1000.0  # frames a second
_LONGEST = 5_000_000  # frames of a video; more are a mistake, and would fill the memory


@dataclass(frozen=True)
class Interval:
    """
    Args:
        start: In seconds, included.
        end: In seconds, excluded.
        label: As the file has it.
        where: The file and the line or entry, for messages.
    """

    start: float
    end: float
    label: str
    where: str


@dataclass(frozen=True, kw_only=True)
class OwnLabels(LabelReader):
    """
    What readers of anyone's labels share: videos at `fps` evaluated frames a second, frame n at n / fps seconds, or
    folders of frames that were extracted at that rate.
    """

    listed_in: ClassVar[str] = "steps of 1 / fps s from the start of the video"

    fps: float = option(1.0, "Evaluated frames a second.")
    ignore: tuple[str, ...] = option((), "Labels whose frames are left out, as if they had none.")
    class_ids_from: int | None = option(None, "Labels are numbers of classes, which count from this.", least=0)

    def __post_init__(self):
        if not 0 < self.fps <= _FASTEST:
            raise ValueError(f"fps={self.fps}, expected evaluated frames a second, such as 1, up to {_FASTEST:g}")
        if both := [label for label in self.ignore if self._place(label) is not None]:
            raise ValueError(f"ignore has {both[0]!r}, which is a class; leave it out of either")

    def check_file_of_each(self, files: str) -> None:
        """
        Raises:
            ValueError: a pattern of a file for each video has no place for its name.
        """
        if "{video}" not in files:
            raise ValueError(f"files={files!r} has no {{video}}, which stands for a video's name")

    @property
    def numbering(self) -> Numbering:
        return Numbering(seconds=1 / self.fps, by_name=False, complete=False)

    def class_of(self, label: str, where: str) -> int | None:
        """
        Returns the index of a label's class, None of one that is ignored.

        Raises:
            ValueError: there is no such class.
        """
        place = self._place(label)
        if place is None and label.strip().casefold() not in {name.casefold() for name in self.ignore}:
            known = ", ".join(self.classes)
            hint = "; give class_ids_from, where it is a number" if label.strip().isdecimal() else ""
            raise ValueError(
                f"{where}: {label!r} is no class; expected one of {known}, or in a benchmark's file put it under "
                f"ignore{hint}"
            )
        return place

    def _place(self, label: str) -> int | None:
        if self.class_ids_from is not None and label.strip().isdecimal():
            place = int(label) - self.class_ids_from
            return place if 0 <= place < len(self.classes) else None
        folded = label.strip().casefold()
        return next((place for place, name in enumerate(self.classes) if name.casefold() == folded), None)

    def video_source(self, root: Path, video: str, numbers: Sequence[int]) -> tuple[FrameSource, list[int]] | None:
        """Lists the frames of the whole video, also where there are no labels."""
        path = self.video_path(root, video)
        if path is None:
            return None
        every = list(range(self._num_frames(path)))
        return VideoFrames(path, tuple(map(self.numbering.time, every))), every

    def frame_source(
        self, root: Path, video: str, numbers: Sequence[int], frames_dir: Path | None
    ) -> tuple[FrameSource, list[int]] | None:
        """Lists all frames of the folder, also where there are no labels."""
        found = self.frame_files(root, video, frames_dir)
        if found is None:
            return None
        folder, files = found
        path = self.video_path(root, video)
        count = max(numbers, default=0) + 1 if path is None else self._num_frames(path)
        too_many = len(files) > count + max(2, count // 50) if path else len(files) > 3 * (count + 20)
        if too_many or (path and len(files) < count - max(2, count // 50)):
            raise ValueError(
                f"{folder} has {len(files)} frames, expected about {count} at {self.fps:g} a second; extract them "
                "again, or say their rate with fps"
            )
        return ImageFrames(folder, tuple(files.values())), list(files)

    def _num_frames(self, path: Path) -> int:
        duration = read_header(str(path)).duration
        if not duration:
            raise ValueError(f"{path} does not say how long it is; remux it (ffmpeg -i IN -c copy OUT.mp4)")
        return max(1, math.ceil(duration * self.fps - _ROUNDING))


@dataclass(frozen=True, kw_only=True)
class IntervalReader(OwnLabels):
    """
    A reader of intervals. A frame has the label of the interval that holds its time, the end excluded. Where classes
    exclude each other, two that hold one frame are an error; overlaps that hold no frame are counted, and so are gaps.
    """

    tree = "the files that labels names, and videos/VIDEO.mp4 or frames/VIDEO/000000.png …"
    _cache: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    @abstractmethod
    def read_intervals(self, root: Path) -> Mapping[str, list[Interval]]:
        """
        Returns the intervals of each video that has labels, by its name.

        Raises:
            FileNotFoundError: there is no file of labels.
            ValueError: one cannot be read; the message names file and line.
        """

    def intervals(self, root: Path) -> Mapping[str, list[Interval]]:
        """As `read_intervals`, read once and checked: an interval ends after it starts, and no time is below 0."""
        if root not in self._cache:
            found = self.read_intervals(root)
            every = [interval for intervals in found.values() for interval in intervals]
            if not every:
                raise ValueError(f"there are no labels in {root}; expected {self.tree}")
            refuse_all([problem for interval in every if (problem := _problem(interval, self.fps))])
            self._cache[root] = found
        return self._cache[root]

    def videos(self, root: Path) -> list[str]:
        return sorted(self.intervals(root))

    def labels(self, root: Path, video: str, variant: str) -> Mapping[int, Label]:
        intervals = self.intervals(root).get(video)
        if intervals is None:
            known = self.videos(root)
            raise FileNotFoundError(
                f"video {video!r} has no labels in {root}; {', '.join(known[:5])}{' …' if len(known) > 5 else ''} have"
            )
        placed = [(interval, self.class_of(interval.label, interval.where)) for interval in intervals]
        if self.kind == "single_label":
            return self._exclusive(placed)
        present: dict[int, list[int]] = {}
        for interval, place in placed:
            for number in self._numbers(interval) if place is not None else ():
                present.setdefault(number, [0] * len(self.classes))[place] = 1
        return {number: tuple(label) for number, label in sorted(present.items())}

    def _numbers(self, interval: Interval) -> range:
        first = math.ceil(interval.start * self.fps - _ROUNDING)
        return range(first, math.ceil(interval.end * self.fps - _ROUNDING))

    def _exclusive(self, placed: list[tuple[Interval, int | None]]) -> dict[int, Label]:
        holders: dict[int, tuple[Interval, int]] = {}
        clashes: dict[tuple[str, str], str] = {}
        ignored = {number for interval, place in placed if place is None for number in self._numbers(interval)}
        for interval, place in placed:
            for number in self._numbers(interval) if place is not None else ():
                if number in ignored:
                    continue
                other, other_place = holders.setdefault(number, (interval, place))
                if other_place != place:
                    clashes.setdefault(
                        (other.where, interval.where),
                        f"{interval.where}: {interval.label!r} from {interval.start:g} to {interval.end:g} s overlaps "
                        f"{other.label!r} from {other.start:g} to {other.end:g} s ({other.where})",
                    )
        refuse_all(list(clashes.values()), "; expected one class at a time, or kind: multi_label")
        return {number: place for number, (_, place) in sorted(holders.items())}

    def labels_of(self, video: str, labels: Mapping[int, Label], listed: Sequence[int]) -> Mapping[int, Label]:
        past = [number for number in labels if number > listed[-1]] if listed else []
        if len(past) > max(1, round(self.fps)):  # a second, which rounding may add
            end, last = (listed[-1] + 1) / self.fps, (max(past) + 1) / self.fps
            raise ValueError(
                f"labels of {video} go to {last:g} s, and its frames end at {end:g} s; see whether they are of this "
                "video, and in which unit their times are"
            )
        if self.kind == "single_label":
            return super().labels_of(video, labels, listed)
        none = (0,) * len(self.classes)
        return {number: labels.get(number, none) for number in listed}

    def counted(self, root: Path, videos: Sequence[str]) -> Mapping[str, int | str]:
        """Gaps and overlaps between the intervals of a video, and videos that have no labels."""
        read = self.intervals(root)
        gaps, overlaps, empty, ignored, first = 0, 0, 0, 0, None
        for video in videos:
            intervals = sorted(read.get(video, ()), key=lambda interval: (interval.start, interval.end))
            empty += sum(interval.start == interval.end for interval in intervals)
            ignored += sum(self.class_of(interval.label, interval.where) is None for interval in intervals)
            end = intervals[0].start if intervals else 0.0
            for interval in intervals:
                if interval.start > end + _ROUNDING:
                    gaps += 1
                    first = first or f"{interval.where}: no label from {end:g} to {interval.start:g} s"
                overlaps += interval.start < end - _ROUNDING
                end = max(end, interval.end)
        without = sorted(self._videos_on_disk(root) - set(read))
        found: dict[str, int | str] = {"labelled_intervals": sum(len(read.get(video, ())) for video in videos)}
        if self.kind == "single_label":
            found |= {"gaps_between_intervals": gaps, "overlaps_that_hold_no_frame": overlaps}
            if gaps:
                logger.warning("%d gaps between intervals, whose frames are left out; the first: %s", gaps, first)
        found |= {"empty_intervals": empty, "ignored_intervals": ignored}
        found["videos_without_labels"] = ", ".join(without) if without else "none"
        if without:
            logger.warning("%d videos have no labels and are left out: %s", len(without), ", ".join(without[:5]))
        return found

    def _videos_on_disk(self, root: Path) -> set[str]:
        return {video for pattern in self.video_files for video in files_by_video(root, pattern)}


def refuse_all(problems: Sequence[str], expected: str = "") -> None:
    """Raises ValueError where there are problems, in one line with the first of them."""
    if problems:
        more = f"; {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
        raise ValueError(f"{'; '.join(problems[:_SHOWN])}{more}{expected}")


def _problem(interval: Interval, fps: float) -> str | None:
    if not (math.isfinite(interval.start) and math.isfinite(interval.end)):
        return f"{interval.where}: from {interval.start} to {interval.end}, expected finite times"
    if interval.start < 0:
        return f"{interval.where}: it starts at {interval.start:g} s, expected a time >= 0"
    if interval.end < interval.start:
        return f"{interval.where}: it ends at {interval.end:g} s, before it starts at {interval.start:g} s"
    if interval.end * fps > _LONGEST:
        return (
            f"{interval.where}: it ends at {interval.end:g} s, which is more than {_LONGEST:,} frames; see in which "
            "unit its times are"
        )
    return None
