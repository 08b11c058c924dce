# SPDX-License-Identifier: Apache-2.0
import json

import pytest
import torch
from PIL import Image

from surglavi_hf.demo import run
from surglavi_hf.demo.run import MARKER, PROMPTS, evaluate_model, run_demo, summarize
from surglavi_hf.evaluation import EvalReport
from surglavi_hf.training.start import new_tiny_model


def test_evaluation_of_a_saved_model(corpus, tmp_path):
    """An untrained model is near chance, and every figure of the summary is there."""
    torch.manual_seed(0)
    for part in new_tiny_model(caption for prompts in PROMPTS.values() for caption in prompts):
        part.save_pretrained(tmp_path / "training" / "model")
    reports = evaluate_model(str(tmp_path / "training" / "model"), str(corpus), str(tmp_path))
    summary = summarize(reports)
    assert set(summary) == {"levels", "motion_pair", "unseen_combinations", "retrieval"}
    assert {level: round(1 / figures["chance"]) for level, figures in summary["levels"].items()} == {
        "task": 216,
        "step": 36,
        "phase": 6,
    }
    assert summary["levels"]["task"]["accuracy"] < 0.1 and 0.2 < summary["motion_pair"]["accuracy"] < 0.8
    assert 0 < summary["retrieval"]["chance"] < 0.05 and summary["retrieval"]["recall_at_1"] < 0.2
    assert 18 <= len(reports["unseen_combinations"].predictions) < len(reports["task"].predictions) == 54
    assert EvalReport.from_json(tmp_path / "training" / "eval-task.json") == reports["task"]
    assert Image.open(tmp_path / "report.png").size[0] > 500


def test_the_whole_road_in_small(corpus, tmp_path, monkeypatch, capsys):
    """The demo as it is, on a smaller corpus and for a few steps; the full one runs in CI."""
    monkeypatch.setattr(run, "write_corpus", lambda folder, seed: corpus)
    monkeypatch.setattr(run, "TRAIN_STEPS", 3)
    output = tmp_path / "demo"
    summary = run_demo(output, seed=1)
    assert json.loads((output / "summary.json").read_text()) == summary
    assert summary["seed"] == 1 and summary["seconds"] > 0
    for name in ("task", "unseen_combinations", "retrieval"):
        report = EvalReport.from_json(output / "training" / f"eval-{name}.json")
        assert report.protocol["trained_on_videos"] == 0
    assert {path.name for path in output.iterdir()} == {MARKER, "benchmark", "training", "summary.json", "report.png"}
    printed = capsys.readouterr().out
    for words in ("zero-shot accuracy, phase", "motion-only pair", "unseen combinations", "R@1"):
        assert words in printed
    run_demo(output, seed=1)  # an earlier demo is made anew


def test_other_peoples_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match=r"files that are not the demo's; name a new folder"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
