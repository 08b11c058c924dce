# SPDX-License-Identifier: Apache-2.0
"""Zero-shot recognition, linear probing and retrieval. Models are taken by what they can do; none is written to."""

from .benchmarks import BENCHMARKS, Benchmark, load_benchmark
from .embed import embed_clips, embed_texts
from .encoders import VideoEncoder
from .report import EvalReport
from .retrieval import retrieval
from .windows import Windows
from .zero_shot import zero_shot
from .zero_shot_clips import zero_shot_clips

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "EvalReport",
    "VideoEncoder",
    "Windows",
    "embed_clips",
    "embed_texts",
    "load_benchmark",
    "retrieval",
    "zero_shot",
    "zero_shot_clips",
]
