# SPDX-License-Identifier: Apache-2.0
"""`load_benchmark`: from a name and a folder to labelled frames."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..frame_source import ImageFrames, VideoFrames
from .benchmark import Benchmark, LabelledVideo, counts
from .common_form import CommonForm, ListedVideo, read_common_form
from .definition import Definition, choose_prompts, readable
from .label_reader import Label, LabelReader
from .open_videos import Source, check_sources, open_listed, open_native
from .registry import find_benchmark


def load_benchmark(
    name: str | os.PathLike,
    root: str | os.PathLike | None = None,
    split: str = "test",
    videos: Sequence[str] | None = None,
    variant: str | None = None,
    source: Source = "auto",
    frames_dir: str | os.PathLike | None = None,
    prompts: str | os.PathLike | Mapping[str, str | list[str]] | None = None,
) -> Benchmark:
    """
    Reads a benchmark as its file says: one that is shipped as its owners ship it, or in the common form of SurgLaVi's
    evaluation where `root` has `annotations/<split>.json`.

    Args:
        name: One of [`benchmark_names`], or the path of a YAML file of one's own.
        root: Folder of the data set, by default that of one's own YAML file; an error shows what is expected in it.
        split: "train", "val" or "test", as far as the variant has it; "all" for every video with labels.
        videos: Names of the videos to keep, of those of the split.
        variant: Which of the splits in use, where papers differ (HeiChole's tools: which reading of the columns); by
            default the one the data file names. `protocol` says which, and what is known of the published tables.
        source: Read "frames" (image files) or "videos"; "auto" takes frames where there are some. "labels" reads no
            pixels, and cannot be evaluated.
        frames_dir: Where the frames are, if not below `root`: a folder for each video; in the common form, what the
            paths of the frame list are relative to.
        prompts: As [`choose_prompts`]; in the common form, by default, the descriptions of the annotation.

    Returns:
        The [`Benchmark`]; its `rows` are a `datasets.Dataset`.

    Raises:
        FileNotFoundError: labels, a frame or a video are not there.
        ValueError: an argument is wrong, or a file is not as its owners describe; the message names it and the line.
    """
    if source not in ("auto", "frames", "videos", "labels"):
        raise ValueError(f"source={source!r}, expected 'auto', 'frames', 'videos' or 'labels'")
    if isinstance(videos, str):
        raise ValueError(f"videos={videos!r}, expected a list of names")
    definition = find_benchmark(name)
    reader = definition.reader
    if root is None:
        if not Path(name).is_file():
            raise ValueError(f"root=None, expected the folder of {name}")
        root = Path(name).absolute().parent
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"root={str(root)!r} is no folder, expected that of {definition.name}")
    variant = definition.splits.default if variant is None else variant
    if variant not in definition.splits.variants:
        raise ValueError(f"variant={variant!r}, expected one of {', '.join(definition.splits.variants)}")
    opening = _Opening(reader, root, None if frames_dir is None else Path(frames_dir).expanduser(), source)
    path = None if definition.common is None else definition.common.annotation_path(root, split)
    if path is not None:
        common = read_common_form(path, split, definition.common)
        read = opening.listed(_select(common.videos, videos, path.name))
        classes, classes_from = common.classes, path.name
        variant, split_note = path.name, "the videos of this file"
        listed_in, found = common.frame_list, {}
        texts, prompts_from = _common_prompts(common, definition, prompts)
    else:
        names = _names_of_split(definition, root, split, variant)
        names = list(_select(dict.fromkeys(names), videos, f"split {split!r} of {variant!r}"))
        read = opening.native({video: reader.labels(root, video, variant) for video in names})
        classes, classes_from = definition.classes, definition.classes_source
        split_note, listed_in = definition.splits.note, reader.listed_in
        found = reader.counted(root, names)
        texts, prompts_from = choose_prompts(definition, prompts)
    protocol = {
        "data": definition.description,
        "annotation": "native files" if path is None else "common form",
        **found,
        "classes": f"{len(classes)}; {classes_from}",
        "prompts": prompts_from,
        "prompts_per_class": max(map(len, texts)),
        "split": split,
        "split_variant": variant,
        "split_note": split_note,
        "videos": "all of the split" if videos is None else ", ".join(read),
        **counts(read),
        "frames_listed_in": listed_in,
        "frame_times": _frame_times(reader, read),
        "input": _input_line(read),
        "frame_reading": next((video.frames.reading for video in read.values() if video.frames is not None), "none"),
    }
    return Benchmark(
        *(definition.name, definition.kind, classes, texts, read, protocol),
        title=definition.title,
        published=definition.published,
    )


@dataclass(frozen=True)
class _Opening:
    """How the videos of a benchmark are opened."""

    form: LabelReader
    root: Path
    frames_dir: Path | None
    source: Source

    def native(self, labels: Mapping[str, Mapping[int, Label]]) -> dict[str, LabelledVideo]:
        return self._checked(
            {
                video: open_native(self.form, self.root, self.frames_dir, video, values, self.source)
                for video, values in labels.items()
            }
        )

    def listed(self, listed: Mapping[str, ListedVideo]) -> dict[str, LabelledVideo]:
        return self._checked(
            {
                video: open_listed(self.form, self.root, self.frames_dir, video, files, self.source)
                for video, files in listed.items()
            }
        )

    def _checked(self, videos: dict[str, LabelledVideo]) -> dict[str, LabelledVideo]:
        check_sources(videos)
        return videos


def _common_prompts(
    common: CommonForm, labels: Definition, prompts: str | os.PathLike | Mapping[str, str | list[str]] | None
) -> tuple[tuple[tuple[str, ...], ...], str]:
    if prompts is None and common.prompts is not None:
        return tuple((text,) for text in common.prompts), f"descriptions in {common.path.name}"
    of_the_file = replace(labels, classes=common.classes)
    texts, source = choose_prompts(of_the_file, prompts)
    if isinstance(prompts, str) and prompts in labels.prompts:
        same = [readable(a) == readable(b) for a, b in zip(labels.classes, common.classes, strict=False)]
        if not all(same):
            place = same.index(False)
            raise ValueError(
                f"class {place} of {common.path} is {common.classes[place]!r}, in the prompts {prompts!r} it is "
                f"{labels.classes[place]!r}; give a file of prompts"
            )
    if len(texts) != len(common.classes):
        raise ValueError(f"{common.path} has {len(common.classes)} classes, and these prompts are for {len(texts)}")
    return texts, source


def _names_of_split(definition: Definition, root: Path, split: str, variant: str) -> list[str]:
    reader, of_variant = definition.reader, definition.splits.variants[variant]
    if split == "all" or (split in of_variant and of_variant[split] is None):
        return reader.videos(root)
    named = reader.split_videos(root, split, variant, of_variant.get(split))
    if named is None:
        known = ", ".join(dict.fromkeys([*of_variant, "all"]))
        raise ValueError(f"split={split!r}, expected one of {known} (variant {variant!r} of {definition.name})")
    return list(named)


def _select(available: Mapping, videos: Sequence[str] | None, what: str) -> dict:
    """The wanted ones, in the order of the split."""
    if videos is None:
        return dict(available)
    if unknown := [name for name in videos if name not in available]:
        raise ValueError(f"video {unknown[0]!r} is not in {what}, expected some of {', '.join(available)}")
    return {name: value for name, value in available.items() if name in videos}


def _frame_times(form: LabelReader, videos: Mapping[str, LabelledVideo]) -> str:
    """From the first two frames that are listed; of GraSP it depends on the release."""
    video = next((video for video in videos.values() if len(video.numbers) > 1), None)
    if video is None:
        return f"frame n is at (n - {form.numbering.origin}) × {form.numbering.seconds:.4g} s"
    seconds = (video.times[1] - video.times[0]) / (video.numbers[1] - video.numbers[0])
    if math.isnan(seconds):
        return "not known"
    return f"frame n is at (n - {round(video.numbers[0] - video.times[0] / seconds)}) × {seconds:.4g} s"


def _input_line(videos: Mapping[str, LabelledVideo]) -> str:
    source = next((video.frames for video in videos.values()), None)
    return {ImageFrames: "frame files", VideoFrames: "video files"}.get(type(source), "labels only")
