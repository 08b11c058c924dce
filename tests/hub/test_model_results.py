# SPDX-License-Identifier: Apache-2.0
import json
from collections import defaultdict

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData

from surglavi_hf import EvalReport
from surglavi_hf.evaluation.metrics import (
    classification_metrics,
    multi_label_metrics,
    single_label_metrics,
    triplet_metrics,
)
from surglavi_hf.evaluation.ranks import match_ranks, retrieval_metrics
from surglavi_hf.hub.model_results import (
    MAX_LINES,
    Results,
    eval_result_files,
    eval_results,
    results_markdown,
    thinned_log,
    weight_files,
)

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


WINDOW = {"window": "centered", "window_num_frames": 16, "window_stride": 1}


def frames(kind: str) -> tuple[list, list]:
    """Labels and scores of two videos."""
    chosen = np.random.default_rng(0)
    shape = (20, 100 if kind == "triplet" else 4)
    if kind == "single_label":
        return [chosen.integers(0, 4, 20) for _ in range(2)], [chosen.integers(0, 4, 20) for _ in range(2)]
    return [chosen.integers(0, 2, shape) for _ in range(2)], [chosen.random(shape) for _ in range(2)]


def report(benchmark: str, metrics: dict, **protocol) -> EvalReport:
    return EvalReport(benchmark, metrics, {"split": "test", **protocol})


def every_kind_of_report() -> dict[str, EvalReport]:
    """As the evaluation writes them, with measures of its own functions."""
    torch = pytest.importorskip("torch")
    classes = ("a", "b", "c", "d")
    single, _ = single_label_metrics(*frames("single_label"), classes, "official")
    multi, _ = multi_label_metrics(*frames("multi_label"), classes, "official")
    triplet, _ = triplet_metrics(*frames("triplet"), tuple(f"grasper,act{n},x{n}" for n in range(100)), "official")
    probe = {f"{name}_at_{p}_percent_{way}": 0.5 for name in single for p in (10, 100) for way in ("mean", "std")}
    few = {f"{name}_at_4_shots_{way}": 0.25 for name in single for way in ("mean", "std")}
    embeds = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    matches = torch.tensor([[n, n] for n in range(6)])
    ranks = match_ranks(embeds, embeds.flip(0), matches)
    retrieval = retrieval_metrics(ranks, matches, 6, "text_to_video")
    retrieval |= retrieval_metrics(ranks, matches, 6, "video_to_text")
    clips = classification_metrics([0, 1, 2], [0, 1, 1], num_classes=3)
    phases = {"split_variant": "49-80", "prompts": "surgclip: the paper's appendix", **WINDOW}
    return {
        "evaluation/cholec80_phases/report.json": report("cholec80_phases", single, **phases),
        "evaluation/online/report.json": report("cholec80_phases", single, **{**phases, "window": "online"}),
        "evaluation/41/report.json": report("cholec80_phases", single, **{**phases, "split_variant": "41-80"}),
        "evaluation/names/report.json": report("cholec80_phases", single, **{**phases, "prompts": "names: as words"}),
        "evaluation/file/report.json": report("cholec80_phases", single, **phases, dtype="bfloat16"),
        "evaluation/train/report.json": report("cholec80_phases", single, **{**phases, "split": "train"}),
        "evaluation/cholec80_tools/report.json": report("cholec80_tools", multi, **phases),
        "evaluation/cholect50/report.json": report("cholect50", triplet, split_variant="rendezvous", **WINDOW),
        "evaluation/cholec80_phases-probe/report.json": report(
            "cholec80_phases", probe, classifier="logistic_regression", features="both", **phases
        ),
        "evaluation/raw-probe/report.json": report(
            "cholec80_phases", few, classifier="logistic_regression", features="raw", **phases
        ),
        **{
            f"evaluation/surglavi_{level}_retrieval.json": report(
                f"surglavi_{level}_retrieval", retrieval, num_clips=n
            )
            for n, level in enumerate(("task", "step", "phase"))
        },
        "evaluation/clips.json": report("surglavi", clips, num_classes=3),
        "evaluation/other clips.json": report("surglavi_rare", clips, num_classes=3),
    }


def test_each_report_is_an_entry_of_its_own():
    """The card is read back as the Hub reads it."""
    reports = every_kind_of_report()
    validation = {"step": 9, "validation/unreadable": 2}
    for level in ("task", "step", "phase"):
        validation |= {f"validation/{level}_accuracy": 0.5, f"validation/{level}_chance": 0.1}
    validation |= {"validation/text_to_video_R@1": 0.25, "validation/text_to_video_R@1_chance": 0.01}
    data = ModelCardData(model_name="x", eval_results=eval_results(Results(reports, validation)))
    content = f"---\n{data.to_yaml()}\n---\n"
    entries = yaml.safe_load(data.to_yaml())["model-index"][0]["results"]
    assert len(entries) == len(reports) + 4, "of validation one a level, and retrieval"
    found = defaultdict(dict)
    for result in ModelCard(content).data.eval_results:
        assert result.metric_name not in found[result.unique_identifier], "two values stand side by side"
        found[result.unique_identifier][result.metric_name] = result.metric_value
    expected = [
        {name: value for name, value in report.metrics.items() if value is not None and "chance" not in name}
        for report in reports.values()
    ]
    expected += [{"accuracy": 0.5}] * 3 + [{"text_to_video_R@1": 0.25}]
    assert sorted(map(repr, found.values())) == sorted(map(repr, expected))
    identities = [
        (e["task"]["type"], *(e["dataset"].get(key) for key in ("type", "config", "split"))) for e in entries
    ]
    assert len(set(identities)) == len(entries)
    for level in ("task", "step", "phase"):
        assert ("text-to-video-retrieval", "aleperez24/SurgLaVi", level, "test") in identities
    names = {entry["task"]["name"] for entry in entries}
    assert names == {"Zero-shot video classification", "Linear probe", "Retrieval between text and video"}
    kinds = {metric["type"] for entry in entries for metric in entry["metrics"]}
    assert {"accuracy", "f1", "mAP", "recall_at_1", "recall_at_10"} <= kinds


def test_a_report_on_videos_the_model_was_trained_on(tmp_path):
    def text(**protocol) -> str:
        return results_markdown(
            Results({"evaluation/a.json": report("surglavi_task_retrieval", {"a": 1.0}, **protocol)}, {})
        )

    unknown = "Whether the model was trained on these videos is not known."
    assert unknown in text() and unknown in text(trained_on_videos="unknown: no training.json")
    assert unknown not in text(trained_on_videos=0)
    of_others = report("autolaparo", {"a": 1.0})
    assert unknown not in results_markdown(Results({"evaluation/a.json": of_others}, {}))


def test_a_measure_of_several_reports():
    other = EvalReport("autolaparo", {"accuracy_all_frames": 0.75}, {"split": "test", "window": "online"})
    results = Results({**RESULTS.reports, "evaluation/online/report.json": other}, {})
    with pytest.raises(ValueError, match="was measured 2 times; name the report, for example evaluation/autolaparo"):
        eval_result_files(results, [("autolaparo:accuracy_all_frames", "me/a:phases")])
    pair = ("evaluation/online/report.json:accuracy_all_frames", "me/a:phases")
    ((entry,),) = map(yaml.safe_load, eval_result_files(results, [pair]).values())
    assert entry["value"] == 0.75


def test_a_log_is_pushed_thinned(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "loss": 1 / (step + 1)}) for step in range(40_000)]
    lines[1000::1000] = [json.dumps({"step": step, "validation/x": 1.0}) for step in range(1000, 40_000, 1000)]
    path.write_text("\n".join([*lines, "3", "[]", '{"step": 40000, "lo']))
    thinned = thinned_log(path)
    kept = thinned.decode().splitlines()
    assert set(kept) <= set(lines) and kept == sorted(kept, key=lines.index)
    assert {line for line in lines if "validation" in line} <= set(kept), "all of validation"
    steps = [json.loads(line)["step"] for line in kept if "loss" in line]
    assert len(steps) == MAX_LINES and (steps[0], steps[-1]) == (0, 39_999)
    assert max(np.diff(steps)) < 100, "evenly"
    path.write_bytes(thinned)
    assert thinned_log(path) == thinned
    path.write_text("")
    assert thinned_log(path) == b""
