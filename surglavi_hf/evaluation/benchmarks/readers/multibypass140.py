# SPDX-License-Identifier: Apache-2.0
"""MultiBypass140: phases and steps of 140 gastric bypasses, of Bern (BBP) and Strasbourg (SBP).

The label of frame n, n from 1 at one frame a second, is that of the interval that holds n × 1000 ms (its end
excluded). The owners' pickles say the same of 46,497 of 46,497 frames of Bern and 72,552 of 72,553 of Strasbourg; by
(n - 1) × 1000 ms 0.2 % of phases and 0.7 % of steps would differ. out_of_body and severe_index overlap the phases and
are no classes.
"""

import json
import pickletools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ....options import option
from ..label_reader import Label, LabelReader, Numbering

MILLISECONDS = 1000


@dataclass(frozen=True, kw_only=True)
class MultiBypass140(LabelReader):
    numbering = Numbering(first=1, origin=0, complete=False)

    label_set: Literal["phases", "steps"] = option("phases", "Which of its labels.")
    centre: Literal["bern", "strasbourg"] = option("bern", "Whose operations.")

    @property
    def tree(self) -> str:
        video = {"bern": "BBP01", "strasbourg": "SBP01"}[self.centre]
        return (
            f"labels/{self.centre}/labels_by70/{video}.mp4.json, and frames/{video}/{video}_00000001.jpg … at 1 frame "
            f"a second or videos/{video}.mp4"
        )

    @property
    def _files(self) -> tuple[str, str]:
        return f"labels/{self.centre}/labels_by70/{{video}}.mp4.json", f"{self.centre}/{{video}}.mp4.json"

    def videos(self, root: Path) -> list[str]:
        return self.listed(root, self._files)

    def labels(self, root: Path, video: str, variant: str) -> Mapping[int, Label]:
        path = self.find(root, video, self._files)
        intervals = sorted(_read_intervals(path, self.label_set, len(self.classes)))
        labels: dict[int, Label] = {}
        for start, end, label in intervals:  # where two overlap, the later start counts
            first = max(1, -(-start // MILLISECONDS))
            for number in range(first, -(-end // MILLISECONDS)):
                labels[number] = label
        return dict(sorted(labels.items()))

    def split_videos(self, root: Path, split: str, variant: str, known: Sequence[str] | None) -> Sequence[str] | None:
        """From the owners' pickle of the fold where the data file does not know them."""
        if known is not None:
            return known
        fold = variant.removeprefix("fold-")
        pattern = f"1fps_100_{fold}.pickle" if split == "train" else f"1fps_{fold}.pickle"
        for folder in ("labels_by70_splits/labels", "labels_by70_splits"):
            path = root / "labels" / self.centre / folder / split / pattern
            if path.is_file():
                return _names_in_pickle(path)
        raise FileNotFoundError(
            f"which videos are in split {split!r} of {variant} is known from the owners' "
            f"labels/{self.centre}/labels_by70_splits alone, which is not in {root}; put it there, or pass "
            'split="all" and videos=[…]'
        )


def _read_intervals(path: Path, label_set: str, num_classes: int) -> list[tuple[int, int, int]]:
    try:
        items = json.loads(path.read_text(encoding="utf-8"))[label_set]
        intervals = [(item["start"], item["end"], item["label_id"]) for item in items]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} is no MultiBypass140 annotation, expected JSON with {{start, end, label_id}} under {label_set!r}"
        ) from error
    for place, interval in enumerate(intervals):
        start, end, label = interval
        if not all(isinstance(value, int) for value in interval) or not 0 <= start <= end or label < 0:
            raise ValueError(
                f"{path}, {label_set} item {place}: {interval}, expected 0 <= start <= end in ms and a label_id >= 0"
            )
        if label >= num_classes and not (label_set == "phases" and label < 14):
            raise ValueError(f"{path}, {label_set} item {place}: label_id {label}, expected 0 to {num_classes - 1}")
    return [interval for interval in intervals if interval[2] < num_classes]


def _names_in_pickle(path: Path) -> list[str]:
    """The video names among a pickle's strings. Nothing of it is run: it is read as a list of instructions."""
    try:
        strings = {value for _, value, _ in pickletools.genops(path.read_bytes()) if isinstance(value, str)}
    except ValueError as error:
        raise ValueError(f"{path} is no pickle ({error}); download it again") from error
    if not (names := sorted(text for text in strings if re.fullmatch(r"[BS]BP\d{2}", text, re.ASCII))):
        raise ValueError(f"{path} names no videos, expected BBP01 … or SBP01 …")
    return names
