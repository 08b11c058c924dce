# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a video file, or with its disk."""

import errno


class VideoDecodeError(RuntimeError):
    """A video file that cannot be read, or not at the asked time. The message names the file."""


class DamagedVideoError(VideoDecodeError):
    """A video file of which some frames cannot be decoded."""


class PastEndError(VideoDecodeError):
    """A frame was asked for after the end of a video, which is `end` seconds from its start."""

    def __init__(self, message: str, end: float):
        super().__init__(message)
        self.end = end

    def __reduce__(self) -> tuple:  # it crosses from a DataLoader's worker
        return type(self), (str(self), self.end)


# What to do about a file that cannot be read; never to delete it.
GET_ANOTHER = "move it away, as there may be no other copy, and get it again"
# What a disk that is full or may not be written to answers.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
END_TOLERANCE_S = 1.0  # containers and databases round durations; further past the end is a mistake


def check_end(path: str, time: float, end: float) -> None:
    """Raises PastEndError where `time` is over 1 s after `end`, both in seconds from the start of the video."""
    if time > end + END_TOLERANCE_S:
        raise PastEndError(
            f"video {path} ends at {end:.3f} s, but its frame at {time:.3f} s was asked for; "
            "correct the interval, or download the video again if it was cut short",
            end,
        )
