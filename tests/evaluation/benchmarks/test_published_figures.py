# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from surglavi_hf.evaluation.benchmarks import benchmark_names, find_benchmark
from surglavi_hf.evaluation.benchmarks.published_figures import (
    PublishedSource,
    _read,
    measures_of,
    of_zero_shot,
    published_on,
)


def test_every_number_has_paper_table_protocol_and_date():
    figures = [
        figure
        for name in benchmark_names()
        for published in [published_on(name)]
        for figure in (*published.zero_shot_figures, *published.linear_probe_figures)
    ]
    assert len(figures) == 10 * 7 * 2 - 3 * 7 + 4 * 6 * 3 + 5 * 2 + 2
    for figure in figures:
        assert 0 < figure.value < 100 and figure.system and figure.measure
        assert all(getattr(figure.source, item.name) for item in dataclasses.fields(PublishedSource))


def test_every_block_is_of_a_benchmark_and_its_measures():
    sources, content = _read()
    blocks = [*content["zero_shot"], *content["linear_probe"]]
    assert {block["source"] for block in blocks} == set(sources)
    assert {block["benchmark"] for block in blocks} <= set(benchmark_names())
    for block in content["zero_shot"]:
        if block["source"] == "surglavi_readme":
            assert tuple(block["measures"]) == measures_of(find_benchmark(block["benchmark"]).kind)


def test_newer_figures_stand_beside_the_older():
    published = find_benchmark("autolaparo").published
    found = {(f.system, f.source.paper[:7]): f.value for f in published.zero_shot_figures if f.measure == "macro_f1"}
    assert found["CliPPER", "CliPPER"] == 49.4
    assert (found["PeskaVLP", "CliPPER"], found["PeskaVLP", "SurgLaV"]) == (25.4, 28.41)
    assert "CliPPER" not in published.zero_shot and "arXiv 2509.10555" in published.note
    triplets = find_benchmark("cholect50").published.zero_shot_figures
    assert {f.measure: f.value for f in triplets if f.system == "CliPPER"} == {
        "triplet_mean_average_precision": 6.6,
        "instrument_mean_average_precision": 40.7,
    }


def test_rows_of_another_length():
    with pytest.raises(ValueError, match="mine has 1 figures, expected 2"):
        of_zero_shot(PublishedSource("by hand"), ("accuracy", "macro_f1"), {"mine": [1.0]})
