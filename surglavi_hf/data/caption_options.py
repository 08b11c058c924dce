# SPDX-License-Identifier: Apache-2.0
"""Which rows of a corpus, and in which splits: what the builder, training, push and commands share."""

from dataclasses import dataclass, fields
from numbers import Real

from ..options import option


@dataclass(kw_only=True)
class SplitOptions:
    """Shares of the videos, by a hash of their ids, that make further splits."""

    validation_fraction: float = option(
        0.0, "Share of the videos that make the split validation; 0 for no such split.", metavar="F"
    )
    test_fraction: float = option(
        0.0, "Share of the videos that make the split test; 0 for no such split.", metavar="F"
    )

    def check(self) -> None:
        """Raises ValueError where an option is out of range."""
        _check_numbers(self.validation_fraction, self.test_fraction)
        held_out = self.validation_fraction + self.test_fraction
        if not (min(self.validation_fraction, self.test_fraction) >= 0 and held_out < 1):
            raise ValueError(
                f"validation_fraction={self.validation_fraction} and test_fraction={self.test_fraction}, expected "
                "fractions >= 0 that leave something to train on (sum < 1)"
            )


@dataclass(kw_only=True)
class CaptionOptions(SplitOptions):
    """Which captions and videos."""

    filter_pairs: bool = option(True, "Keep only captions marked both descriptive and surgical.")
    enhanced_captions: bool = option(
        True,
        "The caption is the enriched caption (the raw narration where there is none) rather than the raw narration.",
    )
    min_duration: float = option(0.0, "Shortest clip in seconds, excluded.", metavar="S")
    max_duration: float = option(500.0, "Longest clip in seconds, included.", metavar="S")
    deduplicate: bool = option(
        False, "Of captions with the same video, level, start and end keep the one with the longest text."
    )
    video_dir: str | None = option(
        None,
        "Root of the video library, the folder that holds videos/; by default the database's folder.",
        metavar="DIR",
    )
    available_only: bool = option(False, "Keep only rows whose video is in the library now.")

    def check(self) -> None:
        _check_numbers(self.min_duration, self.max_duration)
        if not 0 <= self.min_duration < self.max_duration:
            raise ValueError(
                f"min_duration={self.min_duration} and max_duration={self.max_duration}, expected seconds with "
                "0 <= min_duration < max_duration"
            )
        super().check()

    def chosen(self) -> dict[str, object]:
        """Returns the options that are not at their defaults, by name: what `load_dataset` is given."""
        names = (item.name for item in fields(CaptionOptions))
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(CaptionOptions, name)}


def _check_numbers(*values: object) -> None:
    if not all(isinstance(value, Real) for value in values):
        raise ValueError(f"durations and fractions {values}, expected numbers")
