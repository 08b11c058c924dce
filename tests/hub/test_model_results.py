# SPDX-License-Identifier: Apache-2.0
import pytest
import yaml

from surglavi_hf import EvalReport
from surglavi_hf.hub.model_results import Results, eval_result_files, eval_results, results_markdown, weight_files

REPORT = EvalReport(
    benchmark="autolaparo",
    metrics={"accuracy_all_frames": 0.5, "macro_f1_all_frames": 0.25, "mean_average_precision": None, "chance": 0.1},
    protocol={"split": "test", "prompts": "surgclip | <b>", "stride": None},
)
RESULTS = Results({"evaluation/autolaparo/report.json": REPORT}, {"step": 7, "loss": 1.0, "validation/R@1": 0.5})


def test_what_the_hub_lists():
    found = {result.metric_name: result for result in eval_results(RESULTS)}
    assert set(found) == {"accuracy_all_frames", "macro_f1_all_frames", "R@1"}, "neither chance nor what is not there"
    accuracy = found["accuracy_all_frames"]
    assert (accuracy.metric_type, accuracy.metric_value, accuracy.dataset_split) == ("accuracy", 0.5, "test")
    assert found["macro_f1_all_frames"].metric_type == "f1"
    assert found["R@1"].dataset_type == "aleperez24/SurgLaVi"


def test_what_the_card_shows():
    text = results_markdown(RESULTS)
    assert "### autolaparo" in text and "| accuracy_all_frames | 0.5 |" in text and "| chance | 0.1 |" in text
    assert "| prompts | surgclip \\| &lt;b> |" in text and "stride" not in text
    assert "### Validation while training, step 7" in text and "| R@1 | 0.5 |" in text
    assert results_markdown(Results({}, {})) == "" and eval_results(Results({}, {})) == []


def test_registered_benchmarks():
    pairs = [("autolaparo:accuracy_all_frames", "me/a:phases"), ("autolaparo:macro_f1_all_frames", "me/a:phases_f1")]
    ((name, content),) = eval_result_files(RESULTS, pairs).items()
    assert name == ".eval_results/surglavi_hf--me--a.yaml"
    assert [(entry["dataset"]["task_id"], entry["value"]) for entry in yaml.safe_load(content)] == [
        ("phases", 0.5),
        ("phases_f1", 0.25),
    ]


def test_weights_in_several_files(tmp_path):
    assert weight_files(tmp_path) == ["model.safetensors"]
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        '{"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}}'
    )
    assert weight_files(tmp_path) == ["model-1.safetensors", "model-2.safetensors"]
    for content in ("[]", "{", '{"weight_map": 3}'):
        index.write_text(content)
        with pytest.raises(ValueError, match="is no index of weights"):
            weight_files(tmp_path)
