# SPDX-License-Identifier: Apache-2.0
"""CholecT50: action triplets, and phases, of 50 cholecystectomies at one frame a second.

Labels are read from the text files (`triplet/VID01.txt`), which have every second, where they are there, and from the
JSON files otherwise. The JSON files of the challenge's validation set list only instances that have a box.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ....named_values import each_once
from ....options import option
from ..label_reader import Label, LabelReader, Numbering, read_rows

logger = logging.getLogger(__name__)

NUM_TRIPLETS, NUM_PHASES = 100, 7
_TRIPLET, _PHASE, _INSTANCE_LENGTH = 0, 14, 15


@dataclass(frozen=True, kw_only=True)
class CholecT50(LabelReader):
    tree = "labels/VID01.json or triplet/VID01.txt, and videos/VID01/000000.png … or videos/VID01.mp4"
    numbering = Numbering(complete=False)
    _JSON: ClassVar = ("labels/{video}.json",)
    _TEXT: ClassVar = ("triplet/{video}.txt",)

    label_set: Literal["triplets", "phases"] = option("triplets", "Which of its labels.")

    def videos(self, root: Path) -> list[str]:
        return self.listed(root, [*self._TEXT, *self._JSON] if self.label_set == "triplets" else self._JSON)

    def labels(self, root: Path, video: str, variant: str) -> Mapping[int, Label]:
        if self.label_set == "triplets" and (path := root / self._TEXT[0].format(video=video)).is_file():
            return _read_text(path)
        path = self.find(root, video, self._JSON)
        return _triplets(path) if self.label_set == "triplets" else _phases(path)


def _read_text(path: Path) -> dict[int, Label]:
    labels: dict[int, Label] = {}
    for row in read_rows(path, ",", 1 + NUM_TRIPLETS):
        second = row.integer(0, "frame")
        if second in labels:
            raise row.error(f"frame {second} again, expected each once")
        labels[second] = tuple(row.integer(1 + triplet, "label", below=2) for triplet in range(NUM_TRIPLETS))
    return labels


def _triplets(path: Path) -> dict[int, Label]:
    labels: dict[int, Label] = {}
    for second, instances in _read_instances(path).items():
        present = {int(instance[_TRIPLET]) for instance in instances}
        labels[second] = tuple(int(triplet in present) for triplet in range(NUM_TRIPLETS))
    return labels


def _phases(path: Path) -> dict[int, Label]:
    """Seconds without a phase (-1) have no label."""
    labels: dict[int, Label] = {}
    for second, instances in _read_instances(path).items():
        phases = {int(instance[_PHASE]) for instance in instances} - {-1}
        if len(phases) > 1:
            raise ValueError(f"{path}, second {second}: phases {sorted(phases)}, expected one")
        if phases:
            labels[second] = phases.pop()
    return labels


def _read_instances(path: Path) -> dict[int, list[list[float]]]:
    """Returns by second the instances that are visible; -1 stands for none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=each_once)
        by_second = {int(second): instances for second, instances in content["annotations"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is no CholecT50 annotation, expected JSON with seconds under 'annotations'"
        ) from error
    if "challenge-validation" in str(content.get("info")):
        logger.warning(
            "%s lists only instances that have a box; recognition is measured on the full labels", path.name
        )
    for second, instances in by_second.items():
        if not isinstance(instances, list):
            raise ValueError(f"{path}, second {second}: {instances!r}, expected a list of instances")
        for instance in instances:
            if not isinstance(instance, list) or len(instance) != _INSTANCE_LENGTH:
                size = len(instance) if isinstance(instance, list) else "no"
                raise ValueError(f"{path}, second {second}: an instance of {size} numbers, expected 15")
            for place, limit, what in ((_TRIPLET, NUM_TRIPLETS, "triplet"), (_PHASE, NUM_PHASES, "phase")):
                value = instance[place]
                if not isinstance(value, (int, float)) or value != value // 1 or not -1 <= value < limit:
                    raise ValueError(f"{path}, second {second}: {what} {value}, expected -1 to {limit - 1}")
    return dict(sorted(by_second.items()))
