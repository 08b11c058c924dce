# SPDX-License-Identifier: Apache-2.0
"""ELAN: an .eaf file a video, read by pympi; intervals are those of one tier."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ....files import reading
from ....options import option
from ..intervals import Interval, IntervalReader
from ..label_reader import files_by_video


@dataclass(frozen=True, kw_only=True)
class Elan(IntervalReader):
    files: str = option("labels/{video}.eaf", "The file of each video, below the root.")
    tier: str | None = option(None, "The tier of labels; by default the only one that has some.")

    def __post_init__(self):
        super().__post_init__()
        self.check_file_of_each(self.files)

    def read_intervals(self, root: Path) -> Mapping[str, list[Interval]]:
        found = {video: self._read(path) for video, path in files_by_video(root, self.files).items()}
        if not found:
            raise self.missing(self.files.format(video="VIDEO"), root)
        return found

    def _read(self, path: Path) -> list[Interval]:
        tiers = read_tiers(path)
        filled = [name for name, annotations in tiers.items() if annotations]
        tier = self.tier if self.tier is not None else filled[0] if len(filled) == 1 else None
        if tier not in tiers:
            found = f"no tier {tier!r}" if tier is not None else f"{len(filled)} tiers with annotations"
            known = ", ".join(map(repr, tiers)) or "none"
            raise ValueError(f"{path} has {found}; give tier, one of {known}")
        intervals = []
        for number, (start, end, label, *_) in enumerate(sorted(tiers[tier]), start=1):
            where = f"{path}, tier {tier!r}, annotation {number}"
            if start is None or end is None:
                raise ValueError(f"{where}: {label!r} has no time; align it in ELAN")
            intervals.append(Interval(start / 1000, end / 1000, label, where))
        return intervals


def read_tiers(path: Path) -> dict[str, list[tuple]]:
    """
    Returns of each tier its annotations: start and end in milliseconds, and the text.

    Raises:
        ImportError: pympi is not installed.
        ValueError: it is no file of ELAN.
    """
    try:
        from pympi.Elan import Eaf
    except ImportError as error:
        raise ImportError("pympi is not installed; pip install 'surglavi-hf[evaluation]'") from error
    with reading(f"{path}", "expected an .eaf file of ELAN; save it there again"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions newer than pympi
        eaf = Eaf(str(path))
        return {name: eaf.get_annotation_data_for_tier(name) for name in eaf.get_tier_names()}
