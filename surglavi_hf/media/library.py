# SPDX-License-Identifier: Apache-2.0
"""Where a video lies, and what belongs to it."""

import os
from pathlib import Path, PurePosixPath
from unicodedata import category

MAX_NAME_BYTES = 200  # leaves room for a suffix within the 255 bytes file systems allow


class VideoLibrary:
    """The only code that knows the paths of a library: `<root>/videos/<name>/<name>.mp4`."""

    def __init__(self, root: str | os.PathLike):
        self.root = Path(root)

    def video_path(self, name: str) -> Path:
        """
        Returns where the video called `name` belongs, whether it is there or not.

        Raises:
            ValueError: `name` is empty, has over 200 bytes, or could leave the library (a separator, `..`, a control
                character).
        """
        if not is_file_name(name):
            raise ValueError(
                f"video name {name!r} cannot be a file name, expected 1 to {MAX_NAME_BYTES} bytes without separators "
                "or control characters; correct videos.name in the database"
            )
        return self.root / "videos" / name / f"{name}.mp4"

    def video_names(self) -> list[str]:
        """Returns the names of the videos that are there, sorted."""
        folder = self.root / "videos"
        if not folder.is_dir():
            return []
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if is_file_name(entry.name)]
        return sorted(name for name in names if self.video_path(name).is_file())

    def transcription_path(self, file_path: str) -> Path | None:
        """
        Returns where the transcription that the database calls `file_path` belongs, `<root>/transcriptions/<file>`,
        whether it is there or not. Only the last part counts, the folders before it are those of another machine;
        `None` where that cannot be a file name.
        """
        name = PurePosixPath(file_path.replace("\\", "/")).name
        return self.root / "transcriptions" / name if is_file_name(name) else None

    def transcriptions_changed_at(self) -> int:
        """Returns when a transcription was last added or removed, in nanoseconds; 0 where there is no folder."""
        folder = self.root / "transcriptions"
        return folder.stat().st_mtime_ns if folder.is_dir() else 0


def is_file_name(name: str) -> bool:
    """Whether `name` stays in the folder it is joined to, and file systems allow it."""
    return (
        name not in ("", ".", "..")
        and len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES
        and not any(character in "/\\" or category(character) in ("Cc", "Cs") for character in name)
    )
