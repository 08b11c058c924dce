# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf import EvalReport, load_benchmark
from surglavi_hf.cli import main
from surglavi_hf.demo.benchmark import write_benchmark
from surglavi_hf.demo.run import PROMPTS
from surglavi_hf.training.start import new_tiny_model


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("demo") / "benchmark", seed=2)


def test_labels_and_videos_fit(path):
    test, train = (load_benchmark(path, split=split) for split in ("test", "train"))
    assert list(train.videos) == ["operation-1", "operation-2"] and list(test.videos) == ["operation-3", "operation-4"]
    for video in test.videos.values():
        assert len(video.labels) == len(video.numbers) == 126, "63 s at 2 a second, each with a label"
        assert len(set(video.labels.values())) == 3


def test_the_second_command_of_a_newcomer(path, tmp_path, monkeypatch, capsys):
    for part in new_tiny_model(PROMPTS["phase"]):
        part.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(path), "--model", "model"]) == 0
    printed = capsys.readouterr().out
    assert "Drawn operations" in printed and "SurgCLIP (β)" not in printed
    folder = tmp_path / "evaluation" / "benchmark"
    assert EvalReport.from_json(folder / "report.json").title == "Drawn operations"
    assert (folder / "report.md").read_text().startswith("### Drawn operations\n")
    assert main(["probe", str(path), "--model", "model", "--percents", "100", "--seeds", "1"]) == 0
