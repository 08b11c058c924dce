# SPDX-License-Identifier: Apache-2.0
"""GraSP: phases and steps (every second) and tools (every 35 s) of 13 robot-assisted prostatectomies.

Its files are of the common form, one for each split: `grasp_long-term_<split>.json` and
`grasp_short-term_<split>.json`, the latter with an entry for each instrument instance. fold1 and fold2 are the halves
of train, each in the file of its own name; the official evaluation's train_grasp_fold1 loads fold2, and the other way
round.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from .native_format import Label, NativeFormat, Numbering

# In the release at 30 frames a second (9 digits); the numbers of the others are of 45 a second, or irregular.
AT_30_FRAMES = ("CASE021", "CASE041", "CASE047", "CASE050", "CASE051", "CASE053")


class GraSP(NativeFormat):
    tree = (
        "annotations/grasp_long-term_test.json and grasp_short-term_test.json, frame_lists/test.csv, and "
        "frames/CASE041/00000.jpg … or videos/CASE041.mp4"
    )
    numbering = Numbering(complete=False)  # of the release at 1 frame a second

    def listed_times(self, video: str, files: Sequence[str], numbers: Sequence[int]) -> list[float]:
        if not any(re.search(r"\d{9}\.\w+$", file, re.ASCII) for file in files):
            return [float(number) for number in numbers]
        return [number / 30 if video in AT_30_FRAMES else math.nan for number in numbers]

    def videos(self, root: Path, label_set: str) -> list[str]:
        raise self._not_there(root, label_set)

    def labels(self, root: Path, video: str, label_set: str, variant: str) -> Mapping[int, Label]:
        raise self._not_there(root, label_set)

    def split_videos(
        self, root: Path, label_set: str, split: str, variant: str, known: Sequence[str] | None
    ) -> Sequence[str] | None:
        raise self._not_there(root, label_set)  # each split is a file

    def _not_there(self, root: Path, label_set: str) -> FileNotFoundError:
        term = "short" if label_set == "tools" else "long"
        return self.missing(f"annotations/grasp_{term}-term_<split>.json", root)
