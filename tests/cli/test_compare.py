# SPDX-License-Identifier: Apache-2.0
import csv

import pytest
from huggingface_hub import ModelCard

from surglavi_hf.cli import main

from ..evaluation.conftest import new_image_model
from ..evaluation.native_files import some_labels, write_native
from ..evaluation.test_vision_encoders import save
from .test_evaluation import folder as folder  # AutoLaparo, and a SurgCLIP


@pytest.fixture(scope="module")
def zoo(folder, tmp_path_factory, tiny_tokenizer):
    """Two more models; both folders of one name."""
    zoo = tmp_path_factory.mktemp("zoo")
    for kind in ("clip", "siglip"):
        for part in new_image_model(kind, tiny_tokenizer):
            part.save_pretrained(zoo / kind / "model")
    ModelCard("---\nlicense: mit\n---\nA model.\n").save(zoo / "clip" / "model" / "README.md")
    return zoo


@pytest.fixture(scope="module")
def tiny_tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / "model")


def arguments(folder, zoo, *more):
    models = [zoo / "clip" / "model", zoo / "siglip" / "model"]
    return ["compare", *map(str, (f"autolaparo={folder / 'autolaparo'}", *more, "--models", *models))]


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".md", ".csv", ".tex", ".png")}


def test_compare(folder, zoo, tmp_path, capsys):
    out = tmp_path / "out"
    command = arguments(folder, zoo, "--output", out, "--tasks", "zero_shot", "probe", "--percents", "100")
    assert main([*command, "--prompts", "surgclip,names"]) == 0
    said = capsys.readouterr().out.replace("\n", "")
    assert "autolaparo: 136 frames read, once for all models" in said and str(out / "comparison.md") in said
    assert "[1] SurgLaVi" in said and "CliPPER, published [2]" in said
    first = contents(out)
    assert set(first) == {
        *(f"comparison.{suffix}" for suffix in ("md", "csv", "tex", "png")),
        "differences.csv",
        "models.csv",
    }
    assert {path.name for path in (out / "ribbons" / "autolaparo").iterdir()} == {f"{n}.png" for n in range(15, 22)}
    assert len(list((out / "reports" / "autolaparo").glob("*.json"))) == 4
    rows = list(csv.DictReader((out / "models.csv").open()))
    assert [row["model"] for row in rows] == [str(zoo / kind / "model") for kind in ("clip", "siglip")]
    assert [row["licence"] for row in rows] == ["mit", "unknown"]
    assert main([*command, "--prompts", "surgclip,names"]) == 0
    assert "autolaparo: 0 frames read" in capsys.readouterr().out and contents(out) == first


def test_one_more_model(folder, zoo, tmp_path, capsys):
    out = tmp_path / "out"
    command = arguments(folder, zoo, "--output", out)
    assert main(command) == 0 and main([*command, str(folder / "model")]) == 0
    assert capsys.readouterr().out.count("autolaparo: 56 frames read") == 2
    rows = list(csv.DictReader((out / "differences.csv").open()))
    assert {row["minus"] for row in rows} == {str(zoo / "siglip" / "model"), str(folder / "model")}


def test_retrieval(folder, zoo, corpus, tmp_path, capsys):
    command = ["compare", "--tasks", "retrieval", "--data-dir", str(corpus), "--level", "task", "--output"]
    models = [str(folder / "model"), str(zoo / "clip" / "model")]
    more = ["--validation-fraction", "0.4", "--models", *models]
    assert main([*command, str(tmp_path / "out"), *more]) == 0
    said = capsys.readouterr().out.replace("\n", "")
    assert "text → video R@1" in said
    first = contents(tmp_path / "out")
    assert "retrieval" in first["comparison.md"].decode() and main([*command, str(tmp_path / "out"), *more]) == 0
    assert {n: b for n, b in contents(tmp_path / "out").items() if n != "models.csv"} == {
        n: b for n, b in first.items() if n != "models.csv"
    }


@pytest.mark.parametrize(
    "more, message",
    [
        (["--tasks", "retrieval"], "--tasks retrieval and --data-dir, which holds its corpus, go together"),
        (["--data-dir", "."], "go together; give both or none"),
        (
            ["--prompts", "names,names"],
            "--prompts names,names, expected names or files with commas between, each once",
        ),
        (["--prompts", "names,"], "expected names or files with commas between"),
        (["--prompts", "names,nowhere.yaml"], "'nowhere.yaml' is neither a file nor one of surgclip, names"),
        (["grasp_phases=nowhere"], "root='nowhere' is no folder"),
        (["mine=.", "--root", "."], "--root is of one benchmark; of several write NAME=DIR for each"),
        (["--tasks"], "tasks=(), expected some of"),
        (["--percents", "0"], "percents=(0,), expected numbers from 1 to 100"),
        (["--split", "nothing"], "split='nothing', expected one of train, val, test, all"),
    ],
)
def test_wrong_input_is_one_line(folder, zoo, tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments(folder, zoo, *more, "--output", "out")) == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_models_that_are_not_there_or_there_twice(folder, zoo, tmp_path, capsys):
    command = ["compare", f"autolaparo={folder / 'autolaparo'}", "--output", str(tmp_path / "out"), "--models"]
    model = str(zoo / "clip" / "model")
    assert main([*command, model, model]) == 1 and f"--models has {model} twice" in capsys.readouterr().err
    assert main([*command, model, str(tmp_path / "nowhere")]) == 1
    assert "nowhere, expected a folder or Hub id" in capsys.readouterr().err
    assert main(["compare", "--models", model]) == 1 and "there is no benchmark; name one" in capsys.readouterr().err


def test_nothing_that_models_can_do(folder, tmp_path, capsys):
    save("vit", tmp_path / "vit")
    command = ["compare", f"autolaparo={folder / 'autolaparo'}", "--output", str(tmp_path / "out"), "--models"]
    assert main([*command, str(tmp_path / "vit")]) == 1
    said = capsys.readouterr().err
    assert "nothing to compare: vit has no text encoder: no zero-shot recognition; ask for others of --tasks" in said
    assert not (tmp_path / "out" / "comparison.md").exists()


def test_a_folder_of_others_is_left_alone(folder, zoo, tmp_path, capsys):
    (tmp_path / "precious.txt").write_text("x")
    assert main(arguments(folder, zoo, "--output", tmp_path)) == 1
    assert "has files of others; name a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_two_at_once(folder, zoo, tmp_path, capsys):
    from filelock import FileLock

    (tmp_path / ".surglavi-compare").touch()
    with FileLock(tmp_path / ".lock"):
        assert main(arguments(folder, zoo, "--output", tmp_path)) == 1
    assert "another comparison is at work in" in capsys.readouterr().err


def test_a_benchmark_of_several_classes_a_frame(zoo, folder, tmp_path, capsys):
    for place, video in enumerate(("video41", "video80")):
        write_native("cholec80_tools", tmp_path / "tools", video, some_labels("cholec80_tools", shift=place))
    assert main(["compare", f"cholec80_tools={tmp_path / 'tools'}", "--models", str(zoo / "clip" / "model")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
