# SPDX-License-Identifier: Apache-2.0
import os
import random
import resource
import signal
import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from surglavi_hf.training.checkpoint import DIGESTS_NAME, STATE_NAME, Checkpoints, read_state

from .conftest import metrics_of, train_here

STEPS = 24
# Each takes about half a second.
KILLS = int(os.environ.get("SURGLAVI_TEST_KILLS", "30"))


def settings(data_dir: Path, output_dir: Path, model: Path, **changed) -> dict:
    return {
        **{"data_dir": str(data_dir), "output_dir": str(output_dir), "model_name_or_path": str(model)},
        **{"level": "phase", "max_steps": STEPS, "per_device_train_batch_size": 4, "learning_rate": 1e-3},
        **{"save_steps": 2, "horizontal_flip": 0.5, **changed},
    }


def results(output_dir: Path) -> tuple[list, dict]:
    """What must be the same whether or not a run was interrupted."""
    names = ("step", "epoch", "loss", "grad_norm", "learning_rate", "temperature")
    return [[line[name] for name in names] for line in metrics_of(output_dir)], load_file(
        output_dir / "model" / "model.safetensors"
    )


def assert_same(output_dir: Path, uninterrupted: Path) -> None:
    lines, weights = results(output_dir)
    expected_lines, expected_weights = results(uninterrupted)
    assert lines == expected_lines and len(lines) == STEPS
    assert set(weights) == set(expected_weights)
    assert all(weights[name].equal(value) for name, value in expected_weights.items())


@pytest.fixture(scope="module")
def uninterrupted(stored_corpus, dropout_model, tmp_path_factory, forkserver) -> Path:
    output_dir = tmp_path_factory.mktemp("uninterrupted")
    process = forkserver.Process(target=train_here, args=(settings(stored_corpus, output_dir, dropout_model),))
    process.start()
    process.join()
    assert process.exitcode == 0
    return output_dir


def interrupt(process, output_dir: Path, at_step: int, number: int, delay: float, group: bool = False) -> int:
    """Sends a signal once a step is made, and some time later; returns the exit status."""
    while process.is_alive() and len(metrics_of(output_dir)) < at_step:
        time.sleep(0.005)
    time.sleep(delay)
    if process.is_alive():
        os.killpg(process.pid, number) if group else os.kill(process.pid, number)
    process.join()
    return process.exitcode


def test_killed_anywhere_and_resumed_the_weights_are_the_same(
    stored_corpus, dropout_model, uninterrupted, start_run, tmp_path
):
    """Mid-epoch, while saving, before the first checkpoint; by SIGKILL or SIGTERM."""
    chance = random.Random(0)
    options = settings(stored_corpus, tmp_path, dropout_model, resume="auto")
    kills = 0
    while kills < KILLS:
        done = len(metrics_of(tmp_path))
        number = chance.choice([signal.SIGKILL, signal.SIGTERM])
        at_step = min(done + chance.randint(0, 3), STEPS)
        status = interrupt(start_run(**options), tmp_path, at_step, number, chance.uniform(0, 0.2))
        assert status in (0, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM)
        kills += status != 0
        if status == 0:
            assert_same(tmp_path, uninterrupted)
            for path in sorted(tmp_path.rglob("*"), reverse=True):  # once more from the start
                path.unlink() if path.is_file() else path.rmdir()
    last = start_run(**options)
    last.join()
    assert last.exitcode == 0
    assert_same(tmp_path, uninterrupted)
    left = {path.name for path in tmp_path.iterdir()} | {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert not [name for name in left if name.startswith(".")], "something half written is left"


def test_mid_epoch_with_workers(stored_corpus, dropout_model, uninterrupted, start_run, tmp_path):
    """
    Workers read ahead of the steps; what they read ahead is read again. They get the signal, too, as clusters and
    torchrun send it.
    """
    options = settings(stored_corpus, tmp_path, dropout_model, resume="auto", max_steps=STEPS, save_steps=0)
    options |= {"dataloader_num_workers": 1}
    assert interrupt(start_run(**options), tmp_path, 7, signal.SIGTERM, 0.0, group=True) == 128 + signal.SIGTERM
    state = read_state(next((tmp_path / "checkpoints").iterdir()))
    assert state["position"]["batch"] == state["step"] % 6 != 0, "this is mid-epoch"
    last = start_run(**{**options, "dataloader_num_workers": 0})
    last.join()
    assert last.exitcode == 0
    assert_same(tmp_path, uninterrupted)


class Disk:
    """A limit on the size of files stands in for a full disk: writing fails with OSError, and as libraries put it."""

    def __init__(self, largest: int):
        self.largest = largest

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.largest, self.before[1]))

    def __exit__(self, *exception):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.fixture
def small(tmp_path):
    """Checkpoints of a small model with its optimizer, after a step."""
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(300, 300)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    model(torch.ones(1, 300)).sum().backward()
    optimizer.step()
    yield Checkpoints(tmp_path / "checkpoints", accelerator, total_limit=2), model
    accelerator.free_memory()


def test_the_newest_are_kept(small):
    checkpoints, _ = small
    assert checkpoints.newest() is None
    for step in (9, 10, 100):
        assert checkpoints.save(step, {"run": {}, "position": {}})
    assert [path.name for path in checkpoints.all()] == ["step-00000010", "step-00000100"]
    assert checkpoints.newest().name == "step-00000100" and read_state(checkpoints.newest())["step"] == 100


def test_a_full_disk_leaves_the_checkpoint_before(small, caplog):
    checkpoints, model = small
    assert checkpoints.save(1, {"run": {}, "position": {}})
    before = {path: path.read_bytes() for path in checkpoints.all()[0].iterdir()}
    for largest in (100_000, 500_000, 10):  # in the weights, in the optimizer's state, at once
        with Disk(largest):
            assert not checkpoints.save(2, {"run": {}, "position": {}})
        assert "checkpoint step-00000002 could not be written (" in caplog.text
        assert "the one before it stays" in caplog.text
        assert [path.name for path in checkpoints.folder.iterdir()] == ["step-00000001"], "leftovers"
    assert {path: path.read_bytes() for path in checkpoints.all()[0].iterdir()} == before
    with torch.no_grad():
        value = model.weight.clone()
        model.weight.zero_()
    checkpoints.load(checkpoints.newest())
    assert torch.equal(model.weight, value)
    assert checkpoints.save(2, {"run": {}, "position": {}}), "there is room again"


def test_saved_again_after_an_earlier_resume(small):
    checkpoints, _ = small
    assert checkpoints.save(1, {"run": {"seed": 1}, "position": {}}) and checkpoints.save(
        1, {"run": {"seed": 2}, "position": {}}
    )
    assert read_state(checkpoints.newest())["run"] == {"seed": 2}
    assert [path.name for path in checkpoints.all()] == ["step-00000001"]


def test_going_back_sets_aside_what_is_newer(small, caplog):
    """Else --resume auto would take up a course that was left, and the limit would remove the new one."""
    checkpoints, _ = small
    for step in (80, 90, 100):
        checkpoints.save(step, {"run": {}, "position": {}})
    checkpoints.set_aside_after(90)
    assert "step-00000100 is newer than step 90, where this run goes on; set aside" in caplog.text
    assert checkpoints.newest().name == "step-00000090" and (checkpoints.folder / "aside-step-00000100").is_dir()
    checkpoints.save(95, {"run": {}, "position": {}})
    assert [path.name for path in checkpoints.all()] == ["step-00000090", "step-00000095"]


def test_leftovers_of_a_kill_go(small):
    checkpoints, _ = small
    (checkpoints.folder / ".step-00000007-unfinished").mkdir()
    (checkpoints.folder / "step-00000008").mkdir()  # has no state: not ours, and no checkpoint
    again = Checkpoints(checkpoints.folder, checkpoints.accelerator, 2)
    assert again.newest() is None and [path.name for path in again.folder.iterdir()] == ["step-00000008"]


@pytest.mark.parametrize("broken", ["model.safetensors", "optimizer.bin", "random_states_0.pkl"])
def test_a_broken_file_is_named(small, broken):
    checkpoints, _ = small
    checkpoints.save(1, {"run": {}, "position": {}})
    path = checkpoints.newest()
    (path / broken).write_bytes(b"\0" * 50)
    with pytest.raises(ValueError, match=r"step-00000001 cannot be read: "):
        checkpoints.load(path)


def test_a_flipped_bit_is_found_wherever_it_is(small):
    """Of a thousand, anywhere in a checkpoint: in a weight, most of them would have been a weight, too."""
    checkpoints, _ = small
    checkpoints.save(1, {"run": {}, "position": {"epoch": 1, "batch": 1}})
    path, chance = checkpoints.newest(), random.Random(0)
    files = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert {file.name for file in files} >= {STATE_NAME, DIGESTS_NAME, "model.safetensors", "optimizer.bin"}
    for number in range(1000):
        file = sorted(files)[number % len(files)]
        content = bytearray(files[file])
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"step-00000001 is damaged: .*; name another"):
            checkpoints.check(path)
        file.write_bytes(files[file])
    checkpoints.check(path)


def test_the_one_before_a_damaged_checkpoint_is_taken(small, caplog):
    checkpoints, _ = small
    for step in (1, 2):
        checkpoints.save(step, {"run": {}, "position": {}})
    weights = checkpoints.newest() / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert checkpoints.newest().name == "step-00000001"
    assert "step-00000002 is damaged: model.safetensors is not what was written (digest " in caplog.text
    assert "; the one before it is taken" in caplog.text
    (checkpoints.folder / "step-00000001" / "optimizer.bin").unlink()
    with pytest.raises(ValueError, match=r"step-00000001 is damaged: optimizer\.bin is not there; name another"):
        checkpoints.newest()


def test_a_checkpoint_without_digests_is_taken_with_a_warning(small, caplog):
    checkpoints, _ = small
    checkpoints.save(1, {"run": {}, "position": {}})
    (checkpoints.newest() / DIGESTS_NAME).unlink()
    assert checkpoints.newest().name == "step-00000001"
    assert "has no digests.json, since it was written before there were any; not checked" in caplog.text


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"step": "x"}', '{"step": 0}', '{"step": 1}'])
def test_a_broken_state_is_named(tmp_path, content):
    (tmp_path / STATE_NAME).write_text(content)
    with pytest.raises(ValueError, match=f"{STATE_NAME} is broken"):
        read_state(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*, expected a folder such as"):
        read_state(tmp_path / "nothing")


def test_nothing_of_a_checkpoint_is_run(small, tmp_path):
    """A pickle that would run code is refused."""
    checkpoints, _ = small
    checkpoints.save(1, {"run": {}, "position": {}})

    class Run:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was run",))

    path = checkpoints.newest()
    torch.save({"state": Run()}, path / "optimizer.bin")
    with pytest.raises(ValueError, match="holds more than tensors"):
        checkpoints.load(path)
    assert not (tmp_path / "was run").exists()
