# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: a YAML file each, of its classes, prompts and splits, and a reader of its labels."""

from .benchmark import Benchmark, LabelledVideo
from .label_reader import LabelReader
from .load import load_benchmark
from .registry import benchmark_names, find_benchmark

__all__ = ["Benchmark", "LabelReader", "LabelledVideo", "benchmark_names", "find_benchmark", "load_benchmark"]
