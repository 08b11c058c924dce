# SPDX-License-Identifier: Apache-2.0
import json

import pytest
import yaml

from surglavi_hf import TrainingConfig
from surglavi_hf.training.settings import PRESETS, parse_settings, read_settings

PLACES = ["--data_dir", "in", "--output_dir", "out"]


def parse(*arguments: str) -> TrainingConfig:
    return parse_settings(arguments, "what it does", "program")


def test_flags():
    assert parse(*PLACES) == TrainingConfig("in", "out")
    config = parse(*PLACES, "--negatives", "overlap", "--level_weights", "1", "2", "0.5", "--report-to", "wandb")
    assert config == TrainingConfig(
        "in", "out", negatives="overlap", level_weights=[1.0, 2.0, 0.5], report_to=["wandb"]
    )


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_file_gives_what_flags_leave_open(tmp_path, suffix):
    values = {
        **{"data_dir": "in", "output_dir": "there", "learning_rate": 1e-5, "level_weights": [1, 2, 3]},
        **{"mixed_precision": "bf16", "gradient_checkpointing": True, "mini_batch_size": 4, "num_frames": None},
    }
    path = tmp_path / f"run.{suffix}"
    path.write_text(json.dumps(values) if suffix == "json" else yaml.safe_dump(values))
    expected = {**values, "output_dir": "out", "learning_rate": 3e-4, "level_weights": [1.0, 2.0, 3.0]}
    assert parse("--config", str(path), "--output_dir", "out", "--learning_rate", "3e-4") == TrainingConfig(**expected)


def test_numbers_as_yaml_reads_them(tmp_path):
    path = tmp_path / "run.yaml"
    # In YAML 1.1 text, a number, false, and text where a list is wanted.
    path.write_text("learning_rate: 1e-4\nmax_steps: 1_000\nmixed_precision: no\nreport_to: wandb\n")
    config = parse(*PLACES, "--config", str(path))
    assert config.report_to == ["wandb"]
    assert (config.learning_rate, config.max_steps, config.mixed_precision) == (1e-4, 1000, "no")


@pytest.mark.parametrize(
    "text, message",
    [
        ("lerning_rate: 1", "unknown setting 'lerning_rate'; is it learning_rate?"),
        ("xyz: 1", "unknown setting 'xyz'$"),
        ("1: 2", "unknown setting 1$"),
        ("learning_rate: [1]", r"learning_rate=\[1\], expected a number"),
        ("learning_rate: fast", "learning_rate='fast', expected a number"),
        ("learning_rate: true", "learning_rate=True, expected a number"),
        ("seed: 1.5", "seed=1.5, expected a whole number"),
        ("seed:", "seed=None, expected a whole number"),
        ("level: fase", "level='fase', expected one of all, task, step, phase"),
        ("level_weights: 3", "level_weights=3, expected a list, each a number"),
        ("output_dir:", "output_dir=None, expected text"),
        ("level_weights: [1, x, 2]", r"level_weights=\[1, 'x', 2\], expected a list, each a number"),
        ("gradient_checkpointing: perhaps", "gradient_checkpointing='perhaps', expected true or false"),
        ("learning_rate: -1", "learning_rate=-1.0, expected a positive number"),
        ("- learning_rate", "holds no settings"),
        ("a: [", "cannot be read \\(while"),
        ("[" * 5000, "run.yaml cannot be read \\(maximum recursion"),
        ("!!python/object/apply:os.system ['true']", "cannot be read \\(could not"),
        ("seed: 1\nlearning_rate: 1.0e-4\nseed: 2", "'seed' is there twice"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    places = PLACES[:2] if "output_dir" in text else PLACES
    with pytest.raises(ValueError, match=message):
        parse(*places, "--config", str(path))


def test_no_such_file_or_preset():
    for name in ("nothing.yaml", "surgclop", "../surgclip"):
        with pytest.raises(FileNotFoundError, match="expected a YAML or JSON file or a preset: surgclip"):
            parse(*PLACES, "--config", name)


@pytest.mark.parametrize("preset", [path.stem for path in PRESETS.glob("*.yaml")])
def test_presets(preset):
    values = read_settings(preset)
    config = parse(*PLACES, "--config", preset, "--mixed_precision", "bf16")
    assert config == TrainingConfig("in", "out", **{**values, "mixed_precision": "bf16"})
    assert "UNKNOWN" in (PRESETS / f"{preset}.yaml").read_text()


def test_a_resumed_run_keeps_its_settings(tmp_path):
    saved = {"data_dir": "in", "output_dir": "moved", "learning_rate": 1e-5, "negatives": "overlap", "resume": None}
    (tmp_path / "training.json").write_text(json.dumps(saved))
    config = parse("--output_dir", str(tmp_path), "--resume", "auto", "--save_steps", "7")
    assert config == TrainingConfig(
        "in", str(tmp_path), learning_rate=1e-5, negatives="overlap", resume="auto", save_steps=7
    )
    assert parse("--output_dir", str(tmp_path), "--data_dir", "x") == TrainingConfig("x", str(tmp_path)), "not resumed"


@pytest.mark.parametrize(
    "words, value",
    [
        (["--replace_unreadable", "False"], False),  # as scripts of transformers have it
        (["--no-replace-unreadable"], False),
        (["--replace-unreadable", "true"], True),
        ([], True),
    ],
)
def test_switches(words, value):
    config = parse(*PLACES, *words, "--torch-compile")
    assert config.replace_unreadable is value and config.torch_compile


def test_every_option_of_the_builder_is_a_flag():
    words = ["--no_filter_pairs", "--no-enhanced-captions", "--max_duration", "60", "--video-dir", "there"]
    expected = {"filter_pairs": False, "enhanced_captions": False, "max_duration": 60.0, "video_dir": "there"}
    config = parse(*PLACES, *words)
    assert config == TrainingConfig("in", "out", **expected) and config.chosen() == expected


def test_unknown_flags_and_help(capsys):
    with pytest.raises(ValueError, match="unknown flag --lerning-rate; is it learning_rate"):
        parse(*PLACES, "--lerning-rate", "1")
    with pytest.raises(SystemExit):
        parse("--help")
    assert "--negatives" in capsys.readouterr().out
