# SPDX-License-Identifier: Apache-2.0
"""Which videos a model was trained on, as the `training.json` beside its weights says."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..media.identity import video_identity

TRAINING_NAME = "training.json"
# What training records there beside the settings of a run.
RECORDED = ("trained_on", "trained_on_unknown", "corpus")
NO_RECORD = f"no {TRAINING_NAME} beside its weights says which videos it was trained on"
_KEY = re.compile(r"[0-9a-f]{16}")


def video_keys(videos: Iterable[tuple[str | None, str]]) -> set[str]:
    """
    Returns a key of each video, of 16 hexadecimal digits: the start of the SHA-256 of its [`video_identity`].

    Args:
        videos: YouTube id and name of each; one may come several times.
    """
    identities = {video_identity(youtube_id, None, name) for youtube_id, name in videos}
    return {hashlib.sha256(identity.encode()).hexdigest()[:16] for identity in identities}


@dataclass(frozen=True)
class TrainedOn:
    """
    Args:
        videos: Keys of the videos, from [`video_keys`].
        unknown: Why there may be others; None where these are all.
        held_out: Share of its own videos that the run kept out, by a hash of their ids; None where it does not say.
    """

    videos: frozenset[str] = frozenset()
    unknown: str | None = None
    held_out: float | None = None

    def recorded(self) -> dict[str, Any]:
        """Returns what `training.json` gets."""
        record: dict[str, Any] = {"trained_on": sorted(self.videos)}
        return record if self.unknown is None else {**record, "trained_on_unknown": self.unknown}


def trained_on_of(model: Any) -> TrainedOn:
    """As [`read_trained_on`], of a model as transformers loaded it; one that was made anew does not say."""
    config = getattr(model, "config", None)
    name = getattr(config, "_name_or_path", None)
    if not name:
        return TrainedOn(unknown=NO_RECORD)
    return read_trained_on(str(name), getattr(config, "_commit_hash", None))


def read_trained_on(name: str, revision: str | None = None) -> TrainedOn:
    """
    Returns which videos a model was trained on. One that does not say is no error.

    Args:
        name: Its folder or Hub id, as it was loaded.
        revision: On the Hub, the commit.
    """
    from transformers.utils import cached_file

    try:
        path = cached_file(name, TRAINING_NAME, revision=revision)
    except (OSError, ValueError):
        return TrainedOn(unknown=NO_RECORD)
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        videos = frozenset(content["trained_on"])
        if not all(_KEY.fullmatch(key) for key in videos):
            raise ValueError
        held_out = sum(content.get(f"{split}_fraction") or 0.0 for split in ("validation", "test"))
        unknown = content.get("trained_on_unknown")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return TrainedOn(unknown=f"its {TRAINING_NAME} does not say which videos it was trained on")
    return TrainedOn(videos, unknown if unknown is None else str(unknown), held_out)
