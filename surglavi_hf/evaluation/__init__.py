# SPDX-License-Identifier: Apache-2.0
"""Zero-shot recognition, linear probing and retrieval. Models are taken by what they can do; none is written to."""

from .benchmarks import Benchmark, LabelReader, benchmark_names, load_benchmark
from .clip_embeddings import ClipEmbeddings, EmbeddingOptions, embed_captions, embed_clips, embed_texts
from .decoding import Decoding
from .linear_probe import Probe, linear_probe
from .measures import MeasureOptions
from .named_encoders import load_encoder
from .predict import Prediction, PredictOptions, predict
from .report import EvalReport
from .retrieval import retrieval
from .search import build_search_index, search
from .video_encoder import VideoEncoder
from .window_embeddings import Windows
from .zero_shot import zero_shot
from .zero_shot_clips import zero_shot_clips

__all__ = [
    "Benchmark",
    "ClipEmbeddings",
    "Decoding",
    "EmbeddingOptions",
    "EvalReport",
    "LabelReader",
    "MeasureOptions",
    "PredictOptions",
    "Prediction",
    "Probe",
    "VideoEncoder",
    "Windows",
    "benchmark_names",
    "build_search_index",
    "embed_captions",
    "embed_clips",
    "embed_texts",
    "linear_probe",
    "load_benchmark",
    "load_encoder",
    "predict",
    "retrieval",
    "search",
    "zero_shot",
    "zero_shot_clips",
]
