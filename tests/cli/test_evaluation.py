# SPDX-License-Identifier: Apache-2.0
import json
import shutil

import pytest
from datasets import load_dataset
from safetensors.torch import load_file, save_file

from surglavi_hf import EvalReport, TrainingConfig, train
from surglavi_hf.cli import main
from surglavi_hf.demo.run import PROMPTS
from surglavi_hf.evaluation import benchmark_names
from surglavi_hf.training.start import new_tiny_model

from ..evaluation.conftest import write_pictures
from ..evaluation.native_files import some_labels, write_frames, write_native


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    for part in new_tiny_model(PROMPTS["task"], num_frames=4):
        part.save_pretrained(folder / "model")
    write_pictures(folder / "video.mp4", [float(second) for second in range(10)])
    for place, number in enumerate([*range(1, 11), *range(15, 22)]):
        write_native("autolaparo", folder / "autolaparo", f"{number:02d}", some_labels("autolaparo", shift=place))
        write_frames("autolaparo", folder / "autolaparo", f"{number:02d}", folder / "video.mp4")
    return folder


def arguments(folder, *more):
    options = {"--root": folder / "autolaparo", "--model": folder / "model", "--output": folder / "out"}
    return [str(part) for pair in options.items() for part in pair] + [str(part) for part in more]


def test_help_names_what_is_shipped(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in benchmark_names()[:15]) and "a YAML file" in said


def test_evaluate(folder, capsys):
    assert main(["evaluate", "autolaparo", *arguments(folder)]) == 0
    printed = capsys.readouterr().out
    assert "SurgCLIP (β)" in printed and "55.72" in printed and "model, all frames" in printed
    assert (
        "all of the split" in printed
        and "macro jaccard" in printed
        and str(folder / "out") in printed.replace("\n", "")
    )
    out = folder / "out" / "autolaparo"
    assert {path.name for path in out.iterdir()} == {
        "scores",
        "report.json",
        "report.md",
        "confusion_matrix.png",
        "ribbons.png",
    }
    report = EvalReport.from_json(out / "report.json")
    assert report.protocol["window"] == "centered" and report.protocol["window_num_frames"] == 4
    assert len(report.predictions) == 7 * 8 and str(folder) not in (out / "report.json").read_text()
    assert str(folder) not in (out / "report.md").read_text()
    assert main(["evaluate", "autolaparo", *arguments(folder)]) == 0
    assert EvalReport.from_json(out / "report.json") == report


def test_probe(folder, capsys):
    more = ["--percents", "10", "100", "--shots", "1", "--seeds", "2"]
    assert main(["probe", "autolaparo", *arguments(folder, *more)]) == 0
    printed = capsys.readouterr().out
    assert "PeskaVLP" in printed and "46.2" in printed and "±" in printed
    out = folder / "out" / "autolaparo-probe"
    assert {path.name for path in out.iterdir()} == {"report.json", "report.md", "linear_probe.png"}
    assert "macro_f1_video_mean_at_1_shots_mean" in json.loads((out / "report.json").read_text())["metrics"]
    assert main(["probe", "autolaparo", *arguments(folder, "--percents", "--shots", "1", "--seeds", "1")]) == 0
    left = {path.name for path in out.iterdir()}
    assert left == {"report.json", "report.md"}, "no picture of another report beside this one"


def test_retrieval_and_search(folder, corpus, capsys):
    model = ["--model", str(folder / "model"), "--data-dir", str(corpus)]
    out = folder / "retrieval"
    assert main(["retrieval", *model, "--output", str(out), "--split", "test", "--test-fraction", "0.4"]) == 0
    printed = capsys.readouterr().out
    assert "video_to_text_median_rank_percentile" in printed
    assert "whether the model was trained on these videos is unknown: no training.json" in printed
    assert len(list(out.glob("*.json"))) == 3
    search = ["search", "the surgeon works on the liver", "--index", str(folder / "index"), *model, "--top", "2"]
    assert main([*search, "--level", "phase", "--output", str(folder / "found.png")]) == 0
    printed = capsys.readouterr().out
    assert [line[:2] for line in printed.splitlines() if "https://youtu.be/" in line] == ["1.", "2."]
    assert (folder / "found.png").stat().st_size > 1000
    assert main(search) == 0
    assert main([*search, "--level", "task"]) == 1
    assert "index has level phase, split train, not level task, split train" in capsys.readouterr().err


def test_figures_on_clips_that_were_trained_on_say_so(corpus, tmp_path, capsys):
    """Half of the videos are asked for as "validation", of which training held out some, none, or all."""
    table = load_dataset("surglavi", "phase", data_dir=str(corpus), split="validation", validation_fraction=0.5)
    asked = len(set(table["youtube_id"]))
    settings = {"level": "phase", "max_steps": 1, "per_device_train_batch_size": 4}
    for held_out in (0.0, 0.2, 0.5):
        folder = tmp_path / str(held_out)
        model = train(
            TrainingConfig(data_dir=str(corpus), output_dir=str(folder), validation_fraction=held_out, **settings)
        )
        table = load_dataset("surglavi", "phase", data_dir=str(corpus), validation_fraction=held_out)
        shared = asked - (len(set(table["validation"]["youtube_id"])) if held_out else 0)
        assert (0 < shared < asked) == (held_out == 0.2), "this is what the case is about"
        options = ["--model", str(model), "--data-dir", str(corpus), "--level", "phase"]
        options += ["--split", "validation", "--validation-fraction", "0.5"]
        assert main(["retrieval", *options, "--output", str(folder)]) == 0
        printed = capsys.readouterr().out
        report = EvalReport.from_json(folder / "corpus_phase_retrieval.json")
        assert report.protocol["trained_on_videos"] == shared
        assert main(["search", "the surgeon", *options, "--index", str(folder / "index")]) == 0
        for words in (printed, capsys.readouterr().out):
            assert (f"the model was trained on {shared} of these videos" in words) == bool(shared)
            assert ("give --split validation --validation-fraction 0.2, or less" in words) == (held_out == 0.2)
            assert ("it held out none" in words) == (not held_out)


@pytest.mark.parametrize(
    "command, message",
    [
        (["evaluate", "autolaparo", "--split", "tset"], "split='tset', expected one of"),
        (["evaluate", "autolaparo", "--videos", "99"], "video '99' is not in split 'test'"),
        (["evaluate", "cholec80_tools"], "expected phase_annotations/video01-phase.txt"),
        (["evaluate", "autolaparo", "--num-frames", "0"], "num_frames=0, expected"),
        (["probe", "autolaparo", "--percents", "0"], "percents=(0,), expected"),
    ],
)
def test_wrong_input_is_one_line(folder, capsys, command, message):
    assert main([*command, *arguments(folder)]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"surglavi {command[0]}: error: ") and message in error


def test_a_search_without_index(folder, capsys):
    command = ["search", "x", "--index", str(folder / "nothing"), "--model", str(folder / "model")]
    assert main(command) == 1 and "give --data-dir to build it" in capsys.readouterr().err


def test_a_split_that_was_not_asked_for(folder, corpus, capsys):
    command = ["retrieval", "--data-dir", str(corpus), "--model", str(folder / "model"), "--output", str(folder / "r")]
    assert main([*command, "--split", "test"]) == 1
    assert "--split test has no videos; give --test-fraction, such as 0.05" in capsys.readouterr().err


def test_a_model_that_is_not_there(folder, capsys):
    command = arguments(folder)
    command[command.index("--model") + 1] = "nowhere"
    assert main(["evaluate", "autolaparo", *command]) == 1
    assert "error: --model nowhere, expected a folder or Hub id" in capsys.readouterr().err


def test_clips_that_cannot_be_read(folder, corpus, tmp_path, capsys):
    copied = shutil.copytree(corpus, tmp_path / "corpus")
    rows = load_dataset("surglavi", "phase", data_dir=str(copied), split="test", test_fraction=0.4)
    name = rows[0]["video_name"]
    (copied / "videos" / name / f"{name}.mp4").write_bytes(b"broken")
    lost = len({row["start_time"] for row in rows if row["video_name"] == name})
    options = ["--data-dir", str(copied), "--model", str(folder / "model"), "--level", "phase", "--split", "test"]
    options += ["--test-fraction", "0.4"]
    retrieval = ["retrieval", *options, "--output", str(tmp_path / "out")]
    assert main([*retrieval, "--strict"]) == 1
    assert f"{name}.mp4" in capsys.readouterr().err and not list((tmp_path / "out").iterdir())
    assert main(retrieval) == 1
    captured = capsys.readouterr()
    path = tmp_path / "out" / "corpus_phase_retrieval.json"
    assert "text_to_video_R@1" in captured.out
    last = captured.err.strip().splitlines()[-1]
    assert last == f"surglavi retrieval: {lost} clips cannot be read and are left out; {path} lists them"
    report = EvalReport.from_json(path)
    assert len(report.unreadable) == report.protocol["num_unreadable_clips"] == lost
    assert str(tmp_path) not in path.read_text() + path.with_suffix(".md").read_text()
    search = ["search", "a text", *options, "--index", str(tmp_path / "index")]
    assert main([*search, "--strict"]) == 1 and not (tmp_path / "index").exists()
    capsys.readouterr()
    for status in (1, 0):  # built, then looked through
        assert main(search) == status
        captured = capsys.readouterr()
        assert captured.out.startswith("1. ")
        path = tmp_path / "index" / "index.json"
        last = captured.err.strip().splitlines()[-1]
        assert last == f"surglavi search: {lost} clips cannot be read and are left out; {path} lists them"


@pytest.mark.parametrize("command", ["evaluate", "probe", "retrieval", "search", "embed"])
def test_no_file_of_others_is_replaced(folder, corpus, tmp_path, capsys, command):
    """Which is said before anything is computed."""
    mine = {
        "evaluate": "autolaparo/report.md",
        "probe": "autolaparo-probe/linear_probe.png",
        "retrieval": "corpus_phase_retrieval.json",
        "search": "surglavi_beta.db",
        "embed": "surglavi_beta.db",
    }
    path = tmp_path / mine[command]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"SQLite format 3")
    output = str(path if command in ("search", "embed") else tmp_path)
    benchmark = ["autolaparo", "--root", str(folder / "autolaparo")]
    more = {"evaluate": benchmark, "probe": benchmark, "search": ["a text"]}
    data = ["--data-dir", str(corpus)] if command in ("retrieval", "search", "embed") else []
    data += ["--index", str(tmp_path / "index")] if command == "search" else []
    assert main([command, *more.get(command, []), *data, "--model", "nowhere", "--output", output]) == 1
    assert f"error: {path} is " in capsys.readouterr().err.strip().splitlines()[-1]
    assert path.read_bytes() == b"SQLite format 3"


@pytest.fixture
def half_a_model(folder, tmp_path):
    """A model that lacks a weight."""
    model = shutil.copytree(folder / "model", tmp_path / "model")
    state = load_file(model / "model.safetensors")
    del state["vision_proj.weight"]
    save_file(state, model / "model.safetensors", {"format": "pt"})
    return model


@pytest.mark.parametrize("command", ["evaluate", "probe", "retrieval", "search", "embed"])
def test_a_model_that_lacks_weights(folder, corpus, half_a_model, tmp_path, capsys, command):
    more = {
        "evaluate": ["autolaparo", "--root", folder / "autolaparo", "--output", tmp_path / "out"],
        "probe": ["autolaparo", "--root", folder / "autolaparo", "--output", tmp_path / "out"],
        "retrieval": ["--data-dir", corpus, "--output", tmp_path / "out"],
        "search": ["a text", "--data-dir", corpus, "--index", tmp_path / "out"],
        "embed": ["--data-dir", corpus, "--output", tmp_path / "out"],
    }
    assert main([command, "--model", str(half_a_model), *map(str, more[command])]) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith(f"surglavi {command}: error: the weights of {half_a_model} do not fit")
    assert "no vision_proj.weight; copy or download it again" in error and "LOAD REPORT" not in error
    assert not (tmp_path / "out").exists()


def test_cleaned_prompts(folder):
    more = ["--videos", "15", "--output", folder / "cleaned", "--clean-prompts"]
    assert main(["evaluate", "autolaparo", *arguments(folder, *more)]) == 0
    report = EvalReport.from_json(folder / "cleaned" / "autolaparo" / "report.json")
    assert report.protocol["prompt_cleaning"] == "as the model's captions"


def test_decoding_is_reported_apart(folder, tmp_path, capsys):
    plain = ["evaluate", "autolaparo", *arguments(folder)]
    assert main(plain) == 0
    before = EvalReport.from_json(folder / "out" / "autolaparo" / "report.json")
    assert (
        before.decoded == [] and "Decoded over time" not in (folder / "out" / "autolaparo" / "report.md").read_text()
    )
    capsys.readouterr()
    assert main([*plain, "--causal-smoothing", "4", "--centered-smoothing", "4", "--viterbi"]) == 0
    assert "decoded over time, apart from the frame-wise figures" in capsys.readouterr().out
    report = EvalReport.from_json(folder / "out" / "autolaparo" / "report.json")
    assert (report.metrics, report.intervals, report.predictions) == (
        before.metrics,
        before.intervals,
        before.predictions,
    )
    assert [way["name"] for way in report.decoded] == ["causal smoothing", "centered smoothing", "viterbi"]
    assert "10 training videos" in report.decoded[2]["how"]
    assert all(set(way["metrics"]) >= {"accuracy_video_mean", "macro_f1_all_frames"} for way in report.decoded)
    assert "Decoded over time" in (folder / "out" / "autolaparo" / "report.md").read_text()
    assert main([*plain, "--causal-smoothing", "-1"]) == 1 and "expected seconds >= 0" in capsys.readouterr().err
