# SPDX-License-Identifier: Apache-2.0
"""Video processor of SurgCLIP, in plain torch: needs no torchvision."""

import numpy as np
import torch
from torch.nn import functional as F
from transformers.feature_extraction_utils import BatchFeature
from transformers.video_processing_utils import VideoProcessorMixin


class SurgCLIPVideoProcessor(VideoProcessorMixin):
    r"""
    Turns clips into `pixel_values`: bicubic resize straight to `size` (the aspect ratio is not kept, nothing is
    cropped), rescale to [0, 1], normalise with mean and standard deviation 0.5, as SurgCLIP was trained.

    Args:
        size: `{"height": int, "width": int}` in pixels.
        num_frames: Frames taken from a clip that has a `frames(num_frames)` method, such as [`Clip`]. Videos given as
            arrays are taken whole.
    """

    model_input_names = ["pixel_values"]
    size = {"height": 224, "width": 224}
    num_frames = 16
    image_mean = [0.5, 0.5, 0.5]
    image_std = [0.5, 0.5, 0.5]
    rescale_factor = 1 / 255

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(self.size, dict) or set(self.size) != {"height", "width"}:
            raise ValueError(f'size={self.size!r}, expected {{"height": int, "width": int}} in pixels')
        self.size = dict(self.size)  # not shared with the class

    def preprocess(self, videos, return_tensors: str | None = "pt") -> BatchFeature:
        """
        Returns `pixel_values`, `torch.float32` of shape `(batch_size, num_frames, 3, height, width)`.

        Args:
            videos: One clip or a list of them: objects with a `frames(num_frames)` method, or uint8 tensors or arrays
                of shape `(num_frames, 3, height, width)`, RGB.
            return_tensors: `"pt"` or `"np"`.

        Raises:
            ValueError: a video has another shape or type, or the clips of the batch differ in number of frames.
        """
        if not isinstance(videos, (list, tuple)):
            videos = [videos]
        clips = [self._normalize(self._resize(self._frames(video))) for video in videos]
        if len({len(clip) for clip in clips}) > 1:
            raise ValueError(
                f"clips of {[len(clip) for clip in clips]} frames in one batch, expected equal numbers; "
                "sample each to the same num_frames"
            )
        return BatchFeature({"pixel_values": torch.stack(clips)}, tensor_type=return_tensors)

    def _frames(self, video) -> torch.Tensor:
        if hasattr(video, "frames"):
            video = video.frames(self.num_frames)
        video = torch.from_numpy(video) if isinstance(video, np.ndarray) else video
        if isinstance(video, str):
            raise ValueError(f"video is the text {video!r}; pass captions as text=, videos as clips or arrays")
        is_tensor = isinstance(video, torch.Tensor)
        if not is_tensor or video.dtype != torch.uint8 or video.ndim != 4 or video.shape[1] != 3:
            found = f"{video.dtype} of shape {tuple(video.shape)}" if is_tensor else type(video).__name__
            raise ValueError(f"video is {found}, expected uint8 of shape (num_frames, 3, height, width), RGB")
        return video

    def _resize(self, frames: torch.Tensor) -> torch.Tensor:
        size = (self.size["height"], self.size["width"])
        if frames.shape[-2:] == size:
            return frames
        # With antialias torch's bicubic kernel is PIL's, and uint8 stays uint8 as it does there.
        return F.interpolate(frames, size=size, mode="bicubic", antialias=True)

    def _normalize(self, frames: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (self.image_mean, self.image_std))
        return (frames * self.rescale_factor - mean) / std


__all__ = ["SurgCLIPVideoProcessor"]
