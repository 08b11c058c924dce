# SPDX-License-Identifier: Apache-2.0
"""Surgical benchmarks, read as their owners ship them. Class names, prompts and splits are the YAML files here."""

from .benchmark import Benchmark, LabelledVideo
from .load import BENCHMARKS, load_benchmark

__all__ = ["BENCHMARKS", "Benchmark", "LabelledVideo", "load_benchmark"]
