# SPDX-License-Identifier: Apache-2.0
"""SAR-RARP50: actions of 50 suturing clips of prostatectomies, at 10 Hz in videos of 60 frames a second.

Labels and frame files are numbered by video frame: 0, 6, 12, …
"""

from collections.abc import Mapping
from pathlib import Path

from ..label_reader import Label, LabelReader, Numbering, read_rows


class SARRARP50(LabelReader):
    tree = "video_41/action_discrete.txt, and video_41/rgb/000000000.png, 000000006.png … or video_41/video_left.avi"
    numbering = Numbering(step=6, seconds=1 / 60)
    _FILES = tuple(f"{folder}{{video}}/action_discrete.txt" for folder in ("", "test_set/", "train1/", "train2/"))

    def videos(self, root: Path) -> list[str]:
        found = {path.parent.name for pattern in self._FILES for path in root.glob(pattern.format(video="video_*"))}
        if not found:
            raise self.missing("video_VIDEO/action_discrete.txt", root)
        return sorted(found, key=lambda name: (len(name), name))

    def labels(self, root: Path, video: str, variant: str) -> Mapping[int, Label]:
        labels: dict[int, Label] = {}
        for place, row in enumerate(read_rows(self.find(root, video, self._FILES), ",", 2)):
            number = row.integer(0, "frame")
            if number != place * self.numbering.step:
                raise row.error(f"frame {number}, expected {place * self.numbering.step}; rows are missing")
            labels[number] = row.integer(1, "action", below=len(self.classes))
        return labels
