# SPDX-License-Identifier: Apache-2.0
"""Video processor of SurgCLIP, in plain torch: needs no torchvision."""

from numbers import Integral

import torch
from torch.nn import functional as F
from transformers.feature_extraction_utils import BatchFeature
from transformers.video_processing_utils import VideoProcessorMixin

from .video_inputs import read_frames, split_clips


class SurgCLIPVideoProcessor(VideoProcessorMixin):
    r"""
    Turns clips into `pixel_values`: bicubic resize straight to `size` (the aspect ratio is not kept, nothing is
    cropped), rescale to [0, 1], normalise with mean and standard deviation 0.5, as SurgCLIP was trained.

    Args:
        size: `{"height": int, "width": int}` in pixels.
        num_frames: Frames taken from a clip: of as many equal segments the frame in the middle of each.
        do_sample_frames: Take `num_frames` frames of each clip. Without it clips that are given frame by frame are
            taken whole, and those of a batch must have equally many.
        image_mean, image_std: One number a channel, of values in [0, 1].

    Raises:
        ValueError: `size`, `num_frames`, `image_mean` or `image_std` is none.
    """

    model_input_names = ["pixel_values"]
    size = {"height": 224, "width": 224}
    num_frames = 16
    do_sample_frames = True
    image_mean = [0.5, 0.5, 0.5]
    image_std = [0.5, 0.5, 0.5]

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        size = self.size
        if not isinstance(size, dict) or set(size) != {"height", "width"} or not all(map(_is_count, size.values())):
            raise ValueError(f'size={size!r}, expected {{"height": int, "width": int}} in pixels')
        for name, values in (("image_mean", self.image_mean), ("image_std", self.image_std)):
            numbers = isinstance(values, (list, tuple)) and all(isinstance(value, (int, float)) for value in values)
            if not numbers or len(values) != 3 or (name == "image_std" and min(values) <= 0):
                raise ValueError(f"{name}={values!r}, expected three numbers, those of image_std > 0")
        # Saved even where they are the defaults, and not shared with the class.
        self.size, self.num_frames, self.do_sample_frames = dict(size), _count(self.num_frames), self.do_sample_frames
        self.image_mean, self.image_std = list(self.image_mean), list(self.image_std)

    def preprocess(
        self,
        videos,
        num_frames: int | None = None,
        do_sample_frames: bool | None = None,
        input_data_format: str | None = None,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """
        Returns `pixel_values`, `torch.float32` of shape `(batch_size, num_frames, 3, height, width)`.

        Args:
            videos: A clip or a list of clips. A clip is an object with a `frames(num_frames)` method, such as
                [`Clip`]; a tensor or array of shape `(num_frames, 3, height, width)` or
                `(num_frames, height, width, 3)`, RGB, uint8 or floating point from 0 to 1; or a list of frames, PIL
                images among them. A tensor or array of five axes is a batch.
            num_frames, do_sample_frames: In place of the saved settings.
            input_data_format: `"channels_first"` or `"channels_last"`, where both axes have three entries.
            return_tensors: `"pt"` or `"np"`.

        Raises:
            ValueError: a video is no such clip, or the clips of the batch differ in number of frames.
        """
        num_frames = self.num_frames if num_frames is None else _count(num_frames)
        sample = self.do_sample_frames if do_sample_frames is None else do_sample_frames
        frames = [read_frames(video, num_frames, sample, input_data_format) for video in split_clips(videos)]
        clips = [self._normalize(self._resize(each)) for each in frames]
        if len({len(clip) for clip in clips}) > 1:
            raise ValueError(
                f"clips of {[len(clip) for clip in clips]} frames in one batch, expected equal numbers; "
                "leave do_sample_frames on, or sample each to the same num_frames"
            )
        return BatchFeature({"pixel_values": torch.stack(clips)}, tensor_type=return_tensors)

    def _resize(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 frames to uint8 frames, others to [0, 1]."""
        size = (self.size["height"], self.size["width"])
        if frames.shape[-2:] == size:
            return frames
        if frames.dtype == torch.uint8 and not frames.is_cpu:
            frames = frames / 255  # only the CPU resizes bytes
        # With antialias torch's bicubic kernel is PIL's, and uint8 stays uint8 as it does there.
        frames = F.interpolate(frames, size=size, mode="bicubic", antialias=True)
        return frames if frames.dtype == torch.uint8 else frames.clamp(0, 1)  # which it overshoots

    def _normalize(self, frames: torch.Tensor) -> torch.Tensor:
        mean, std = (frames.new_tensor(value, dtype=torch.float32) for value in (self.image_mean, self.image_std))
        frames = frames / 255 if frames.dtype == torch.uint8 else frames
        return (frames - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


def _is_count(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value > 0


def _count(num_frames: int) -> int:
    if not _is_count(num_frames):
        raise ValueError(f"num_frames={num_frames!r}, expected a whole number >= 1")
    return int(num_frames)


SurgCLIPVideoProcessor.register_for_auto_class()

__all__ = ["SurgCLIPVideoProcessor"]
