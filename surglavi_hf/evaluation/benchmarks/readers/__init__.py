# SPDX-License-Identifier: Apache-2.0
"""Readers of labels, one a file, each known by the file's name: those of shipped benchmarks, and those of anyone's."""
