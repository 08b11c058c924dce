# SPDX-License-Identifier: Apache-2.0
import psutil
import pytest
import torch

from surglavi_hf.training.launch import missing_processes


@pytest.fixture
def launched(monkeypatch):
    """As accelerate's launcher starts a process: its environment, and its command line as the parent's."""

    def launch(command: list[str], **environment: str) -> int:
        for name in ("ACCELERATE_USE_CPU", "MASTER_ADDR", "WORLD_SIZE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(psutil.Process, "cmdline", lambda self: command)
        return missing_processes()

    return launch


CPU = {"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1"}
SCRIPT = ["-m", "surglavi_hf.training", "--data_dir", "x", "--num_processes", "9"]


@pytest.mark.parametrize(
    "launcher",
    [
        ["python", "/bin/accelerate", "launch", "--cpu", "--num_processes", "3"],
        ["python", "/bin/accelerate", "launch", "--num_processes=3", "--cpu", "--mixed_precision", "no"],
        ["python", "/bin/accelerate-launch", "--cpu", "--num_processes", "3"],
        ["python", "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "3"],
        ["python", "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", "3"],
    ],
)
def test_the_number_is_on_the_launchers_command_line(launched, launcher):
    assert launched([*launcher, *SCRIPT], **CPU) == 3


def test_nothing_is_missing(launched):
    launcher = ["python", "/bin/accelerate", "launch", "--num_processes", "3"]
    assert launched([*launcher, *SCRIPT]) == 1, "started by hand"
    assert launched([*launcher, *SCRIPT], ACCELERATE_USE_CPU="True") == 1, "asked for one"
    assert launched([*launcher, *SCRIPT], MASTER_ADDR="127.0.0.1") == 1, "started by something else"
    assert launched([*launcher, *SCRIPT], **CPU, WORLD_SIZE="3") == 1, "torchrun has started them"


def test_without_the_cpu_flag(launched, monkeypatch):
    launcher = ["python", "/bin/accelerate", "launch", "--num_processes", "3", *SCRIPT]
    environment = {"ACCELERATE_USE_CPU": "False", "MASTER_ADDR": "127.0.0.1"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert launched(launcher, **environment) == 3
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValueError, match=r"started one, .* use --num_processes 1"):
        launched(launcher, **environment)


def test_several_machines_without_gpus(launched):
    launcher = ["python", "/bin/accelerate", "launch", "--cpu", "--num_machines", "2", "--num_processes", "4"]
    with pytest.raises(ValueError, match="torchrun --nnodes N"):
        launched([*launcher, *SCRIPT], **CPU)


def test_the_number_is_nowhere(launched):
    with pytest.raises(ValueError, match="torchrun --nproc_per_node"):
        launched(["python", "/bin/accelerate", "launch", "--cpu", "-m", "surglavi_hf.training"], **CPU)
