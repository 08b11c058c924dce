# SPDX-License-Identifier: Apache-2.0
"""Which frames of a stream make the clip around one frame, as SurgCLIP's official evaluation chooses them."""


def centered_window(frame: int, video_length: int, num_frames: int = 16, stride: int = 1) -> list[int]:
    """
    Returns `num_frames` indices with `frame` after the first `num_frames // 2`, for a recorded video: of 16, the eight
    before `frame`, itself and the seven after it. Where the video ends, its first or last frame is repeated.

    Args:
        frame: From 0.
        video_length: Frames of the video.
        num_frames: Of the window.
        stride: From one index to the next.

    Raises:
        ValueError: the video has no such frame, or `num_frames` or `stride` is not positive.

    Example:

    ```python
    >>> centered_window(1, video_length=100, num_frames=6)
    [0, 0, 0, 1, 2, 3]
    ```"""
    if frame >= video_length:
        raise ValueError(f"frame={frame} of a video of {video_length} frames, expected less")
    return [min(index, video_length - 1) for index in _window(frame, num_frames // 2, num_frames, stride)]


def online_window(frame: int, num_frames: int = 16, stride: int = 1) -> list[int]:
    """
    Returns the `num_frames` indices that end at `frame`, for a live stream. At its start, the first frame is repeated.

    Args:
        frame: From 0.
        num_frames: Of the window.
        stride: From one index to the next.

    Raises:
        ValueError: `frame` is negative, or `num_frames` or `stride` is not positive.

    Example:

    ```python
    >>> online_window(2, num_frames=6)
    [0, 0, 0, 0, 1, 2]
    ```"""
    return _window(frame, num_frames - 1, num_frames, stride)


def _window(frame: int, before: int, num_frames: int, stride: int) -> list[int]:
    for name, value, least in (("frame", frame, 0), ("num_frames", num_frames, 1), ("stride", stride, 1)):
        if value < least:
            raise ValueError(f"{name}={value}, expected a whole number >= {least}")
    return [max(frame + place * stride, 0) for place in range(-before, num_frames - before)]


__all__ = ["centered_window", "online_window"]
