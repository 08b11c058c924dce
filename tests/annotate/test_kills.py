# SPDX-License-Identifier: Apache-2.0
"""Killed anywhere, started again: nothing is asked twice, and what comes out is the same to the byte."""

import json
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest

from surglavi_hf.annotate.ledger import Ledger
from surglavi_hf.cli import main
from surglavi_hf.data import find_database

from .oracle import Oracle
from .scripted_server import POINTS, Faults, ScriptedServer, question_of
from .spoken import plan_scripts, texts, words_of_lines, write_spoken_corpus

KILLS = 30
STAGES = ("segment", "filter", "enrich")
_PRELOADED = ["surglavi_hf.cli", "surglavi_hf.annotate.display", "surglavi_hf.annotate.export"]
_PRELOADED += [
    "surglavi_hf.annotate.grounding",
    "surglavi_hf.annotate.transcribe",
    "surglavi_hf.annotate.views",
    "openai.resources.chat",
    "pysubs2",
]


def run_all(corpus: Path, subtitles: Path, url: str) -> None:
    """All stages, as a user calls them."""
    with Path(os.devnull).open("w") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
    folder = ["--data-dir", str(corpus)]
    statuses = [main(["annotate", "transcribe", *folder, "--subtitles", str(subtitles)])]
    for stage in STAGES:
        server = ["--base-url", url, "--model", "scripted", "--concurrency", "3"]
        statuses.append(main(["annotate", stage, *folder, *server]))
    statuses.append(main(["annotate", "export", *folder]))
    os._exit(0 if max(statuses) <= 1 else 9)  # 1 where an answer was wrong three times


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def write_subtitles(folder: Path, scripts) -> Path:
    folder.mkdir()
    for number, lines in enumerate(scripts.values(), start=1):
        cues, words = [], iter(words_of_lines([line.text for line in lines]))
        for at, line in enumerate(lines, start=1):
            some = [next(words) for _ in line.text.split()]
            cues.append(f"{at}\n{_clock(some[0].start)} --> {_clock(some[-1].end)}\n{line.text}\n")
        (folder / f"video-{number}.srt").write_text("\n".join(cues))
    return folder


def _clock(seconds: float) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02},{thousandths:03}"


def test_kills(processes, tmp_path):
    scripts = plan_scripts(16, seed=7)
    subtitles = write_subtitles(tmp_path / "subtitles", scripts)
    folders = [write_spoken_corpus(tmp_path / name / "corpus", texts(scripts)) for name in ("killed", "whole")]
    for folder in folders:
        for path in (folder / "annotate" / "transcripts").iterdir():
            path.unlink()
    rng = random.Random(11)
    faults = Faults({"invalid json": 0.05, "gap": 0.05, "slow": 0.3}, seed=1, slow_s=0.03)
    exports = []
    for folder in folders:
        with ScriptedServer(Oracle(scripts), faults) as server:
            kills, known = KILLS if folder is folders[0] else 0, []
            while True:
                process = processes.Process(target=run_all, args=(folder, subtitles, server.base_url))
                process.start()
                if kills and kills % 3:
                    server.kill_after(rng.randint(1, 3), rng.choice(POINTS), lambda one=process: _kill(one))
                elif kills:  # at whatever it is then
                    time.sleep(rng.uniform(0.0, 0.6))
                    process.kill()
                process.join(60)
                if process.exitcode == 0:
                    break
                assert process.exitcode in (-9, 255)  # the latter of one that was killed before it was known
                kills -= 1
                known.append((len(server.log), answered(folder)))
            assert kills == 0
            assert not server.errors
            for place, there in known:  # of what was in the ledger at a kill, nothing is asked after it
                assert not there & {record.question for record in server.log[place:]}
        exports.append(find_database(folder).read_bytes())
    assert exports[0] == exports[1]
    assert not list(folders[0].rglob("*unfinished*"))


def answered(corpus: Path) -> set[str]:
    """Returns the questions whose answers a ledger has."""
    path = corpus / "annotate" / "ledger.db"
    if not path.is_file():
        return set()
    with Ledger(path) as ledger:
        found = ledger._run("SELECT request FROM requests WHERE outcome IS NOT NULL")
    messages = (json.loads(request)["messages"] for (request,) in found)
    return {question_of({"model": "scripted", "messages": one}) for one in messages}


def _kill(process) -> None:
    process.kill()
    process.join(10)
