# SPDX-License-Identifier: Apache-2.0
"""Pushed models, loaded by a process that has torch and transformers, and knows nothing of surglavi_hf."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import HfApi, ModelCard

from surglavi_hf import EvalReport
from surglavi_hf.cli import main
from surglavi_hf.hub import HubError, push_model
from surglavi_hf.hub.card_text import BEGIN

from ..surgclip.test_remote_code import ABSENT

MINE = ".eval_results/surglavi_hf--me--bench.yaml"
LOAD = """
import json, torch
from transformers import AutoModel, AutoProcessor
model = AutoModel.from_pretrained("me/surgclip", trust_remote_code=True, revision=REVISION).eval()
processor = AutoProcessor.from_pretrained("me/surgclip", trust_remote_code=True, revision=REVISION)
clip = torch.arange(6 * 40 * 50 * 3).remainder(256).to(torch.uint8).reshape(6, 40, 50, 3)
inputs = processor(videos=clip, text=["The surgeon holds the liver.", "smoke"], return_tensors="pt")
with torch.no_grad():
    print(json.dumps([model(**inputs).logits_per_video.tolist(), inputs["input_ids"].tolist()]))
"""


@pytest.fixture
def repository(hub_server):
    return lambda: hub_server.repositories["me/surgclip"]


def expected_logits(folder) -> list:
    script = LOAD.replace('"me/surgclip"', repr(str(folder))).replace(
        ", trust_remote_code=True, revision=REVISION", ""
    )
    names: dict = {}
    exec(script.replace("print(", "found = ("), names)
    return json.loads(names["found"])


def test_a_stranger_gets_the_same_numbers(hub_server, trained, stranger, repository):
    pushed = push_model(trained, "me/surgclip")
    assert pushed.tag == "v1" and repository()["visibility"] == "private"
    found = json.loads(stranger(LOAD.replace("REVISION", "'v1'"), *ABSENT))
    assert found == expected_logits(trained)
    assert not hub_server.errors


def test_what_is_pushed(trained, repository):
    push_model(trained, "me/surgclip")
    files = set(repository()["commits"][-1]["files"]) - {".gitattributes"}
    assert files == {path.name for path in trained.iterdir() if path.is_file()} | {"evaluation/phase.json"}
    assert push_model(trained, "me/surgclip").changed == () and len(repository()["commits"]) == 1


def test_the_card(trained, repository, corpus):
    push_model(trained, "me/surgclip")
    text = repository()["commits"][-1]["files"]["README.md"].decode()
    card = ModelCard(text)
    assert ModelCard.load("me/surgclip").validate() is None
    for section in ("Intended use and limits", "Data", "Recipe", "Results", "Licence", "Citation"):
        assert f"## {section}" in card.text
    assert "not for\nclinical decisions" in card.text and "Step 2, epoch 0, loss 2.250" in card.text
    assert card.data.license == "cc-by-nc-sa-4.0" and card.data.base_model == ["google/vit-base-patch16-224"]
    report = EvalReport.from_json(trained / "evaluation" / "phase.json")
    results = {(result.dataset_name, result.metric_name): result for result in card.data.eval_results}
    assert card.data.model_name == "surgclip"
    for name, value in report.metrics.items():
        assert f"| {name} | {value:.4g} |" in card.text
        if "chance" not in name:
            result = results["surglavi_phase_retrieval", name]
            assert result.metric_value == value and result.dataset_type == "aleperez24/SurgLaVi"
    assert results["surglavi", "text_to_video_R@1"].metric_value == 0.25
    assert "| a\\|b | c d |" in card.text and str(corpus) not in text and "$" not in card.text


def test_the_snippet_of_the_card_runs(trained, repository, stranger):
    push_model(trained, "me/surgclip")
    (snippet,) = re.findall(
        r"```python\n(.*?)```", repository()["commits"][-1]["files"]["README.md"].decode(), re.DOTALL
    )
    assert "(1, 2)" in stranger(f"{snippet}\nprint(tuple(probabilities.shape))", "surglavi_hf")


def test_the_card_comes_from_the_files_alone(trained, repository, tmp_path):
    push_model(trained, "me/surgclip")
    copy = tmp_path / "somewhere-else"
    copy.mkdir()
    for name, content in repository()["commits"][-1]["files"].items():
        if name not in (".gitattributes", "README.md"):
            (copy / name).parent.mkdir(exist_ok=True)
            (copy / name).write_bytes(content)
    assert push_model(copy, "me/surgclip").changed == ()


def test_registered_benchmarks(trained, repository):
    measure = "surglavi_phase_retrieval:text_to_video_R@1"
    push_model(trained, "me/surgclip", [(measure, "me/bench:phase"), (measure, "you/bench:phase")])
    files = repository()["commits"][-1]["files"]
    assert {name for name in files if name.startswith(".eval")} == {MINE, MINE.replace("me--", "you--")}
    (entry,) = yaml.safe_load(files[MINE])
    report = EvalReport.from_json(trained / "evaluation" / "phase.json")
    assert entry["dataset"] == {"id": "me/bench", "task_id": "phase"}
    assert entry["value"] == report.metrics["text_to_video_R@1"]
    assert MINE in push_model(trained, "me/surgclip").changed, "it was not asked for again"


@pytest.mark.parametrize(
    ("measured", "registered", "message"),
    [
        (
            "surglavi_phase_retrieval:accuracy",
            "me/bench:phase",
            "nothing was measured as .*expected one of text_to_video",
        ),
        ("autolaparo:accuracy", "me/bench:phase", "expected one of surglavi_phase_retrieval"),
        ("surglavi_phase_retrieval:text_to_video_R@1", "bench", "expected NAME/REPOSITORY:TASK"),
        ("surglavi_phase_retrieval:text_to_video_R@1", "../../x:y/z", "expected NAME/REPOSITORY:TASK"),
    ],
)
def test_registered_benchmarks_that_are_none(trained, hub_server, measured, registered, message):
    with pytest.raises(ValueError, match=message):
        push_model(trained, "me/surgclip", [(measured, registered)])
    assert not hub_server.repositories


def test_a_report_of_other_weights(folder, hub_server):
    path = folder / "evaluation" / "phase.json"
    report = EvalReport.from_json(path)
    replace(report, model=report.model | {"weights_sha256": "0" * 16}).to_json(path)
    with pytest.raises(ValueError, match=r"phase\.json is of other weights .* evaluate this model"):
        push_model(folder, "me/surgclip")
    path.write_text("{}")
    with pytest.raises(ValueError, match="is no EvalReport"):
        push_model(folder, "me/surgclip")
    assert not hub_server.repositories


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "processor_config.json", "model.safetensors"])
def test_a_part_that_is_missing(folder, hub_server, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")):
        push_model(folder, "me/surgclip")
    assert not hub_server.repositories


def test_links_out_of_the_folder(folder, hub_server, tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    (folder / "conversion.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ValueError, match=r"conversion\.json is no part of a model, or a link to elsewhere"):
        push_model(folder, "me/surgclip")
    assert not hub_server.repositories


def test_two_reports_of_one_protocol(folder, hub_server):
    shutil.copy(folder / "evaluation" / "phase.json", folder / "evaluation" / "again.json")
    message = (
        "two reports of surglavi_phase_retrieval by one protocol, evaluation/again.json and evaluation/phase.json"
    )
    with pytest.raises(ValueError, match=message):
        push_model(folder, "me/surgclip")
    assert not hub_server.repositories


def test_a_report_on_videos_the_model_was_trained_on(folder, hub_server, repository):
    path = folder / "evaluation" / "phase.json"
    report = EvalReport.from_json(path)
    replace(report, protocol=report.protocol | {"trained_on_videos": 3}).to_json(path)
    message = (
        r"phase\.json was measured on 3 videos that the model was trained on; evaluate on a held-out split, or take"
    )
    with pytest.raises(ValueError, match=message):
        push_model(folder, "me/surgclip")
    assert not hub_server.repositories
    for value, is_known in (("unknown: no training.json says it", False), (0, True)):
        replace(report, protocol=report.protocol | {"trained_on_videos": value}).to_json(path)
        push_model(folder, "me/surgclip")
        card = repository()["commits"][-1]["files"]["README.md"].decode()
        assert ("Whether the model was trained on these videos is not known." in card) == (not is_known)


@pytest.mark.parametrize("content", ["[]", "{", "{}", '{"vision_config": 3}'])
def test_a_config_that_is_none(folder, hub_server, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json"):
        push_model(folder, "me/surgclip")


def test_a_conversion_that_says_nothing(released_folder, hub_server, tmp_path):
    shutil.copytree(released_folder, tmp_path / "released")
    for content in ({}, {"model": "a\nlicense: mit"}):
        (tmp_path / "released" / "conversion.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"conversion\.json has no model in one line"):
            push_model(tmp_path / "released", "me/surgclip")


def test_a_log_with_anything_in_it(folder, hub_server, repository):
    lines = ['{"step": 4, "epoch": 1, "loss": 1.5, "temperature": 0.07}', "3", '"x"', "{"]
    lines += ['{"step": 5, "epoch": 1, "loss": null, "validation/unreadable": 2, "validation/x": NaN}']
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    push_model(folder, "me/surgclip")
    card = ModelCard(repository()["commits"][-1]["files"]["README.md"].decode())
    assert "trained for 5 steps" in card.text and "Step 4, epoch 1, loss 1.500" in card.text
    assert {result.dataset_name for result in card.data.eval_results} == {"surglavi_phase_retrieval"}


def test_code_that_is_missing(folder, hub_server):
    (folder / "modeling_surgclip_vision.py").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no modeling_surgclip_vision\.py, the code of the model"):
        push_model(folder, "me/surgclip")
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="names no code"):
        push_model(folder, "me/surgclip")


def test_where_it_is_from(folder, hub_server):
    (folder / "training.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither training\.json, .* nor surglavi convert's conversion\.json"):
        push_model(folder, "me/surgclip")
    (folder / "training.json").write_text("[]")
    with pytest.raises(ValueError, match=r"training\.json holds a list, expected an object"):
        push_model(folder, "me/surgclip")
    (folder / "training.json").write_text("{")
    with pytest.raises(ValueError, match=r"training\.json is not JSON"):
        push_model(folder, "me/surgclip")


@pytest.mark.parametrize("name", ["optimizer.bin", "checkpoint.pth", "clip.mp4", "step-00000500/state.json"])
def test_what_is_no_part_of_a_model(folder, hub_server, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=name.partition("/")[0]):
        push_model(folder, "me/surgclip")
    assert not hub_server.repositories


def test_damaged_weights(folder, hub_server):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read as weights"):
        push_model(folder, "me/surgclip")


def test_weights_of_an_earlier_push_go_and_others_files_stay(folder, repository):
    push_model(folder, "me/surgclip")
    api, theirs = HfApi(), ("notes.md", "figures/a.png", "evaluation/notes.md", ".eval_results/cais--hle.yaml")
    for path in ("model-00001-of-00002.safetensors", "evaluation/old.json", *theirs):
        api.upload_file(path_or_fileobj=b"x", path_in_repo=path, repo_id="me/surgclip")
    push_model(folder, "me/surgclip")
    files = set(repository()["commits"][-1]["files"])
    assert set(theirs) <= files
    assert not {"model-00001-of-00002.safetensors", "evaluation/old.json"} & files


def test_words_in_the_card_stay(folder, repository):
    push_model(folder, "me/surgclip")
    text = repository()["commits"][-1]["files"]["README.md"].decode().replace(BEGIN, f"Our words.\n\n{BEGIN}")
    text = text.replace("library_name: transformers", "library_name: transformers\nthumbnail: a.png")
    HfApi().upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id="me/surgclip")
    (folder / "evaluation" / "phase.json").unlink()
    push_model(folder, "me/surgclip")
    card = ModelCard(repository()["commits"][-1]["files"]["README.md"].decode())
    assert "Our words." in card.text and card.data["thumbnail"] == "a.png"
    assert {result.dataset_name for result in card.data.eval_results} == {"surglavi"}, "results are what was measured"


def test_a_refusal_changes_nothing(folder, hub_server, repository):
    push_model(folder, "me/surgclip")
    (folder / "metrics.jsonl").write_text("")
    hub_server.fail(403, path="/commit/", message="storage limit reached")
    with pytest.raises(HubError, match="storage quota is used up"):
        push_model(folder, "me/surgclip")
    assert len(repository()["commits"]) == 1 and repository()["tags"] == {"v1": 1}


def test_a_converted_model(released_folder, hub_server, repository, stranger):
    """What `surglavi convert` writes is pushed with a card that says where it is from."""
    push_model(released_folder, "me/surgclip")
    text = repository()["commits"][-1]["files"]["README.md"].decode()
    origin = json.loads((released_folder / "conversion.json").read_text())
    assert origin["sha256"] in text and 'from_pretrained("me/surgclip", trust' in text
    assert ModelCard.load("me/surgclip").validate() is None
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "(1, 2)" in stranger(f"{snippet}\nprint(tuple(probabilities.shape))", "surglavi_hf")


def test_the_command(folder, hub_server, repository, capsys):
    arguments = ["push-model", str(folder), "--repo-id", "me/surgclip", "--tag", "1.0"]
    measured = "surglavi_phase_retrieval:text_to_video_R@1=me/bench:phase"
    assert main([*arguments, "--eval-result", measured]) == 0
    printed = capsys.readouterr().out
    assert f"{hub_server.url}/me/surgclip (private) at 1.0, commit " in printed
    assert MINE in repository()["commits"][-1]["files"]
    assert main(["push-model", str(folder.parent), "--repo-id", "me/surgclip"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("surglavi push-model: error: ") and "has no config.json" in error
    with pytest.raises(SystemExit):
        main([*arguments, "--eval-result", "accuracy"])
    assert "expected BENCHMARK:MEASURE=NAME/REPOSITORY:TASK" in capsys.readouterr().err
