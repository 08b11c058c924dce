# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in one process, and how all of them end."""

import shutil
from pathlib import Path

import pytest
from datasets import load_dataset

from .conftest import FSDP, metrics_of

STEPS = 6


def flags(data_dir: Path, output_dir: Path, *more: str) -> list[str]:
    arguments = ["--data_dir", str(data_dir), "--output_dir", str(output_dir), "--level", "phase"]
    return [*arguments, "--per_device_train_batch_size", "4", "--max_steps", str(STEPS), "--save_steps", "2", *more]


def checkpoints(output_dir: Path) -> list[str]:
    return sorted(path.name for path in (output_dir / "checkpoints").iterdir())


@pytest.fixture
def broken_corpus(stored_corpus, tmp_path) -> tuple[Path, set[int]]:
    """The corpus with one frame store broken, and the captions that lie in it."""
    folder = tmp_path / "corpus"
    shutil.copytree(stored_corpus, folder)
    table = load_dataset("surglavi", "phase", data_dir=str(folder), split="train")
    name = table[0]["video_name"]
    (folder / "frames" / f"{name}.arrow").write_bytes(b"\0" * 100)
    (folder / "videos" / name / f"{name}.mp4").write_bytes(b"\0" * 100)
    return folder, {row["caption_id"] for row in table.remove_columns("clip") if row["video_name"] == name}


def test_an_unreadable_clip_is_replaced_and_named_by_any_process(broken_corpus, tmp_path, run_processes):
    folder, captions = broken_corpus
    ended = run_processes(flags(folder, tmp_path / "run"))
    assert ended.statuses == [0, 0], ended.errors
    replaced = [number for line in metrics_of(tmp_path / "run") for number in line.get("replaced", [])]
    assert replaced and set(replaced) <= captions
    assert f"{len(replaced)} clips could not be read and were replaced" in ended.errors[0]


def test_a_batch_of_unreadable_clips_ends_all_processes(stored_corpus, tmp_path, run_processes):
    """Not one can be read: not those that would replace them either."""
    folder = tmp_path / "corpus"
    shutil.copytree(stored_corpus, folder)
    for path in (*folder.rglob("*.arrow"), *folder.rglob("*.mp4")):
        path.write_bytes(b"\0" * 100)
    ended = run_processes(flags(folder, tmp_path / "run"))
    assert ended.statuses == [1, 1]
    assert "error: " in ended.errors[0] and "cannot be" in ended.errors[0].splitlines()[-1]
    assert not (tmp_path / "run" / "model").exists()


def test_a_process_that_cannot_read_ends_all_with_a_checkpoint(broken_corpus, tmp_path, run_processes):
    folder, _ = broken_corpus
    ended = run_processes(flags(folder, tmp_path / "run", "--no_replace_unreadable", "--save_steps", "0"))
    assert ended.statuses == [1, 1]
    steps = len(metrics_of(tmp_path / "run"))
    assert checkpoints(tmp_path / "run") == ([f"step-{steps:08d}"] if steps else [])
    assert any("cannot go on: " in said and "procedure-" in said for said in ended.errors), "the file is named"


def test_an_unreadable_validation_clip_is_left_out_and_counted(broken_corpus, tmp_path, run_processes):
    folder, _ = broken_corpus
    more = ("--eval_steps", "3", "--validation_fraction", "0.4")
    for environment in ({}, FSDP):
        for name in ("videos", "frames"):  # of the validation split, too
            for path in sorted((folder / name).rglob("*.*"))[:4]:
                path.write_bytes(b"\0" * 100)
        ended = run_processes(flags(folder, tmp_path / f"run {len(environment)}", *more), **environment)
        assert ended.statuses == [0, 0], ended.errors
        line = metrics_of(tmp_path / f"run {len(environment)}")[2]
        assert line["validation/unreadable"] > 0 and 0 <= line["validation/text_to_video_R@1"] <= 1


def test_different_settings_are_refused_by_all(stored_corpus, tmp_path, run_processes):
    ended = run_processes(flags(stored_corpus, tmp_path / "run"), fault="other_settings")
    assert ended.statuses == [1, 1] and "processes were given different settings" in ended.errors[0]


def test_a_loss_that_is_no_number_skips_the_step_everywhere(stored_corpus, tmp_path, run_processes):
    ended = run_processes(flags(stored_corpus, tmp_path / "run"), fault="nan_loss")
    assert ended.statuses == [0, 0], ended.errors
    lines = metrics_of(tmp_path / "run")
    skipped = [line for line in lines if "skipped" in line]
    assert [line["step"] for line in skipped] == [3] and skipped[0]["skipped"] == "the loss is not finite"
    table = load_dataset("surglavi", "phase", data_dir=str(stored_corpus), split="train")
    ids = skipped[0]["skipped_captions"]
    assert len(set(ids)) == 8 and set(ids) <= set(table["caption_id"])
    assert all(line["loss"] == line["loss"] for line in lines[3:]), "the weights were spoilt"


def test_a_run_that_cannot_go_on_ends(stored_corpus, tmp_path, run_processes):
    ended = run_processes(flags(stored_corpus, tmp_path / "run", "--max_steps", "40"), fault="nan_always")
    assert ended.statuses == [1, 1]
    assert "25 steps in a row were skipped (the loss is not finite); lower learning_rate" in ended.errors[0]
    assert len(metrics_of(tmp_path / "run")) == 24


@pytest.mark.parametrize("environment", [{}, FSDP], ids=["ddp", "fsdp"])
def test_a_full_disk_leaves_the_checkpoint_before_and_the_run_goes_on(
    stored_corpus, tmp_path, run_processes, environment
):
    ended = run_processes(flags(stored_corpus, tmp_path / "run"), fault="full_disk", **environment)
    assert ended.statuses == [1, 1], "the trained model could not be written"
    assert len(metrics_of(tmp_path / "run")) == STEPS, "training ended early"
    assert len(checkpoints(tmp_path / "run")) == 1
    assert "could not be written (" in ended.errors[0] and "the one before it stays" in ended.errors[0]
    ended = run_processes(flags(stored_corpus, tmp_path / "run", "--resume", "auto"), **environment)
    assert ended.statuses == [0, 0], "there is room again"
    assert checkpoints(tmp_path / "run")[-1] == f"step-{STEPS:08d}"


def test_a_killed_worker_ends_all_processes_with_a_checkpoint(stored_corpus, tmp_path, run_processes):
    arguments = flags(stored_corpus, tmp_path / "run", "--save_steps", "0", "--max_steps", "40")
    ended = run_processes(
        [*arguments, "--dataloader_num_workers", "1", "--num_train_epochs", "20"], fault="killed_worker"
    )
    assert ended.statuses == [1, 1], ended.errors
    assert "another process could not read its batch" in ended.errors[0], ended.errors
    assert "process 1 cannot go on: " in ended.errors[1] and "DataLoader worker" in ended.errors[1], ended.errors
    steps = len(metrics_of(tmp_path / "run"))
    assert 2 <= steps < 40 and checkpoints(tmp_path / "run") == [f"step-{steps:08d}"]
