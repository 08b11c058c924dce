# SPDX-License-Identifier: Apache-2.0
"""GraSP: phases and steps (every second) and tools (every 35 s) of 13 robot-assisted prostatectomies.

Its files are of the common form, one for each split: `grasp_long-term_<split>.json` and
`grasp_short-term_<split>.json`, the latter with an entry for each instrument instance. fold1 and fold2 are the halves
of train, each in the file of its own name; the official evaluation's train_grasp_fold1 loads fold2, and the other way
round.
"""

import math
import re
from collections.abc import Sequence

from ..common_form import CommonFiles
from ..label_reader import Numbering

# In the release at 30 frames a second (9 digits); the numbers of the others are of 45 a second, or irregular.
AT_30_FRAMES = ("CASE021", "CASE041", "CASE047", "CASE050", "CASE051", "CASE053")


class GraSP(CommonFiles):
    tree = (
        "annotations/grasp_long-term_test.json and grasp_short-term_test.json, frame_lists/test.csv, and "
        "frames/CASE041/00000.jpg … or videos/CASE041.mp4"
    )
    numbering = Numbering(complete=False)  # of the release at 1 frame a second

    def listed_times(self, video: str, files: Sequence[str], numbers: Sequence[int]) -> list[float]:
        if not any(re.search(r"\d{9}\.\w+$", file, re.ASCII) for file in files):
            return [float(number) for number in numbers]
        return [number / 30 if video in AT_30_FRAMES else math.nan for number in numbers]
