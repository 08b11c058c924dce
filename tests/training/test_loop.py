# SPDX-License-Identifier: Apache-2.0
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
from surglavi_hf.training.__main__ import main

STEPS = 12


def losses(output_dir: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (output_dir / "metrics.jsonl").read_text().splitlines()]


def launch(corpus: Path, output_dir: Path, processes: int, *flags: str) -> None:
    """Runs the README's command; the global batch is 8 clips, whatever the number of processes."""
    launcher = Path(sys.executable).with_name("accelerate")
    command = [str(launcher), "launch", "--cpu", "--num_processes", str(processes), "-m", "surglavi_hf.training"]
    command += ["--data_dir", str(corpus), "--output_dir", str(output_dir)]
    command += ["--per_device_train_batch_size", str(8 // processes), "--max_steps", str(STEPS)]
    result = subprocess.run(
        [*command, "--learning_rate", "1e-3", *flags],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.fixture(scope="module")
def single(corpus, tmp_path_factory) -> Path:
    output_dir = tmp_path_factory.mktemp("single")
    launch(corpus, output_dir, 1, "--level", "phase")  # 27 clips, three batches an epoch
    return output_dir


def test_two_processes_give_the_losses_of_one(corpus, single, tmp_path):
    launch(corpus, tmp_path, 2, "--level", "phase")
    one, two = losses(single), losses(tmp_path)
    assert len(one) == len(two) == STEPS
    assert one == pytest.approx(two, abs=1e-4)
    weights = [AutoModel.from_pretrained(folder / "model").state_dict() for folder in (single, tmp_path)]
    assert all(torch.allclose(value, weights[1][name], atol=1e-3) for name, value in weights[0].items())


def test_workers_do_not_change_the_losses(corpus, single, tmp_path):
    launch(corpus, tmp_path, 1, "--level", "phase", "--dataloader_num_workers", "2")
    assert losses(tmp_path) == pytest.approx(losses(single), abs=1e-6)


def test_what_is_written(corpus, single):
    metrics = [json.loads(line) for line in (single / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == list(range(1, STEPS + 1))
    assert [line["epoch"] for line in metrics] == [epoch for epoch in range(4) for _ in range(3)]
    assert set(metrics[0]) == {"step", "epoch", "loss", "learning_rate", "temperature", "clips_per_second"}
    rates = [line["learning_rate"] for line in metrics]
    assert rates[0] == 0.0 and max(rates) == pytest.approx(1e-3) and rates[-1] < 1e-4
    assert json.loads((single / "training.json").read_text())["max_steps"] == STEPS
    assert list((single / "model").glob("modeling_*.py")), "the code comes with the weights"
    assert sorted(path.name for path in (single / "model").iterdir() if path.suffix != ".py") == [
        "config.json",
        "model.safetensors",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    AutoProcessor.from_pretrained(single / "model")


def test_training_learns_and_starts_from_a_folder(corpus, single, tmp_path):
    assert sum(losses(single)[-3:]) < sum(losses(single)[:3])
    config = TrainingConfig(
        data_dir=str(corpus),
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


def test_a_trained_model_is_not_overwritten(corpus, single):
    config = TrainingConfig(data_dir=str(corpus), output_dir=str(single))
    with pytest.raises(FileExistsError, match="already exists"):
        train(config)


@pytest.fixture
def partial(corpus, tmp_path) -> Path:
    """The corpus's database with only two of its videos."""
    shutil.copy(corpus / DATABASE_NAME, tmp_path)
    for name in ("procedure-001", "procedure-002"):
        shutil.copytree(corpus / "videos" / name, tmp_path / "videos" / name)
    return tmp_path


def test_missing_videos_are_left_out_and_counted(partial, tmp_path, caplog):
    train(TrainingConfig(str(partial), str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=54))
    assert "189 of 243 clips left out: 7 videos are not on disk" in caplog.text


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--data_dir", "nowhere"], "no database at"),
        (["--level", "fase"], "'fase' not found"),
        (["--learning_rate", "-1"], "learning_rate=-1.0, expected"),
        (["--per_device_train_batch_size", "55"], "54 clips to train on, fewer than one batch of 55"),
        (["--model_name_or_path", "./nothing-here"], "nothing-here"),
        (["--test_fraction", "1.5"], "test_fraction=1.5"),
    ],
)
def test_wrong_input_is_one_line_and_status_1(partial, tmp_path, capsys, flags, message):
    output_dir = tmp_path / "out"
    arguments = ["--data_dir", str(partial), "--output_dir", str(output_dir), "--max_steps", "1", *flags]
    assert main(arguments) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not output_dir.exists()


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


@pytest.mark.parametrize("workers", [0, 2])
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
    for line in (output_dir / "metrics.jsonl").read_text().splitlines():
        assert set(json.loads(line)["replaced"]) == ids
    assert f"{2 * len(ids)} clips could not be read and were replaced, of {len(ids)} captions" in caplog.text


def test_no_video_on_disk(corpus, tmp_path):
    shutil.copy(corpus / DATABASE_NAME, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none of the 9 videos of .* is on disk, for example .*\.mp4"):
        train(TrainingConfig(str(tmp_path), str(tmp_path / "out"), max_steps=1))
