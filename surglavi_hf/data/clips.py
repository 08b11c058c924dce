# SPDX-License-Identifier: Apache-2.0
"""A stretch of a video, which reads pixels when asked."""

import base64
import html
import io
import json
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image

from ..media import PastEndError, VideoDecodeError, VideoLibrary

if TYPE_CHECKING:
    import torch

Sampling = Literal["middle", "rand", "uniform"]

_STRIP_FRAMES, _STRIP_HEIGHT = 8, 96


def sample_timestamps(
    start_time: float,
    end_time: float,
    num_frames: int,
    sampling: Sampling = "middle",
    generator: "torch.Generator | None" = None,
) -> list[float]:
    """
    Returns `num_frames` ascending timestamps in seconds within `[start_time, end_time)`, one in each of as many equal
    segments: its centre ("middle"), a random point of it ("rand", as VindLU trains) or its start ("uniform").

    Raises:
        ValueError: `num_frames` is below 1, the interval is empty, or `sampling` is none of the three.
    """
    import torch

    if num_frames < 1:
        raise ValueError(f"num_frames={num_frames}, expected at least 1")
    if not 0 <= start_time < end_time:
        raise ValueError(f"clip interval [{start_time}, {end_time}) s, expected 0 <= start_time < end_time")
    if sampling == "middle":
        offsets = torch.full((num_frames,), 0.5, dtype=torch.float64)
    elif sampling == "rand":
        offsets = torch.rand(num_frames, dtype=torch.float64, generator=generator)
    elif sampling == "uniform":
        offsets = torch.zeros(num_frames, dtype=torch.float64)
    else:
        raise ValueError(f"sampling={sampling!r}, expected one of 'middle', 'rand', 'uniform'")
    segment = (end_time - start_time) / num_frames
    return (start_time + (torch.arange(num_frames, dtype=torch.float64) + offsets) * segment).tolist()


@dataclass(frozen=True, eq=False)
class Clip(bytes):
    """
    A stretch of a video. Nothing is opened before `frames` is called.

    It is a `bytes`, the JSON of its arguments, because that is what the formatters of datasets, the collation of
    torch and pyarrow hand through as it is; another object they refuse or turn into tensors.

    Args:
        video_name: Name of the video in the library.
        start_time: Start in seconds, included.
        end_time: End in seconds, excluded.
        video_dir: Root of the video library, the folder that holds `videos/`.
    """

    video_name: str
    start_time: float
    end_time: float
    video_dir: str

    def __new__(cls, video_name: str, start_time: float, end_time: float, video_dir: str) -> "Clip":
        interval = {"video_name": video_name, "start_time": start_time, "end_time": end_time}
        return super().__new__(cls, json.dumps(interval | {"video_dir": str(video_dir)}).encode())

    def __getnewargs__(self) -> tuple:
        return astuple(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clip) and astuple(self) == astuple(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(astuple(self))

    def __str__(self) -> str:
        return repr(self)

    @cached_property
    def path(self) -> Path:
        """Where the video belongs, `<video_dir>/videos/<video_name>/<video_name>.mp4`, there or not."""
        return VideoLibrary(self.video_dir).video_path(self.video_name)

    @property
    def available(self) -> bool:
        """Whether the video or its frame store is on disk now; never for a name that cannot be a file's."""
        return VideoLibrary(self.video_dir).has(self.video_name)

    def frames(
        self,
        num_frames: int = 16,
        sampling: Sampling = "middle",
        generator: "torch.Generator | None" = None,
    ) -> "torch.Tensor":
        """
        Returns frames of the clip, in order of time: from the video's frame store where there is one, which are
        smaller. A clip that ends after its video ends with it.

        Args:
            num_frames: How many. The clip is cut into as many equal segments, one frame from each.
            sampling: `"middle"` takes the centre of a segment, `"rand"` a random point, `"uniform"` its start.
            generator: Source of randomness for `"rand"`; torch's global one by default.

        Returns:
            `torch.uint8` tensor of shape `(num_frames, 3, height, width)`, RGB.

        Raises:
            FileNotFoundError: neither the video nor its frame store is on disk.
            surglavi_hf.media.VideoDecodeError: it cannot be decoded, or ends before the clip starts.
            ValueError: an argument, the interval or the video's name is out of range.
        """
        from ..media import read_frames  # which needs torch

        timestamps = sample_timestamps(self.start_time, self.end_time, num_frames, sampling, generator)
        library = VideoLibrary(self.video_dir)
        try:
            return read_frames(library, self.video_name, timestamps)
        except PastEndError as error:
            if error.end <= self.start_time:
                raise
            timestamps = sample_timestamps(self.start_time, error.end, num_frames, sampling, generator)
            return read_frames(library, self.video_name, timestamps)

    def _repr_html_(self) -> str:
        """A strip of frames, for notebooks."""
        title = f"{html.escape(self.video_name)} &nbsp; {self.start_time:.1f}–{self.end_time:.1f} s"
        try:
            frames = self.frames(_STRIP_FRAMES)
        except (OSError, ValueError, VideoDecodeError) as error:
            return f"<div><b>{title}</b><br>{html.escape(str(error))}</div>"
        height, width = frames.shape[-2:]
        strip = Image.new("RGB", (_STRIP_FRAMES * _STRIP_HEIGHT * width // height, _STRIP_HEIGHT))
        for index, frame in enumerate(frames):
            left, right = (strip.width * edge // _STRIP_FRAMES for edge in (index, index + 1))
            image = Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())
            strip.paste(image.resize((right - left, _STRIP_HEIGHT)), (left, 0))
        file = io.BytesIO()
        strip.save(file, "JPEG")
        data = base64.b64encode(file.getvalue()).decode()
        return f'<div><b>{title}</b><br><img alt="frames of the clip" src="data:image/jpeg;base64,{data}"></div>'
