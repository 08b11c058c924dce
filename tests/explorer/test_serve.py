# SPDX-License-Identifier: Apache-2.0
"""The command itself, as it is started and ended."""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from surglavi_hf.cli import main
from surglavi_hf.explorer import ExploreOptions, open_explorer


@pytest.fixture
def command():
    """Starts the command; returns its process and the address that it prints."""
    running = []
    # A shell's background job inherits Ctrl-C as ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "surglavi_hf.cli", "explore", "--no-browser", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        said = ""
        while "Ctrl-C ends it" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()[-3000:]
            said += line
        return process, re.search(r"http://\S+", said).group(), said

    yield start
    signal.signal(signal.SIGINT, before)
    for process in running:
        process.kill()
        process.wait()


def test_it_is_started_asked_and_ended_by_ctrl_c(command, own):
    process, address, said = command("--data-dir", str(own))
    assert said.startswith("exploring SurgLaVi at http://127.0.0.1:")
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(address) as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert "stopped" in error


def test_ctrl_c_while_the_model_looks_at_a_video_leaves_nothing(command, drawn, encoder, tmp_path):
    encoder.model.save_pretrained(tmp_path / "model")
    encoder.processor.save_pretrained(tmp_path / "model")
    process, address, _ = command("--data-dir", str(drawn), "--model", str(tmp_path / "model"))
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.open(address).close()
    origin = address.partition("/?")[0]
    request = urllib.request.Request(f"{origin}/api/video/1/watch", b"{}", {"Content-Type": "application/json"})
    opener.open(request).close()
    time.sleep(0.2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert not any(child.is_running() for child in children)
    assert not list(drawn.rglob("*-unfinished"))


def test_the_port_that_is_asked_for(command, own):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    _, address, _ = command("--data-dir", str(own), "--port", str(port))
    assert f":{port}/" in address
    done = subprocess.run(
        [sys.executable, "-m", "surglavi_hf.cli", "explore", "--data-dir", str(own), "--port", str(port)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith(f"surglavi explore: error: 127.0.0.1, port {port}, cannot be listened")
    )


def test_other_machines_are_warned_of(command, own):
    _, address, said = command("--data-dir", str(own), "--host", "0.0.0.0")
    assert "warning: reachable from other machines by whoever has the token" in said
    assert "ssh -L" in said
    assert "0.0.0.0" not in address


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to explore; name --data-dir DIR, --dataset ID or --benchmark YAML"),
        (["--data-dir", "nowhere"], "no database at"),
        (["--data-dir", "{own}", "--index", "nowhere.parquet"], "no embeddings at nowhere.parquet"),
        (["--data-dir", "{own}", "--public", "--review"], "--public and --review"),
        (["--data-dir", "{own}", "--port", "99999"], "port=99999, expected 0 to 65535"),
        (["--data-dir", "{own}", "--allowed-hosts", "a*b"], "--allowed-hosts 'a*b', expected a name, or *.NAME"),
        (["--benchmark", "nowhere.yaml"], "nowhere.yaml"),
        (["--data-dir", "{own}", "--index", "{own}"], "no finished search index"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(own, capsys, arguments, message):
    assert main(["explore", *(word.format(own=own) for word in arguments)]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1


def test_without_the_extra(own, capsys, monkeypatch):
    monkeypatch.setattr("surglavi_hf.cli.explore.find_spec", lambda name: None)
    assert main(["explore", "--data-dir", str(own)]) == 1
    assert "pip install 'surglavi-hf[explorer]'" in capsys.readouterr().err


def test_reviews_want_a_folder(own):
    with pytest.raises(ValueError, match="--review needs a folder to write to"):
        open_explorer(None, ExploreOptions(dataset="me/surglavi", review=True))


def test_a_damaged_takedown_list_is_named(own):
    (own / "takedown.txt").write_text("caption:x\n")
    with pytest.raises(ValueError, match=r"takedown\.txt"):
        open_explorer(own, ExploreOptions())


def test_without_a_model_nothing_heavy_is_imported(own):
    script = f"""
import sys
from surglavi_hf.explorer import ExploreOptions, open_explorer
from surglavi_hf.explorer.app import make_app
explorer = open_explorer({str(own)!r}, ExploreOptions())
make_app(explorer, None, 1, ["x"])
explorer.search({{}}, "surgeon", None)
explorer.video(10)
print([name for name in ("torch", "transformers", "sklearn", "matplotlib", "decord") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stderr[-2000:]
