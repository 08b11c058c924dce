# SPDX-License-Identifier: Apache-2.0
"""A first file for a folder of videos and labels: what is found there, and what only its owner knows."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ...media import VIDEO_SUFFIXES, VideoDecodeError, read_header
from ...text_tables import read_table, read_text
from .intervals import Interval, IntervalReader
from .label_reader import files_by_video, numbered_images
from .readers.boris import Boris
from .readers.elan import Elan, read_tiers
from .readers.label_studio import LabelStudio
from .readers.segments import Segments

_MOST = 20_000  # files that are looked at
_MANY = 60  # classes; more are texts
# What people call the columns of segments.
_NAMES = {
    "video": ("video", "video_name", "video name", "video_id", "file", "filename", "file name", "case", "procedure"),
    "start": ("start", "begin", "from", "onset", "start_time", "start time", "start (s)", "beginn", "von", "début"),
    "end": (
        "end",
        "stop",
        "to",
        "until",
        "offset",
        "end_time",
        "end time",
        "end (s)",
        "stop (s)",
        "ende",
        "bis",
        "fin",
    ),
    "label": ("label", "phase", "step", "class", "activity", "event", "action", "name", "étape"),
}


@dataclass
class Draft:
    """
    Args:
        text: The YAML.
        found: What was found, in the order of the file: what it is, and what was found.
        unknown: What only the owner knows.
    """

    text: str = ""
    found: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@dataclass
class _Labels:
    """How labels are read, and what they say."""

    options: dict[str, object]
    intervals: dict[str, list[Interval]] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)  # where there are no intervals


def draft_benchmark(folder: str | os.PathLike) -> Draft:
    """
    Returns a first file for a folder.

    Args:
        folder: With videos, or folders of frames, and files of labels in a form that a reader knows.

    Raises:
        FileNotFoundError: there is no such folder, no video in it, or no file of labels that can be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder, expected one with videos and labels")
    files = _files(root)
    draft = Draft()
    videos = _patterns(root, files, draft)
    on_disk = {video: path for pattern in videos for video, path in files_by_video(root, pattern).items()}
    frames = None if videos else _frames_pattern(root, files)
    if not videos and frames is None:
        raise FileNotFoundError(f"no videos and no folders of numbered frames in {root}, expected some")
    labels = _find_labels(root, files, set(on_disk), draft)
    classes, single = _classes(labels)
    draft.found.append(("classes", f"{len(classes)}: {', '.join(classes[:8])}{' …' if len(classes) > 8 else ''}"))
    if unlabelled := sorted(set(on_disk) - set(labels.intervals)) if labels.intervals else []:
        draft.found.append(("videos without labels", ", ".join(unlabelled[:5])))
    if missing := sorted(set(labels.intervals) - set(on_disk)) if on_disk and labels.intervals else []:
        draft.found.append(("labels without a video", ", ".join(missing[:5])))
        draft.unknown.append(f"which videos {', '.join(missing[:3])} of the labels are; videos and labels go by name")
    _guess_frames(labels, on_disk, draft)
    draft.unknown += [
        "prompts: a sentence for each class; without them the names of the classes are the prompts",
        "splits: which videos are for training and which for testing; without them all are tested on",
        "the order of the classes, which confusion matrices and ribbons have; here it is that of first appearance",
    ]
    draft.text = _yaml(root, videos, frames, labels, classes, single, draft)
    return draft


def _files(root: Path) -> list[Path]:
    found: list[Path] = []
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            folders.clear()  # a link back
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder) / name for name in sorted(names) if not name.startswith(".")]
        if len(found) > _MOST:
            break
    return found


def _patterns(root: Path, files: Sequence[Path], draft: Draft) -> list[str]:
    """Where most videos are, with every suffix that is there."""
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        return []
    folder, count = Counter(path.parent for path in videos).most_common(1)[0]
    suffixes = sorted({path.suffix for path in videos if path.parent == folder})
    draft.found.append(("videos", f"{count} in {folder.relative_to(root).as_posix() or '.'} ({', '.join(suffixes)})"))
    if others := len(videos) - count:
        draft.found.append(("videos elsewhere, left out", f"{others}"))
    return [(folder.relative_to(root) / f"{{video}}{suffix}").as_posix() for suffix in suffixes]


def _frames_pattern(root: Path, files: Sequence[Path]) -> str | None:
    images = Counter(path.parent for path in files if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    folders = [folder for folder in images if folder != root and numbered_images(folder)]
    if not folders:
        return None
    parent = Counter(folder.parent for folder in folders).most_common(1)[0][0]
    return (parent.relative_to(root) / "{video}").as_posix()


def _find_labels(root: Path, files: Sequence[Path], videos: set[str], draft: Draft) -> _Labels:
    """The first reader that can read some files, those first that say most of what they are."""
    problems: list[str] = []
    finders: list[Callable[[Path, Sequence[Path], set[str], Draft], _Labels | None]] = [
        *(_elan, _label_studio, _boris, _segments, _frame_labels)
    ]
    for finder in finders:
        try:
            labels = finder(root, files, videos, draft)
        except (OSError, ValueError, ImportError) as error:
            problems.append(str(error))
            continue
        if labels is not None:
            number = sum(map(len, labels.intervals.values()))
            what = f"{number} intervals of {len(labels.intervals)} videos" if labels.intervals else "a label a line"
            draft.found.append(
                ("labels", f"{labels.options['files']}, by the reader {labels.options['reader']}: {what}")
            )
            return labels
    why = f"; the nearest: {problems[0]}" if problems else ""
    raise FileNotFoundError(
        f"no labels in {root} that a reader knows, expected a table video,start,end,label, a label a second for each "
        f"video, or exports of ELAN, BORIS or Label Studio{why}"
    )


def _read(kind: type[IntervalReader], root: Path, **options: object) -> _Labels | None:
    reader = kind(classes=("-", "--"), kind="multi_label", **options)
    intervals = {video: found for video, found in reader.intervals(root).items() if found}
    return _Labels({"reader": kind.__module__.rpartition(".")[2], **options}, intervals) if intervals else None


def _pattern_of(root: Path, paths: Sequence[Path], videos: set[str]) -> str | None:
    """The pattern that most of these files have, each named as a video is, maybe with something before or after."""
    votes: Counter[str] = Counter()
    for path in paths:
        for video in videos:
            if video in path.name:
                name = path.name.replace(video, "{video}", 1)
                votes[(path.parent.relative_to(root) / name).as_posix()] += len(video)
    return votes.most_common(1)[0][0] if votes else None


def _with_suffix(files: Sequence[Path], *suffixes: str) -> list[Path]:
    return [path for path in files if path.suffix.lower() in suffixes]


def _elan(root: Path, files: Sequence[Path], videos: set[str], draft: Draft) -> _Labels | None:
    paths = _with_suffix(files, ".eaf")
    if not paths:
        return None
    pattern = _pattern_of(root, paths, videos) or (paths[0].parent.relative_to(root) / "{video}.eaf").as_posix()
    sizes: Counter[str] = Counter()
    for path in files_by_video(root, pattern).values():
        sizes.update({name: len(annotations) for name, annotations in read_tiers(path).items() if annotations})
    if len(sizes) < 2:
        return _read(Elan, root, files=pattern)
    draft.found.append(("tiers", ", ".join(f"{name} ({size})" for name, size in sizes.most_common())))
    draft.unknown.append("tier: which has the labels; here it is the one with most annotations")
    return _read(Elan, root, files=pattern, tier=sizes.most_common(1)[0][0])


def _label_studio(root: Path, files: Sequence[Path], videos: set[str], draft: Draft) -> _Labels | None:
    for path in _with_suffix(files, ".json"):
        if path.stat().st_size and read_text(path).lstrip()[:1] == "[":
            # Frames of 25 a second until the owner says otherwise.
            name = path.relative_to(root).as_posix()
            in_frames = '"ranges"' in read_text(path)
            return _read(LabelStudio, root, files=name, **({"frames_per_second": 25.0} if in_frames else {}))
    return None


def _boris(root: Path, files: Sequence[Path], videos: set[str], draft: Draft) -> _Labels | None:
    for path in _with_suffix(files, ".csv", ".tsv"):
        text = read_text(path)
        if "Behavior" in text and ("Start (s)" in text or "Time" in text):
            pattern = (path.parent.relative_to(root) / f"*{path.suffix}").as_posix()
            points = Boris(classes=("-", "--"), kind="multi_label", files=pattern).points(root)
            if points:
                draft.found.append(("points in time, put under ignore", ", ".join(points)))
            return _read(Boris, root, files=pattern, **({"ignore": tuple(points)} if points else {}))
    return None


def _segments(root: Path, files: Sequence[Path], videos: set[str], draft: Draft) -> _Labels | None:
    tables = _with_suffix(files, ".csv", ".tsv", ".txt")
    for path in tables:
        columns = _columns(path)
        if not {"start", "end", "label"} <= columns.keys():
            continue
        options = {f"{name}_column": column for name, column in columns.items() if column.casefold() != name}
        if "video" in columns:
            return _read(Segments, root, files=path.relative_to(root).as_posix(), **options)
        if pattern := _pattern_of(root, tables, videos):
            return _read(Segments, root, files=pattern, **options)
    return None


def _frame_labels(root: Path, files: Sequence[Path], videos: set[str], draft: Draft) -> _Labels | None:
    pattern = _pattern_of(root, _with_suffix(files, ".csv", ".tsv", ".txt"), videos)
    if pattern is None:
        return None
    names: dict[str, None] = {}
    for path in files_by_video(root, pattern).values():
        lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
        numbered = sum(bool(re.match(r"\d+\s*[,;\t]", line)) for line in lines) >= len(lines) - 1
        names |= dict.fromkeys(
            re.split(r"[,;\t]", line, maxsplit=1)[-1].strip() if numbered else line for line in lines
        )
    header = next(iter(names), "")
    labels = [name for name in names if name]
    options: dict[str, object] = {"reader": "frame_labels", "files": pattern}
    if header.casefold() in _NAMES["label"]:
        labels.remove(header)
        options |= {"label_column": header} if header.casefold() != "label" else {}
    return _Labels(options, labels=labels) if 2 <= len(labels) <= _MANY else None


def _columns(path: Path) -> dict[str, str]:
    """The columns of segments that a table has, by what they are to us."""
    found: dict[str, str] = {}
    for name, words in _NAMES.items():
        for word in words:
            try:
                read_table(path, [word])
            except (OSError, ValueError):
                continue
            found.setdefault(name, word)
    return found


def _classes(labels: _Labels) -> tuple[list[str], bool]:
    """The labels in order of first appearance, and whether no two are at one time."""
    if not labels.intervals:
        return labels.labels, True
    names = dict.fromkeys(
        interval.label for intervals in labels.intervals.values() for interval in sorted(intervals, key=_start)
    )
    single = True
    for intervals in labels.intervals.values():
        ordered = sorted(intervals, key=_start)
        single &= all(one.end <= two.start + 0.5 or one.label == two.label for one, two in pairwise(ordered))
    return list(names), single


def _start(interval: Interval) -> float:
    return interval.start


def _guess_frames(labels: _Labels, on_disk: dict[str, Path], draft: Draft) -> None:
    """Whether times are numbers of frames: whole, and far beyond the end of the video."""
    options = labels.options
    if options["reader"] == "label_studio" and "frames_per_second" in options:
        draft.unknown.append("frames_per_second of Label Studio's timeline: 25 is a guess")
    if options["reader"] != "segments":
        return
    for video, intervals in labels.intervals.items():
        last = max((interval.end for interval in intervals), default=0.0)
        try:
            duration = read_header(str(on_disk[video])).duration if video in on_disk else None
        except (OSError, ValueError, VideoDecodeError):
            continue
        if duration and last > 2 * duration:
            rate = min((24.0, 25.0, 30.0, 50.0, 60.0), key=lambda rate: abs(last / duration - rate))
            options["frames_per_second"] = rate
            draft.unknown.append(
                f"labels of {video} go to {last:g} and it lasts {duration:.0f} s: times seem to be numbers of frames; "
                f"frames_per_second: {rate:g} is a guess"
            )
            return


def _yaml(
    root: Path, videos: list[str], frames: str | None, labels: _Labels, classes: list[str], single: bool, draft: Draft
) -> str:
    def quoted(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    title = root.resolve().name or "benchmark"
    lines = [
        "# A benchmark of your own. Try: surglavi evaluate THIS_FILE --model MODEL",
        "# What is not known, please say:",
        *(f"#   - {text}" for text in draft.unknown),
        f"title: {quoted(title)}",
        f"kind: {'single_label' if single else 'multi_label'}"
        + ("" if single else "  # labels overlap; single_label, where they exclude each other"),
        "classes:",
        *(f"  - {quoted(name)}" for name in classes),
        "labels:",
        *(f"  {name}: {quoted(value)}" for name, value in labels.options.items()),
        *([] if "ignore" in labels.options else ['  # ignore: ["out of body"]  # labels whose frames are left out']),
        *([f"videos: {quoted(videos)}"] if videos else []),
        *([f"frames: {quoted(frames)}"] if frames else []),
        "fps: 1  # frames a second that are evaluated",
        "# prompts:",
        *(f"#   {quoted(name)}: {quoted('a sentence that says what is seen')}" for name in classes),
        "# splits:",
        '#   train: ["a", "b"]',
        '#   test: ["c"]',
    ]
    return "\n".join(lines) + "\n"
