# SPDX-License-Identifier: Apache-2.0
"""Labels and their frames, from image files or from the video."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ...media import is_file_name
from ..frame_source import FrameSource, ImageFrames, VideoFrames
from .benchmark import LabelledVideo
from .common_form import TREE, ListedVideo
from .label_reader import Label, LabelReader

Source = Literal["auto", "frames", "videos", "labels"]


def open_native(
    form: LabelReader, root: Path, folder: Path | None, video: str, labels: Mapping[int, Label], source: Source
) -> LabelledVideo:
    """
    Returns a video of native files; `folder` is where its frames are, if not below the root.

    Raises:
        FileNotFoundError: a labelled frame, or the video, is not there.
        ValueError: the name is no file name, or there are other frames than labels.
    """
    if not is_file_name(video):
        raise ValueError(f"video name {video!r} cannot be a file name")
    numbers = sorted(labels)
    found: tuple[FrameSource, list[int]] | None = None
    if source in ("auto", "frames"):
        found = form.frame_source(root, video, numbers, folder)
    if found is None and source in ("auto", "videos"):
        found = form.video_source(root, video, numbers)
    if found is None and source != "labels":
        raise form.missing(f"{'frames' if source == 'frames' else 'frames or video'} of {video}", folder or root)
    frames, listed = found or (None, numbers)
    labels = form.labels_of(video, labels, listed)
    return LabelledVideo(tuple(listed), tuple(map(form.numbering.time, listed)), labels, frames)


def open_listed(
    form: LabelReader, root: Path, folder: Path | None, video: str, listed: ListedVideo, source: Source
) -> LabelledVideo:
    """
    Returns a video of the common form: its frames are those of the frame list, whatever else lies beside them.

    Raises:
        FileNotFoundError: a listed frame, or the video, is not there.
        ValueError: the name is no file name.
    """
    if not is_file_name(video):
        raise ValueError(f"video name {video!r} cannot be a file name")
    numbers = sorted(listed.files)
    times = tuple(form.listed_times(video, [listed.files[number] for number in numbers], numbers))
    folder = root / "frames" if folder is None else folder
    frames: FrameSource | None = None
    if source in ("auto", "frames") and folder.is_dir():
        frames = ImageFrames(folder, tuple(listed.files[number] for number in numbers))
        _check_present(frames, video)
    if frames is None and source in ("auto", "videos"):
        path = next((p for p in (root / f.format(video=video) for f in form.video_files) if p.is_file()), None)
        if path is not None and any(map(math.isnan, times)):
            raise ValueError(f"the times of the frames of {video} are not known; read them with source='frames'")
        frames = None if path is None else VideoFrames(path, times)
    if frames is None and source != "labels":
        tree = TREE.format(file="<split>.json")
        raise FileNotFoundError(f"frames or video of {video} are not in {root}; expected {tree}")
    return LabelledVideo(tuple(numbers), times, listed.labels, frames)


def _check_present(frames: ImageFrames, video: str) -> None:
    paths = [Path(name) for name in frames.names]
    parents = {path.parent for path in paths}
    present = {
        parent: set(os.listdir(frames.folder / parent)) if (frames.folder / parent).is_dir() else set()
        for parent in parents
    }
    if lacking := [path for path in paths if path.name not in present[path.parent]]:
        raise FileNotFoundError(
            f"{len(lacking)} of {len(paths)} listed frames of {video} are not in {frames.folder}, the first of them "
            f"{lacking[0]}; extract them, or make a frame list of what is there"
        )


def check_sources(videos: Mapping[str, LabelledVideo]) -> None:
    """Raises ValueError where some videos would be read from frames and others not."""
    kinds = {type(video.frames): name for name, video in videos.items()}
    if len(kinds) > 1:
        first, second = sorted(kinds.values())[:2]
        raise ValueError(f"{first} and {second} would be read, one from frames and one from its video; choose source=")
