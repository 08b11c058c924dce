# SPDX-License-Identifier: Apache-2.0
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import load_dataset
from transformers import AutoModel, AutoProcessor

from surglavi_hf import TrainingConfig, train
from surglavi_hf.data import DATABASE_NAME
from surglavi_hf.data.trained_on import video_keys
from surglavi_hf.hub import BackgroundPush
from surglavi_hf.training.__main__ import main

from .conftest import FSDP, metrics_of

STEPS = 8


def flags(corpus: Path, output_dir: Path, batch_size: int = 8, *more: str) -> list[str]:
    command = ["--data_dir", str(corpus), "--output_dir", str(output_dir), "--level", "phase"]
    command += ["--per_device_train_batch_size", str(batch_size), "--max_steps", str(STEPS), "--learning_rate", "1e-3"]
    return [*command, *more]


def losses(output_dir: Path) -> list[float]:
    return [line["loss"] for line in metrics_of(output_dir)]


@pytest.fixture(scope="module")
def single(stored_corpus, tmp_path_factory) -> Path:
    """The README's command; 27 clips, three batches an epoch."""
    output_dir = tmp_path_factory.mktemp("single") / "run"
    launcher = Path(sys.executable).with_name("accelerate")
    command = [str(launcher), "launch", "--cpu", "-m", "surglavi_hf.training", *flags(stored_corpus, output_dir)]
    result = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return output_dir


def assert_as_single(output_dir: Path, single: Path, tolerance: float = 1e-5) -> None:
    """Losses to 1e-5. Weights drift as rounding errors do where AdamW divides by next to nothing."""
    assert losses(output_dir) == pytest.approx(losses(single), abs=tolerance)
    weights = [AutoModel.from_pretrained(folder / "model").state_dict() for folder in (single, output_dir)]
    assert all(torch.allclose(value, weights[1][name], atol=1e-3) for name, value in weights[0].items())


def test_the_launcher_starts_as_many_processes_as_it_is_told(stored_corpus, single, tmp_path):
    launcher = Path(sys.executable).with_name("accelerate")
    command = [str(launcher), "launch", "--cpu", "--num_processes", "2", "-m", "surglavi_hf.training"]
    result = subprocess.run(
        [*command, *flags(stored_corpus, tmp_path / "run", 4)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert_as_single(tmp_path / "run", single)


@pytest.mark.parametrize(
    "more, environment",
    [
        (["--mini_batch_size", "3"], {}),
        (["--gradient_checkpointing"], {}),
        ([], FSDP),
        (["--mini_batch_size", "2"], FSDP),
    ],
    ids=["cached", "checkpointing", "fsdp", "fsdp cached"],
)
def test_ways_to_the_same_losses(stored_corpus, single, tmp_path, run_processes, more, environment):
    ended = run_processes(flags(stored_corpus, tmp_path / "run", 4, *more), **environment)
    assert ended.statuses == [0, 0], ended.errors
    assert_as_single(tmp_path / "run", single)


def test_accumulated_batches_are_a_step(stored_corpus, tmp_path, run_processes):
    """Three batches of 8 an epoch: two make a step, the third is left to another epoch."""
    more = ("--gradient_accumulation_steps", "2", "--max_steps", "4")
    for processes in (1, 2):
        output_dir = tmp_path / str(processes)
        ended = run_processes(flags(stored_corpus, output_dir, 8 // processes, *more), processes)
        assert set(ended.statuses) == {0}, ended.errors
        assert [line["epoch"] for line in metrics_of(output_dir)] == [0, 1, 2, 3]
    one, two = (metrics_of(tmp_path / name) for name in "12")
    for name in ("loss", "grad_norm", "temperature"):
        assert [line[name] for line in one] == pytest.approx([line[name] for line in two], rel=1e-4)
    # The first step makes nothing of its gradient, whose losses are those of its two batches by themselves.
    assert main(flags(stored_corpus, tmp_path / "plain", 8, "--max_steps", "2", "--warmup_ratio", "1.0")) == 0
    first, second = metrics_of(tmp_path / "plain")
    assert one[0]["loss"] == pytest.approx((first["loss"] + second["loss"]) / 2, rel=1e-4)


def test_fsdp_is_resumed(stored_corpus, tmp_path, run_processes):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert run_processes(flags(stored_corpus, whole, 4), **FSDP).statuses == [0, 0]
    arguments = flags(stored_corpus, halves, 4, "--save_steps", "5")
    assert run_processes(arguments, **FSDP).statuses == [0, 0]
    shutil.rmtree(halves / "checkpoints" / "step-00000008")
    assert run_processes([*arguments, "--resume", "auto"], **FSDP).statuses == [0, 0]
    assert losses(halves) == losses(whole)
    one, other = (AutoModel.from_pretrained(folder / "model").state_dict() for folder in (whole, halves))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_what_is_written(stored_corpus, single):
    metrics = metrics_of(single)
    assert [line["step"] for line in metrics] == list(range(1, STEPS + 1))
    assert [line["epoch"] for line in metrics] == [0, 0, 0, 1, 1, 1, 2, 2]
    names = {"step", "epoch", "loss", "learning_rate", "temperature", "grad_norm"}
    assert set(metrics[0]) == names | {"clips_per_second", "data_wait", "memory_gb"}
    rates = [line["learning_rate"] for line in metrics]
    assert rates[0] == 0.0 and max(rates) == pytest.approx(1e-3) and rates[-1] < 1e-3
    settings = json.loads((single / "training.json").read_text())
    assert settings["max_steps"] == STEPS and len(settings["trained_on"]) == 9
    table = load_dataset("surglavi", "phase", data_dir=str(stored_corpus), split="train")
    assert set(settings["trained_on"]) == video_keys(zip(table["youtube_id"], table["video_name"], strict=True))
    published = json.loads((single / "model" / "training.json").read_text())
    assert published["trained_on"] == settings["trained_on"] == sorted(settings["trained_on"])
    assert "trained_on" not in (single / "model" / "README.md").read_text()
    assert list((single / "model").glob("modeling_*.py")), "the code comes with the weights"
    assert sorted(path.name for path in (single / "model").iterdir() if path.suffix != ".py") == [
        *("README.md", "config.json", "metrics.jsonl", "model.safetensors", "processor_config.json"),
        *("tokenizer.json", "tokenizer_config.json", "training.json"),
    ]
    AutoProcessor.from_pretrained(single / "model")
    assert [path.name for path in (single / "checkpoints").iterdir()] == [f"step-{STEPS:08d}"]


def test_training_learns_and_starts_from_a_folder(stored_corpus, single, tmp_path):
    assert sum(losses(single)[-3:]) < sum(losses(single)[:3])
    config = TrainingConfig(
        data_dir=str(stored_corpus),
        output_dir=str(tmp_path),
        model_name_or_path=str(single / "model"),
        level="phase",
        max_steps=1,
        per_device_train_batch_size=4,
        learning_rate=1e-9,
    )
    model = AutoModel.from_pretrained(train(config))
    before = AutoModel.from_pretrained(single / "model").state_dict()
    assert all(torch.allclose(value, before[name], atol=1e-6) for name, value in model.state_dict().items())


def test_a_run_is_not_overwritten(stored_corpus, single):
    config = TrainingConfig(data_dir=str(stored_corpus), output_dir=str(single))
    with pytest.raises(FileExistsError, match="already exists; go on with --resume auto"):
        train(config)


def test_a_finished_run_is_not_trained_again(single, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(single, copy)
    before = (copy / "metrics.jsonl").read_bytes(), (copy / "model" / "model.safetensors").read_bytes()
    assert main(["--output_dir", str(copy), "--resume", "auto"]) == 0
    assert ((copy / "metrics.jsonl").read_bytes(), (copy / "model" / "model.safetensors").read_bytes()) == before


def test_another_run_is_not_resumed(single, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(single, copy)
    assert main(["--output_dir", str(copy), "--resume", "auto", "--learning_rate", "5e-4", "--save_steps", "3"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: cannot resume as another run: learning_rate was 0.001, is 0.0005; give what it was")
    checkpoint = copy / "checkpoints" / f"step-{STEPS:08d}"
    optimizer = bytearray((checkpoint / "optimizer.bin").read_bytes())
    optimizer[len(optimizer) // 2] ^= 1
    (checkpoint / "optimizer.bin").write_bytes(optimizer)
    for resume in ("auto", str(checkpoint)):
        assert main(["--output_dir", str(copy), "--resume", resume]) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert f"{checkpoint.name} is damaged: optimizer.bin is not what was written" in line
    assert main(["--output_dir", str(copy), "--resume", str(copy / "checkpoints" / "step-00000099")]) == 1
    assert "no checkpoint at" in capsys.readouterr().err


def test_the_commit_of_the_starting_weights_is_recorded_and_taken_again(
    stored_corpus, dropout_model, tmp_path, hub_server, capsys
):
    """The branch moves on while a run is stopped."""
    files = {path.name: path.read_bytes() for path in dropout_model.iterdir()}
    repository = hub_server.add("me/start", files)
    first = repository.commits[-1]["id"]
    arguments = flags(stored_corpus, tmp_path / "run", 8, "--model_name_or_path", "me/start", "--max_steps", "1")
    assert main(arguments) == 0
    assert f"{tmp_path / 'run' / 'model'}: the trained model; next: surglavi evaluate" in capsys.readouterr().out
    for folder in (tmp_path / "run", tmp_path / "run" / "model"):
        assert json.loads((folder / "training.json").read_text())["model_revision"] == first
    assert f"| model_revision | {first} |" in (tmp_path / "run" / "model" / "README.md").read_text()
    repository.commit("Other weights", {"model.safetensors": b"broken"})
    assert main(["--output_dir", str(tmp_path / "run"), "--resume", "auto"]) == 0
    again = ["--output_dir", str(tmp_path / "run"), "--resume", "auto", "--model_revision", "main"]
    repository.commit("As before", files)
    assert main(again) == 1
    last = repository.commits[-1]["id"]
    assert f"as another run: model_revision was {first}, is {last}; give what it was" in capsys.readouterr().err
    assert (
        main([*flags(stored_corpus, tmp_path / "b", 8, "--model_name_or_path", str(dropout_model)), *again[-2:]]) == 1
    )
    assert "is a folder, which has none; leave it out" in capsys.readouterr().err


@pytest.fixture
def partial(corpus, tmp_path) -> Path:
    """The corpus's database with only two of its videos."""
    folder = tmp_path / "partial"
    folder.mkdir()
    shutil.copy(corpus / DATABASE_NAME, folder)
    for name in ("procedure-001", "procedure-002"):
        shutil.copytree(corpus / "videos" / name, folder / "videos" / name)
    return folder


def test_missing_videos_are_left_out_and_counted(partial, tmp_path, caplog):
    train(TrainingConfig(str(partial), str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=54))
    assert "189 of 243 clips left out: 7 videos are not on disk" in caplog.text


@pytest.mark.parametrize(
    "more, message",
    [
        (["--data_dir", "nowhere"], "no database at"),
        (["--level", "fase"], "invalid choice: 'fase'"),
        (["--learning_rate", "-1"], "learning_rate=-1.0, expected"),
        (["--per_device_train_batch_size", "55"], "54 clips of 2 videos to train on, fewer than one batch of 55"),
        (["--max_clips_per_video", "1"], "fewer than one batch of 64 of at most 1 a video"),
        (["--gradient_accumulation_steps", "2", "--per_device_train_batch_size", "54"], "more than the 1 batches"),
        (["--model_name_or_path", "./nothing-here"], "nothing-here"),
        (["--vision_encoder", "./nothing-here", "--text_encoder", "x"], "nothing-here"),
        (["--test_fraction", "1.5"], "test_fraction=1.5"),
        (["--config", "nothing.yaml"], "no settings at nothing.yaml"),
        (["--freeze_text_layers", "9"], "freeze_text_layers=9, expected at most the 2 layers"),
        (["--report_to", "wandb"], "report_to=wandb: no tracker of that name is installed"),
        (["--resume", "elsewhere"], "no checkpoint at elsewhere"),
        (["--mixed_precision", "fp16"], "fp16"),
    ],
)
def test_wrong_input_is_one_line_and_no_files(partial, tmp_path, capsys, more, message):
    output_dir = tmp_path / "out"
    try:
        status = main(["--data_dir", str(partial), "--output_dir", str(output_dir), "--max_steps", "1", *more])
    except SystemExit as stopped:  # argparse
        status = stopped.code
    assert status in (1, 2)
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1 and message in lines[0]
    assert not output_dir.exists()


def test_dry_run_says_what_it_takes_and_writes_nothing(partial, tmp_path, capsys):
    arguments = ["--data_dir", str(partial), "--output_dir", str(tmp_path / "out"), "--dry_run"]
    assert main([*arguments, "--per_device_train_batch_size", "10", "--freeze_text_layers", "1"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(lines) == ["parameters", "clips", "steps", "hours", "memory", "disk"]
    assert "54, 10 a batch" in lines["clips"] and " 50, " in lines["steps"]
    numbers = [int(word.replace(",", "")) for word in lines["parameters"].split() if word[0].isdigit()]
    assert 0 < numbers[1] < numbers[0]
    assert not (tmp_path / "out").exists()


def test_evaluation_pushing_and_trackers_leave_the_losses_as_they_are(
    stored_corpus, dropout_model, tmp_path, hub_server, caplog
):
    """Validation figures go to metrics.jsonl and the card, checkpoints to the Hub, the last one tagged."""
    found = []
    for name, more in {
        "plain": {},
        "full": {"eval_steps": 2, "save_steps": 2, "push_to_hub": True, "hub_model_id": "me/x"},
    }.items():
        output_dir = tmp_path / name
        config = TrainingConfig(
            *(str(stored_corpus), str(output_dir)),
            model_name_or_path=str(dropout_model),
            validation_fraction=0.3,
            max_steps=4,
            per_device_train_batch_size=8,
            **more,
        )
        train(config)
        found.append(losses(output_dir))
    assert found[0] == found[1]
    figures = [name for name in metrics_of(tmp_path / "full")[1] if name.startswith("validation/")]
    assert {"validation/task_accuracy", "validation/phase_chance", "validation/text_to_video_R@1"} <= set(figures)
    assert not [name for name in metrics_of(tmp_path / "full")[0] if name.startswith("validation/")]
    repository = hub_server.repositories["me/x"]
    files = repository["commits"][-1]["files"]
    assert repository["tags"] == {"step-4": len(repository["commits"])}
    assert files["model.safetensors"] == (tmp_path / "full" / "model" / "model.safetensors").read_bytes()
    assert b"Validation while training, step 4" in files["README.md"] and b"text_to_video_R@1" in files["README.md"]
    for path in (tmp_path, dropout_model.parent, stored_corpus):
        assert str(path).encode() not in b"".join(files.values()), "a path of this machine was pushed"


def test_a_hub_that_is_down_does_not_stop_training(stored_corpus, tmp_path, hub_server, monkeypatch, capsys):
    hub_server.close()
    monkeypatch.setattr(BackgroundPush.__init__, "__defaults__", (0.001,))
    monkeypatch.setattr("surglavi_hf.hub.failures.FIRST_PAUSE", 0.001)
    more = ("--max_steps", "2", "--save_steps", "1", "--push_to_hub", "--hub_model_id", "me/x")
    assert main(flags(stored_corpus, tmp_path / "run", 8, *more)) == 1, "whoever waits for the model has to know"
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file() and len(losses(tmp_path / "run")) == 2
    remedy = f"surglavi push-model {tmp_path / 'run' / 'model'} --repo-id me/x --tag step-2"
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line.endswith(f"is not on the Hub; finish with: {remedy}")


def test_a_last_state_that_could_not_be_copied_for_the_push_is_said(
    stored_corpus, tmp_path, hub_server, monkeypatch, capsys
):
    """An earlier one is on the Hub by then, and would pass for it."""
    snapshot, numbers = BackgroundPush._snapshot, itertools.count(1)

    def fail(self):
        if next(numbers) == 2:
            raise OSError("the disk is full")
        return snapshot(self)

    monkeypatch.setattr(BackgroundPush, "_snapshot", fail)
    more = ("--max_steps", "2", "--save_steps", "1", "--push_to_hub", "--hub_model_id", "me/last-state")
    assert main(flags(stored_corpus, tmp_path / "run", 8, *more)) == 1
    assert "is not on the Hub; finish with: " in capsys.readouterr().err


def test_a_tracker_that_is_down_does_not_stop_training(stored_corpus, tmp_path, caplog):
    """A file lies where the tracker wants its folder."""
    pytest.importorskip("tensorboard")
    output_dir = tmp_path / "run"
    output_dir.mkdir()
    (output_dir / "trackers").write_text("")
    train(
        TrainingConfig(
            *(str(stored_corpus), str(output_dir)),
            **{"max_steps": 2, "per_device_train_batch_size": 8, "report_to": ["tensorboard"]},
        )
    )
    assert len(losses(output_dir)) == 2 and "trackers cannot be started and are left out" in caplog.text


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_broken_video_is_one_line_and_status_1(partial, tmp_path, capsys, workers):
    broken = partial / "videos" / "procedure-001" / "procedure-001.mp4"
    broken.write_bytes(b"\0" * 300)
    arguments = ["--data_dir", str(partial), "--output_dir", str(tmp_path / "out"), "--max_steps", "1"]
    arguments += ["--per_device_train_batch_size", "54", "--dataloader_num_workers", workers]
    assert main([*arguments, "--no_replace_unreadable"]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and errors[0].startswith(f"error: video {broken} cannot be opened")
    assert not (tmp_path / "out" / "model").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_clips_do_not_end_a_run(partial, tmp_path, caplog, workers):
    """They are replaced, and named in the metrics and at the end."""
    broken = partial / "videos" / "procedure-001" / "procedure-001.mp4"
    broken.write_bytes(b"\0" * 300)
    output_dir = tmp_path / "out"
    train(
        TrainingConfig(
            *(str(partial), str(output_dir)),
            max_steps=2,
            per_device_train_batch_size=54,
            dataloader_num_workers=workers,
        )
    )
    table = load_dataset("surglavi", data_dir=str(partial), split="train")
    ids = {
        row["caption_id"] for row in table.select_columns(["caption_id", "video_name"]) if "001" in row["video_name"]
    }
    for line in metrics_of(output_dir):
        assert set(line["replaced"]) == ids
    assert f"{2 * len(ids)} clips could not be read and were replaced, of {len(ids)} captions" in caplog.text


def test_no_video_on_disk(corpus, tmp_path):
    shutil.copy(corpus / DATABASE_NAME, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none of the 9 videos of .* is on disk, for example .*\.mp4"):
        train(TrainingConfig(str(tmp_path), str(tmp_path / "out"), max_steps=1))
