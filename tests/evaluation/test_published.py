# SPDX-License-Identifier: Apache-2.0
from surglavi_hf import EvalReport
from surglavi_hf.evaluation.benchmarks import find_benchmark
from surglavi_hf.evaluation.published import comparison, report_markdown

from .native_files import VIDEOS


def published_zero_shot(name):
    return find_benchmark(name).published.zero_shot


def published_linear_probe(name):
    return find_benchmark(name).published.linear_probe


def test_the_table_is_whole():
    columns = {name: published_zero_shot(name) for name in VIDEOS if published_zero_shot(name)}
    assert len(columns) == 10 and all(len(rows) == 7 for rows in columns.values())
    for name, rows in columns.items():
        several = name in ("cholec80_tools", "grasp_tools", "cholect50")
        assert all(
            len(values) == (1 if several else 2) and all(0 < v < 100 for v in values) for values in rows.values()
        )
    assert published_zero_shot("cholec80_phases")["SurgCLIP (β)"] == [57.98, 39.42]
    assert published_zero_shot("heichole_phases") == {}


def test_the_figure_is_whole():
    for name in ("autolaparo", "cholec80_phases", "grasp_phases", "grasp_steps"):
        rows = published_linear_probe(name)
        assert len(rows) == 6 and all(set(row) == {10, 50, 100} for row in rows.values())
    assert published_linear_probe("autolaparo")["PeskaVLP"][50] == 56.5 and published_linear_probe("cholect50") == {}


def report(**metrics):
    return EvalReport(
        "cholec80_phases",
        metrics,
        {"split": "test", "note": "a | b\nc"},
        per_class=[{"class": "a|b", "f1": 0.5}],
        model={"name": "mine", "revision": None},
        seconds=1.5,
        published=dict(published_zero_shot("cholec80_phases")),
        published_note=find_benchmark("cholec80_phases").published.note,
    )


METRICS = {
    "accuracy_video_mean": 0.5,
    "accuracy_all_frames": None,
    "macro_f1_video_mean": 0.25,
    "macro_f1_all_frames": 1.0,
}


def test_beside_the_published_rows():
    header, rows = comparison(report(**METRICS))
    assert header == ["model", "accuracy", "macro f1"] and rows[0] == ["CLIP", "27.81", "8.42"]
    assert rows[-2:] == [["mine, video mean", "50.00", "25.00"], ["mine, all frames", "–", "100.00"]]


def test_markdown():
    text = report_markdown(report(**METRICS))
    assert "| SurgCLIP (β) | 57.98 | 39.42 |" in text and "| accuracy_all_frames | – |" in text
    assert "| a\\|b | 0.5000 |" in text and "| protocol: note | a \\| b c |" in text
    assert "Which of the two averages" in text and "| model: name | mine |" in text
    probed = report_markdown(report(macro_f1_all_frames_at_10_percent_mean=0.5))
    assert "SurgCLIP (β)" not in probed and "| macro_f1_all_frames_at_10_percent_mean | 0.5000 |" in probed
