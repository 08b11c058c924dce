# SPDX-License-Identifier: Apache-2.0
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from datasets import load_dataset

from surglavi_hf import EvalReport, push_dataset
from surglavi_hf.cli import main
from surglavi_hf.data import Embeddings
from surglavi_hf.demo.run import PROMPTS
from surglavi_hf.evaluation.encoders import ClipEncoder
from surglavi_hf.training.start import new_tiny_model

REPORT = "corpus_phase_retrieval.json"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips") / "model"
    for part in new_tiny_model(PROMPTS["task"], num_frames=4):
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def embeddings(corpus, model):
    path = model.parent / "embeddings.parquet"
    assert main(["embed", "--data-dir", str(corpus), "--model", str(model), "--output", str(path)]) == 0
    return path


@pytest.fixture
def without_videos(corpus, tmp_path):
    """A folder with the database, and what the corpus says of itself."""
    folder = tmp_path / "database"
    folder.mkdir()
    for path in (*corpus.glob("*.db"), *corpus.glob("*.json")):
        shutil.copy(path, folder)
    return folder


def options(model, *more):
    return ["--model", str(model), "--level", "phase", "--split", "train", *map(str, more)]


def in_two(commands, folder):
    """Runs commands in two processes, as torchrun starts them; returns what each says on standard error."""
    script = folder / "commands.py"
    script.write_text(
        "import sys\nfrom surglavi_hf.cli import main\n"
        f"for command in {commands!r}:\n    main(command)\n    print('---', file=sys.stderr)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_two_processes_give_what_one_gives(corpus, model, tmp_path, one_thread, capsys):
    """To the last bit, with clips that cannot be read among them; nothing is left behind."""
    folder = shutil.copytree(corpus, tmp_path / "corpus")
    name = load_dataset("surglavi", "phase", data_dir=str(folder), split="train")[0]["video_name"]
    (folder / "videos" / name / f"{name}.mp4").write_bytes(b"broken")
    shutil.rmtree(folder / "frames", ignore_errors=True)
    common = ["--data-dir", str(folder), "--num-workers", "1", "--batch-size", "3", *options(model)]
    commands = {}
    for where in ("one", "two"):
        out = tmp_path / where
        commands[where] = [
            ["retrieval", *common, "--output", str(out / "reports")],
            ["search", "the surgeon", *common, "--index", str(out / "index")],
            ["embed", *common[:-2], "--output", str(out / "e.parquet")],
            ["retrieval", *common, "--strict", "--output", str(out / "strict")],
        ]
    for command in commands["one"]:
        assert main(command) == 1
    said = {"one": capsys.readouterr().err, "two": in_two(commands["two"], tmp_path)}
    for where, words in said.items():
        assert words.count("clips cannot be read and are left out; /") == 3, "of one process"
        assert words.count("surglavi retrieval: error: a clip cannot be read") == 1 + (where == "two"), "of each"
        assert not list((tmp_path / where / "strict").glob("*.json"))
        left = [path.name for path in (tmp_path / where / "reports").iterdir()]
        assert sorted(left) == ["corpus_phase_retrieval.json", "corpus_phase_retrieval.md"]
    one, two = (EvalReport.from_json(tmp_path / where / "reports" / REPORT) for where in ("one", "two"))
    assert one == two and one.unreadable
    first, second = (Embeddings.read(tmp_path / where / "e.parquet") for where in ("one", "two"))
    assert first.digest == second.digest
    one, two = (json.loads((tmp_path / where / "index" / "index.json").read_text()) for where in ("one", "two"))
    assert one["num_clips"] == two["num_clips"] and one["unreadable"] == two["unreadable"]
    assert one["files"]["clips.faiss"] == two["files"]["clips.faiss"]


def test_known_embeddings_read_no_video(corpus, model, embeddings, without_videos, tmp_path, capsys):
    common = options(model)
    assert main(["retrieval", "--data-dir", str(corpus), *common, "--output", str(tmp_path / "videos")]) == 0
    given = ["--data-dir", str(without_videos), *common, "--embeddings", str(embeddings)]
    assert main(["retrieval", *given, "--output", str(tmp_path / "known")]) == 0
    expected, found = (EvalReport.from_json(tmp_path / name / REPORT) for name in ("videos", "known"))
    assert found.metrics == pytest.approx(expected.metrics, abs=0.02), "but for float16"
    assert found.data_fingerprint == expected.data_fingerprint
    known = Embeddings.read(embeddings)
    assert found.protocol["clip_embeddings"] == f"published, float16, digest {known.digest}"
    assert found.protocol["num_clips_without_embedding"] == 0

    capsys.readouterr()
    assert main(["search", "the surgeon", *given, "--index", str(tmp_path / "index")]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    plain = ["--data-dir", str(corpus), *common]
    assert main(["search", "the surgeon", *plain, "--index", str(tmp_path / "other")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == first
    assert main(["search", "the surgeon", *given, "--index", str(tmp_path / "other")]) == 1
    assert f"was not built of {embeddings}; name another folder" in capsys.readouterr().err


def test_embeddings_that_lack_clips(model, embeddings, without_videos, tmp_path, capsys):
    """They are left out, counted and told."""
    rows = load_dataset("surglavi", "phase", data_dir=str(without_videos), split="train")
    known = Embeddings.read(embeddings)
    kept = known.caption_id != rows[0]["caption_id"]
    replace(known, caption_id=known.caption_id[kept], embedding=known.embedding[kept]).write(tmp_path / "less.parquet")
    given = ["--data-dir", str(without_videos), *options(model), "--embeddings", str(tmp_path / "less.parquet")]
    assert main(["retrieval", *given, "--output", str(tmp_path / "out")]) == 0
    assert "phase: 1 clips have no embedding in" in capsys.readouterr().out
    report = EvalReport.from_json(tmp_path / "out" / REPORT)
    assert report.protocol["num_clips_without_embedding"] == 1 and report.protocol["num_clips"] == len(rows) - 1
    replace(known, caption_id=known.caption_id + 10**6).write(tmp_path / "none.parquet")
    given[-1] = str(tmp_path / "none.parquet")
    assert main(["retrieval", *given, "--output", str(tmp_path / "out")]) == 1
    assert f"none of {len(rows)} clips has an embedding in" in capsys.readouterr().err


def test_embeddings_of_another_model(model, embeddings, without_videos, tmp_path, capsys):
    torch.manual_seed(1)
    for part in new_tiny_model(PROMPTS["task"], num_frames=4):
        part.save_pretrained(tmp_path / "another")
    common = ["--data-dir", str(without_videos), "--level", "phase", "--split", "train"]
    command = ["retrieval", *common, "--embeddings", str(embeddings), "--output", str(tmp_path / "out")]
    assert main([*command, "--model", str(tmp_path / "another")]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{embeddings} has embeddings of model at weights " in said and "the model is another at weights " in said
    shutil.copytree(model, tmp_path / "under another name")
    assert main([*command, "--model", str(tmp_path / "under another name")]) == 0


def test_embeddings_of_the_hub_alone(corpus, model, embeddings, hub_server, stranger, tmp_path):
    """No database, no videos: captions and embeddings are those that were pushed."""
    push_dataset(corpus, "me/mine", embeddings)
    given = ["--embeddings", "hub:me/mine", *options(model)]
    wrong = [
        ["--max-duration", "9"],
        ["--validation-fraction", "0.3"],
        ["--test-fraction", "0.1"],
        ["--split", "test"],
    ]
    script = f"""
import sys
from surglavi_hf.cli import main
assert main(["retrieval", *{given!r}, "--output", {str(tmp_path / "out")!r}]) == 0
assert main(["search", "the surgeon", *{given!r}, "--index", {str(tmp_path / "index")!r}]) == 0
sys.stderr = sys.stdout
for more in {wrong!r}:
    assert main(["retrieval", *{given!r}, "--output", {str(tmp_path / "x")!r}, *more]) == 1
"""
    printed = stranger(script)
    assert "1. " in printed
    said = [line for line in printed.splitlines() if "error: " in line]
    for option, line in zip(["max-duration", "validation-fraction", "test-fraction"], said, strict=False):
        assert f"as they were pushed; leave --{option} out, or give --data-dir" in line
    assert said[3].endswith("hub:me/mine has no split test of level phase; give --split train") and len(said) == 4
    report = EvalReport.from_json(tmp_path / "out" / REPORT)
    expected = load_dataset("surglavi", "phase", data_dir=str(corpus), split="train")
    assert report.protocol["num_clips"] == len(set(zip(expected["video_name"], expected["start_time"], strict=True)))
    assert report.protocol["captions"] == "as pushed to hub:me/mine" and "filter_pairs" not in report.protocol


def test_a_dataset_without_embeddings(corpus, model, hub_server, stranger, tmp_path):
    push_dataset(corpus, "me/mine")
    command = ["retrieval", "--embeddings", "hub:me/mine", *options(model), "--output", str(tmp_path / "out")]
    printed = stranger(f"import sys; sys.stderr = sys.stdout\nfrom surglavi_hf.cli import main\nmain({command!r})")
    assert "error: hub:me/mine has no embeddings (" in printed.splitlines()[-1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "there are no captions; give --data-dir, or --embeddings hub:ID"),
        (["--embeddings", "e.parquet"], "--embeddings FILE has no captions; give --data-dir"),
    ],
)
def test_no_captions(model, tmp_path, capsys, more, message):
    assert main(["retrieval", *options(model), "--output", str(tmp_path / "out"), *more]) == 1
    assert message in capsys.readouterr().err


def test_an_empty_split_is_named(corpus, model, without_videos, tmp_path, capsys):
    command = ["retrieval", "--model", str(model), "--level", "phase", "--output", str(tmp_path / "out")]
    assert main([*command, "--data-dir", str(corpus), "--validation-fraction", "1e-9"]) == 1
    said = "split validation has no captions of level phase whose video is on disk; choose another --split, "
    assert f"{said}--validation-fraction" in capsys.readouterr().err
    assert main([*command, "--data-dir", str(without_videos), "--split", "train"]) == 1
    assert (
        "split train has no captions of level phase whose video is on disk; choose another" in capsys.readouterr().err
    )


def test_a_stopped_retrieval_goes_on(corpus, model, tmp_path, monkeypatch, capsys):
    """The levels that it is through with, too."""
    passes, limit = [], 12
    original = ClipEncoder.embed_windows

    def embed_windows(self, frames, windows):
        if len(passes) == limit:
            raise KeyboardInterrupt
        passes.append(len(windows))
        return original(self, frames, windows)

    monkeypatch.setattr(ClipEncoder, "embed_windows", embed_windows)
    command = ["retrieval", "--data-dir", str(corpus), "--model", str(model), "--split", "train"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 130
    assert len(passes) == limit
    limit = 10**9
    assert main([*command, "--output", str(tmp_path / "out")]) == 0
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    gone_on, passes[:] = len(passes) - 12, []
    assert main([*command, "--output", str(tmp_path / "new")]) == 0
    assert len(passes) == gone_on + 12
    for path in (tmp_path / "new").glob("*.json"):
        assert EvalReport.from_json(path) == EvalReport.from_json(tmp_path / "out" / path.name)
