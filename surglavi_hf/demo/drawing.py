# SPDX-License-Identifier: Apache-2.0
"""Drawn procedures as H.264 files: an instrument does something to a tissue."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..files import written_whole

SIZE = 96  # pixels, height and width
FPS = 8
TASK_S = 3.0  # seconds
PAUSE_S = 0.5  # after a task its last picture stays

# Colour, second colour, spatial frequency of the texture.
TISSUES = {
    "liver": ((125, 45, 35), (95, 30, 28), 3),
    "gallbladder": ((95, 140, 70), (130, 165, 85), 2),
    "omentum": ((215, 175, 70), (240, 210, 120), 8),
    "bowel": ((225, 130, 125), (190, 85, 90), 5),
    "spleen": ((105, 50, 110), (75, 30, 90), 4),
    "peritoneum": ((190, 160, 150), (160, 122, 118), 6),
}
# Colour of the shaft, of the tip, width of the shaft.
INSTRUMENTS = {
    "grasper": ((190, 195, 200), (230, 230, 235), 9),
    "hook": ((25, 25, 28), (200, 160, 50), 6),
    "scissors": ((235, 120, 30), (205, 205, 210), 9),
    "clip applier": ((40, 80, 200), (150, 170, 240), 14),
    "irrigator": ((20, 150, 140), (130, 230, 220), 12),
    "stapler": ((245, 245, 245), (120, 40, 140), 17),
}
ACTIONS = ("holds", "burns", "wets", "marks", "presses", "releases")
MOTION_PAIR = ("presses", "releases")  # the same frames in opposite order


@dataclass(frozen=True)
class Task:
    """One drawn action; times in seconds."""

    tissue: str
    instrument: str
    action: str
    start_time: float
    phase: int
    step: int
    seconds: float = TASK_S

    @property
    def end_time(self) -> float:
        return self.start_time + self.seconds


def _smooth_noise(rng: np.random.Generator, frequency: int, size: int) -> np.ndarray:
    coarse = rng.random((frequency + 2, frequency + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.BICUBIC))


class Scene:
    """A stretch of tissue with an instrument on it, drawn frame by frame; `rng` fixes its looks."""

    margin = 12  # pixels the camera may drift

    def __init__(self, rng: np.random.Generator, task: "Task"):
        self.task = task
        colour, second, frequency = TISSUES[task.tissue]
        mixed = np.clip(_smooth_noise(rng, frequency, SIZE + 2 * self.margin), 0, 1)[..., None]
        canvas = np.array(colour, np.float32) * (1 - mixed) + np.array(second, np.float32) * mixed
        canvas *= rng.uniform(0.85, 1.1)
        self.canvas = canvas
        self.drift = rng.uniform(0, 2 * math.pi, 2)
        self.angle = rng.uniform(0, 2 * math.pi)
        self.tip = rng.uniform(0.38, 0.62, 2) * SIZE
        self.spots = rng.uniform(-18, 18, (6, 2))

    def frame(self, progress: float) -> np.ndarray:
        """Returns the uint8 picture `(SIZE, SIZE, 3)` at a share `progress` of the task."""
        action = "presses" if self.task.action == "releases" else self.task.action
        if self.task.action == "releases":
            progress = 1 - progress  # the same frames, backwards
        x, y = (self.margin + 0.8 * self.margin * np.sin(self.drift + 1.5 * progress)).astype(int)
        picture = self.canvas[y : y + SIZE, x : x + SIZE]
        if action == "presses":
            picture = picture + progress * 0.7 * (240 - picture)
        image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        draw = ImageDraw.Draw(image, "RGBA")
        tip = self.tip + 2 * np.sin(6 * progress + self.drift)
        if action == "wets":
            self._blobs(draw, tip, 10 + 14 * progress, (70, 130, 255, 130))
        if action == "marks":
            count = 2 + round(4 * progress)
            for spot in self.spots[:count]:
                self._circle(draw, tip + spot, 4, (15, 15, 60, 255))
        self._instrument(draw, tip)
        if action == "burns":
            self._circle(draw, tip, 6, (20, 10, 5, 255))
            self._blobs(draw, tip - (0, 8 + 12 * progress), 6 + 10 * progress, (235, 235, 235, 150))
        return np.asarray(image)

    def _circle(self, draw: ImageDraw.ImageDraw, centre: np.ndarray, radius: float, colour: tuple) -> None:
        draw.ellipse([*(centre - radius), *(centre + radius)], fill=colour)

    def _blobs(self, draw: ImageDraw.ImageDraw, centre: np.ndarray, radius: float, colour: tuple) -> None:
        for spot in self.spots[:3]:
            self._circle(draw, centre + spot * radius / 24, radius, colour)

    def _instrument(self, draw: ImageDraw.ImageDraw, tip: np.ndarray) -> None:
        shaft, end, width = INSTRUMENTS[self.task.instrument]
        along = np.array([math.cos(self.angle), math.sin(self.angle)])
        across = np.array([-along[1], along[0]])
        draw.line([*(tip + 12 * along), *(tip + 2 * SIZE * along)], fill=shaft, width=width)
        opening = {"grasper": 5, "scissors": 8}.get(self.task.instrument)
        if opening:
            for side in (-opening, opening):
                draw.line([*(tip + 13 * along), *(tip + side * across)], fill=end, width=5)
        elif self.task.instrument == "hook":
            draw.line([*(tip + 13 * along), *tip, *(tip + 8 * across)], fill=end, width=4)
        else:
            draw.line([*tip, *(tip + 14 * along)], fill=end, width=width)


def write_video(path: Path, tasks: list[Task], seed: list[int]) -> float:
    """Draws and encodes a video, whole or not at all; returns its duration in seconds."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with written_whole(path) as beside, av.open(str(beside), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        # Short groups of pictures: a random frame is a few frames of decoding away.
        stream.options = {"preset": "ultrafast", "crf": "20", "g": str(FPS), "threads": "1"}
        for index, task in enumerate(tasks):
            scene = Scene(np.random.default_rng([*seed, index]), task)
            frames = int((task.seconds + PAUSE_S) * FPS)
            for number in range(frames):
                picture = scene.frame(min(1.0, number / (task.seconds * FPS - 1)))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                count += 1
        container.mux(stream.encode())
    return count / FPS
