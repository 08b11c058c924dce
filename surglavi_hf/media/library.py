# SPDX-License-Identifier: Apache-2.0
"""Where a video lies."""

import os
from pathlib import Path
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
        if (
            name in ("", ".", "..")
            or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES
            or any(character in "/\\" or category(character) == "Cc" for character in name)
        ):
            raise ValueError(
                f"video name {name!r} cannot be a file name, expected 1 to {MAX_NAME_BYTES} bytes without separators "
                "or control characters; correct videos.name in the database"
            )
        return self.root / "videos" / name / f"{name}.mp4"
