# SPDX-License-Identifier: Apache-2.0
"""What of a database can be used, and what cannot."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..media import is_file_name
from .database import open_database, read_captions, read_levels, read_stored_caption, read_videos
from .locate import find_database
from .splits import video_identities
from .validation import REASONS, SOUND, count_reasons, ends_past_video, find_problems

_EXAMPLES = 3


@dataclass(frozen=True)
class DatabaseCheck:
    """
    The outcome of [`check_database`].

    Args:
        database: The file.
        captions: Rows of the table `captions`.
        loaded: Of these the sound ones, that `load_dataset` chooses from.
        left_out: How many are not, by reason.
        examples: For each of these reasons a few rows, as they are stored, by the columns that show it.
        warnings: What does not keep rows from being loaded, with how many it concerns.
    """

    database: Path
    captions: int
    loaded: int
    left_out: dict[str, int]
    examples: dict[str, list[dict[str, Any]]]
    warnings: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Returns the counts alone."""
        return {"captions": self.captions, "loaded": self.loaded, "left_out": self.left_out}


def check_database(path: str | os.PathLike) -> DatabaseCheck:
    """
    Reads a whole database and says which captions `load_dataset` leaves out before any filter, and why. Texts are
    judged as by default: the enriched caption, the narration where that is NULL.

    Args:
        path: The database, or the folder that holds it.

    Raises:
        FileNotFoundError, OSError, ValueError: it cannot be read, as [`open_database`].
    """
    path = find_database(path)
    with open_database(path) as connection:
        levels, videos, captions = read_levels(connection), read_videos(connection), read_captions(connection)
        problems = find_problems(captions, videos, levels)
        left_out = count_reasons(problems)
        examples = {}
        for index, (reason, columns) in enumerate(REASONS.items()):
            if reason in left_out:
                rows = np.flatnonzero(problems == index)[:_EXAMPLES]
                stored = [read_stored_caption(connection, int(row)) for row in rows]
                shown = dict.fromkeys(("caption_id", *columns))
                examples[reason] = [{name: row[name] for name in shown} for row in stored]
    sound = problems == SOUND
    names, identities = videos["name"].to_pylist(), video_identities(videos).to_pylist()
    known = [identity for identity in identities if identity]
    of_files = {(name, identity) for name, identity in zip(names, identities, strict=True) if name is not None}
    warnings = {
        "captions end after their video; they are read up to its end": np.sum(
            ends_past_video(captions, videos) & sound
        ),
        "video names cannot be file names; their clips have no frames": sum(
            name is not None and not is_file_name(name) for name in names
        ),
        "videos are copies of another by YouTube id or address; they fall into one split": len(known) - len({*known}),
        "videos have the file name of another video; of one file two splits can come": (
            len(of_files) - len({name for name, _ in of_files})
        ),
    }
    return DatabaseCheck(
        database=path,
        captions=captions.num_rows,
        loaded=int(np.count_nonzero(sound)),
        left_out=left_out,
        examples=examples,
        warnings={text: int(count) for text, count in warnings.items() if count},
    )
