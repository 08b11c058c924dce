# SPDX-License-Identifier: Apache-2.0
"""Which frames of a stream make the clip around one frame, as SurgCLIP's official evaluation chooses them."""


def centered_window(frame: int, video_length: int, num_frames: int = 16) -> list[int]:
    """
    Returns the `num_frames` indices from `frame - num_frames // 2` on, for a recorded video: of 16, the eight before
    `frame`, itself and the seven after it. Where the video ends, its first or last frame is repeated.

    Raises:
        ValueError: the video has no such frame, or `num_frames` is not positive.

    Example:

    ```python
    >>> centered_window(1, video_length=100, num_frames=6)
    [0, 0, 0, 1, 2, 3]
    ```"""
    if frame >= video_length:
        raise ValueError(f"frame={frame} of a video of {video_length} frames, expected less")
    start = frame - num_frames // 2
    return [min(index, video_length - 1) for index in _window(frame, start, num_frames)]


def online_window(frame: int, num_frames: int = 16) -> list[int]:
    """
    Returns the `num_frames` indices that end at `frame`, for a live stream. At its start, the first frame is repeated.

    Raises:
        ValueError: `frame` is negative, or `num_frames` is not positive.

    Example:

    ```python
    >>> online_window(2, num_frames=6)
    [0, 0, 0, 0, 1, 2]
    ```"""
    return _window(frame, frame - num_frames + 1, num_frames)


def _window(frame: int, start: int, num_frames: int) -> list[int]:
    for name, value, least in (("frame", frame, 0), ("num_frames", num_frames, 1)):
        if value < least:
            raise ValueError(f"{name}={value}, expected a whole number >= {least}")
    return [max(index, 0) for index in range(start, start + num_frames)]


__all__ = ["centered_window", "online_window"]
