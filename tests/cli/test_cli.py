# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import shutil
import sqlite3
import subprocess
import sys

import pytest
from datasets import load_dataset
from yt_dlp.globals import supported_js_runtimes

from surglavi_hf.cli import build_parser, main
from surglavi_hf.data import DATABASE_NAME
from surglavi_hf.media import Attempt, Manifest, VideoLibrary

_COMMANDS = build_parser()._subparsers._group_actions[0].choices


@pytest.mark.parametrize("arguments", [["--help"], *([command, "--help"] for command in _COMMANDS)])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert "usage: surglavi" in capsys.readouterr().out


def test_help_waits_for_no_models():
    # They and scikit-learn take seconds to import.
    script = (
        "import sys\n"
        "sys.modules['sklearn'] = sys.modules['transformers.modeling_utils'] = None\n"
        "from surglavi_hf.cli import main\n"
        "for command in sys.argv[1:]:\n"
        "    try:\n"
        "        main([command, '--help'])\n"
        "    except SystemExit as end:\n"
        "        print(f'ended {end.code}')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *_COMMANDS], capture_output=True, text=True, timeout=300)
    assert done.stdout.count("ended 0") == len(_COMMANDS), done.stderr[-2000:]


@pytest.mark.parametrize(
    "command, example",
    [
        ("demo", "--output demo"),
        ("check", "demo/corpus"),
        ("tree", "procedure-001 --data-dir demo/corpus"),
        ("convert", "surgclip_beta.pth surgclip-beta"),
        ("download", "--data-dir DIR --wait 60 -- --limit-rate 4M"),
        ("adopt", "/old/downloads --data-dir DIR"),
        ("manifest", "--data-dir DIR --compare colleague.jsonl"),
        ("frames", "--data-dir DIR --workers 8"),
        ("doctor", "--data-dir DIR"),
        ("push-space", "--dataset me/surglavi --repo-id me/explorer"),
    ],
)
def test_help_has_an_example(command, example, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert f"example: surglavi {command} {example}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["x.pth", "out", "--revision", "main"], "--revision is of the Hub; add --from-hub"),
        (["x.pth", "--tokenizer", "t", "out"], "no checkpoint at x.pth; download surgclip_beta.pth"),
        (["text.pth", "out"], "text.pth cannot be read as plain weights"),
    ],
)
def test_convert_refuses(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pth").write_text("no weights")
    assert main(["convert", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"surglavi convert: error: {message}") and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["text.pth"]


def test_the_examples_work(corpus, tmp_path, monkeypatch, capsys):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "corpus").symlink_to(corpus)
    monkeypatch.chdir(tmp_path)
    assert main(["check", "demo/corpus"]) == 0
    assert main(["tree", "procedure-001", "--data_dir", "demo/corpus"]) == 0
    shown = capsys.readouterr().out
    assert "0 left out" in shown and " phase " in shown and "└── " in shown


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["dmeo"], ["demo"], ["demo", "--output", "x", "--seed", "-1"], ["check"], ["tree"]),
        *(["convert"], ["convert", "out"], ["convert", "--from-hub"], ["convert", "x.pth", "out", "--from-hub"]),
        *(["download"], ["adopt", "x"], ["manifest"], ["frames"], ["frames", "--data-dir", "x", "--fps", "fast"]),
        *(["download", "--data-dir", "x", *wrong] for wrong in (["--shard", "3/2"], ["--shard", "1"])),
        *(["download", "--data-dir", "x", *wrong] for wrong in (["--limit", "0"], ["--limit", "-1"])),
    ],
)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_options_that_exclude_each_other(tmp_path, capsys):
    cookies = ["--cookies", "c", "--cookies-from-browser", "firefox"]
    assert main(["download", "--data-dir", str(tmp_path), *cookies]) == 2
    assert "cookies and cookies_from_browser are given, expected one of them" in capsys.readouterr().err


def test_output_may_go_anywhere(corpus):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert main(["check", str(corpus), "--json"]) == 0
    assert json.loads(output.getvalue())["left_out"] == {}


def test_a_missing_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "surglavi_hf.demo.run", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["demo", "--output", str(tmp_path / "new")]) == 1
    assert capsys.readouterr().err == (
        "surglavi demo: error: rich.console is not installed; pip install 'surglavi-hf[demo]'\n"
    )
    assert not (tmp_path / "new").exists()


def test_an_error_is_one_line_and_status_1(tmp_path):
    (tmp_path / "file").write_text("x")
    command = [sys.executable, "-m", "surglavi_hf.cli", "demo", "--output", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith("surglavi demo: error: ") and result.stderr.count("\n") == 1


@pytest.fixture
def collection(corpus, tmp_path):
    """The corpus's database without its videos, and a folder that holds these as another program named them."""
    shutil.copy(corpus / DATABASE_NAME, tmp_path)
    (tmp_path / "old").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection:
        connection.execute("UPDATE videos SET url = 'http://127.0.0.1:9/video.mp4'")  # where nobody answers
        connection.commit()
    for video in corpus.glob("videos/*/*.mp4"):
        shutil.copy(video, tmp_path / "old")
    return tmp_path


def test_adopt_and_frames(collection, capsys):
    data_dir = str(collection)
    assert main(["frames", "--data-dir", data_dir]) == 2
    assert "surglavi frames: error: no videos in" in capsys.readouterr().err
    assert main(["adopt", str(collection / "old"), "--data-dir", data_dir]) == 0
    assert "videos linked" in capsys.readouterr().out
    assert main(["frames", "--data-dir", data_dir, "--fps", "1", "--workers", "2"]) == 0
    assert "10 frame stores written" in " ".join(capsys.readouterr().out.split())
    table = load_dataset("surglavi", data_dir=data_dir, split="train", available_only=True)
    shutil.rmtree(collection / "videos")
    assert table[0]["clip"].available and table[0]["clip"].frames(2).shape[0] == 2


def test_manifest(collection, capsys):
    """One writes it, the other compares."""
    data_dir, output = str(collection), collection / "list.jsonl"
    assert main(["adopt", str(collection / "old"), "--data-dir", data_dir]) == 0
    assert main(["manifest", "--data-dir", data_dir]) == 0
    assert "manifest.jsonl: 10 videos" in capsys.readouterr().out
    assert main(["manifest", "--data-dir", data_dir, "--output", str(output)]) == 0
    assert output.read_text() == (collection / "manifest.jsonl").read_text() and data_dir not in output.read_text()
    assert main(["manifest", "--data-dir", data_dir, "--compare", str(output)]) == 0
    (collection / "videos" / "procedure-001" / "procedure-001.mp4").unlink()
    (collection / "videos" / "procedure-002" / "procedure-002.mp4").unlink()
    (collection / "videos" / "procedure-002" / "procedure-002.mp4").write_text("no video")
    capsys.readouterr()
    assert main(["manifest", "--data-dir", data_dir, "--compare", str(output)]) == 1
    shown = capsys.readouterr().out
    assert "> procedure-001: h264" in shown and "! procedure-002: unreadable" in shown and "8 the same" in shown
    assert main(["manifest", "--data-dir", data_dir]) == 1
    output.write_text("{}")
    capsys.readouterr()
    assert main(["manifest", "--data-dir", data_dir, "--compare", str(output)]) == 2
    assert "list.jsonl is no list of videos: line 1" in capsys.readouterr().err
    assert main(["manifest", "--data-dir", data_dir, "--output", str(collection / "downloads.jsonl")]) == 2


def test_adopt_reports_what_it_skipped(collection, capsys):
    (collection / "old" / "procedure-001.mp4").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert main(["adopt", str(collection / "old"), "--data-dir", str(collection)]) == 1
    assert "procedure-001.mp4:isaGitLFSpointer" in "".join(capsys.readouterr().out.split())
    assert len(list(Manifest(collection / "downloads.jsonl"))) == 9


def test_download(collection, capsys):
    """What there is to do is said, and what fails."""
    data_dir, ids = str(collection), collection / "ids.txt"
    ids.write_text("procedure-001\n")
    assert main(["download", "--data_dir", data_dir, "--estimate"]) == 0
    assert "videos to download" in capsys.readouterr().out
    assert main(["download", "--data-dir", data_dir, "--ids", str(ids), "--shard", "1/1", "--", "--retries", "0"]) == 1
    shown = capsys.readouterr().out
    assert "captions without a video" in shown and "--retry-failed" in shown
    (attempt,) = map(json.loads, (collection / "downloads.jsonl").read_text().splitlines())
    assert attempt["name"] == "procedure-001" and attempt["status"] == "network"
    assert main(["adopt", str(collection / "old"), "--data-dir", data_dir]) == 0
    assert main(["download", "--data-dir", data_dir]) == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--ids", "nothing.txt"], "nothing.txt"),
        (["--workers", "0"], "num_workers=0"),
        (["--sleep", "-1"], "sleep=-1.0"),
        (["--wait", "0"], "wait=0.0"),
        (["--max-height", "0"], "max_height=0"),
        (["--cookies", "nothing.txt"], "nothing.txt"),
        (["--", "--exec", "ls"], "is not passed on"),
        (["--", "--no-such-option"], "no such option"),
    ],
)
def test_wrong_input_to_download(collection, arguments, message, capsys):
    assert main(["download", "--data-dir", str(collection), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("surglavi download: error: ") and message in error and error.count("\n") == 1


def test_another_run_at_work(collection, capsys):
    with VideoLibrary(collection).lock("download"):
        assert main(["download", "--data-dir", str(collection)]) == 2
    assert "another `surglavi download` is at work" in capsys.readouterr().err


def test_youtube_without_javascript_is_refused(collection, monkeypatch, capsys):
    """Before it answers every video with formats that are not available. Other servers need none."""
    monkeypatch.setattr(supported_js_runtimes, "value", {})
    assert main(["download", "--data-dir", str(collection), "--limit", "1", "--", "--retries", "0"]) == 1
    with contextlib.closing(sqlite3.connect(collection / DATABASE_NAME)) as connection:
        connection.execute("UPDATE videos SET url = 'https://youtu.be/-9uZldT-tSk' WHERE name = 'procedure-002'")
        connection.commit()
    assert main(["download", "--data-dir", str(collection), "--estimate"]) == 0
    capsys.readouterr()
    assert main(["download", "--data-dir", str(collection)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("surglavi download: error: 1 videos are at YouTube, which wants a JavaScript runtime")
    assert "install Deno" in error and error.count("\n") == 1
    assert len((collection / "downloads.jsonl").read_text().splitlines()) == 1, "asked nevertheless"


def test_retry_status(collection, capsys):
    """Repairs a manifest that a broken yt-dlp burnt."""
    Manifest(collection / "downloads.jsonl").append(
        *(Attempt("2026-01-01T00:00:00+00:00", f"procedure-{number:03}", "x", "format") for number in range(1, 11))
    )
    arguments = ["download", "--data-dir", str(collection), "--", "--retries", "0"]
    assert main(arguments) == 1 and len(list(Manifest(collection / "downloads.jsonl"))) == 10
    assert main([*arguments[:3], "--retry-status", "format,gone", *arguments[3:]]) == 3
    assert list(Manifest(collection / "downloads.jsonl"))[-1].status == "network"
    with pytest.raises(SystemExit):
        main([*arguments[:3], "--retry-status", "broken"])
    assert "'broken' is no status, expected some of gone, private" in capsys.readouterr().err


def test_doctor(tmp_path, capsys):
    assert main(["doctor", "--data-dir", str(tmp_path)]) in (0, 1)
    assert "JavaScript runtime" in capsys.readouterr().out
