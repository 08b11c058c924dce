# SPDX-License-Identifier: Apache-2.0
import io
import json
import sys

import pytest

from surglavi_hf.annotate import language_model
from surglavi_hf.annotate.ledger import Ledger
from surglavi_hf.annotate.transcripts import transcript_path
from surglavi_hf.cli import main
from surglavi_hf.media import VideoLibrary
from tests.annotate.oracle import Oracle
from tests.annotate.scripted_server import ScriptedServer
from tests.annotate.spoken import plan_scripts, texts, write_spoken_corpus


@pytest.fixture
def scripts():
    return plan_scripts(2)


@pytest.fixture
def corpus(tmp_path, scripts):
    spoken = texts(scripts)
    spoken["Operation 2"][0] = "My name is Doctor Jane Miller, recorded on March 3rd 2019."
    return write_spoken_corpus(tmp_path / "corpus", spoken)


@pytest.fixture
def server(scripts):
    with ScriptedServer(Oracle(scripts)) as server:
        yield server


def segment(corpus, server, *more):
    command = ["annotate", "segment", "--data-dir", str(corpus), "--base-url", server.base_url]
    return main([*command, "--model", "scripted", *more])


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_texts_go_to_another_machine_only_where_somebody_agrees(corpus, server, monkeypatch, capsys):
    monkeypatch.setattr(language_model, "_is_loopback", lambda host: False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert segment(corpus, server) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"narration of 2 videos (296 words) go to {server.base_url}, model scripted, without a key" in said
    assert "2 likely identifiers of persons are in them; surglavi annotate identifiers lists them" in said
    assert f"nobody agreed yet that texts go to {server.base_url}; run it in a terminal, or with --yes" in said
    for answer in ("", "n\n", "\n"):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert segment(corpus, server) == 1
    assert server.log == []
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert segment(corpus, server) == 0
    asked = len(server.log)
    assert asked == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert segment(corpus, server) == 0  # it is asked once
    assert len(server.log) == asked


def test_yes_agrees(corpus, server, monkeypatch):
    monkeypatch.setattr(language_model, "_is_loopback", lambda host: False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert segment(corpus, server, "--yes") == 0
    assert len(server.log) == 2


def test_this_machine_needs_no_consent(corpus, server, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert segment(corpus, server) == 0
    assert "on this machine" in " ".join(capsys.readouterr().err.split())


def test_without_a_server_nothing_is_asked(corpus, capsys):
    for stage in ("segment", "filter", "enrich", "run"):
        assert main(["annotate", stage, "--data-dir", str(corpus)]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "no language model is named; give --base-url URL and --model NAME" in error


def test_an_estimate_needs_no_server(corpus, capsys):
    command = ["annotate", "run", "--data-dir", str(corpus), "--model", "scripted", "--estimate"]
    assert main([*command, "--price-input", "1", "--price-output", "2"]) == 0
    said = capsys.readouterr().out
    assert "what will be asked; nothing was" in said
    for stage in ("segment", "filter", "enrich", "all"):
        assert stage in said
    assert "supposed" in said


def test_identifiers(corpus, capsys):
    assert main(["annotate", "identifiers", "--data-dir", str(corpus)]) == 1
    said = capsys.readouterr().out
    assert "Jane Miller" in said and "video-2" in said
    assert "2 transcripts:" in said and "rules do not find all" in said
    transcript_path(corpus, "video-2").unlink()
    assert main(["annotate", "identifiers", "--data-dir", str(corpus)]) == 0
    assert "1 transcripts: none; rules do not find all" in capsys.readouterr().out
    transcript_path(corpus, "video-1").unlink()
    assert main(["annotate", "identifiers", "--data-dir", str(corpus)]) == 2
    assert "no words to look at" in capsys.readouterr().err


def test_masked_identifiers_are_not_sent(corpus, server, capsys):
    for stage in ("segment", "filter", "enrich"):
        command = ["annotate", stage, "--data-dir", str(corpus), "--base-url", server.base_url, "--model", "scripted"]
        assert main([*command, "--mask-identifiers"]) == 0
        assert "2 likely identifiers of persons are replaced by" in " ".join(capsys.readouterr().err.split())
    with Ledger(corpus / "annotate" / "ledger.db") as ledger:
        sent = "".join(request for (request,) in ledger._run("SELECT request FROM requests"))
    assert "[name]" in sent and "[date]" in sent
    assert "Miller" not in sent and "2019" not in sent
    assert main(["annotate", "export", "--data-dir", str(corpus)]) == 0  # as it was run last
    assert "without an answer yet" not in capsys.readouterr().out


def test_thresholds_without_a_model_that_looks(corpus, server, capsys):
    for stage in ("filter", "run"):
        command = ["annotate", stage, "--data-dir", str(corpus), "--base-url", server.base_url, "--model", "scripted"]
        assert main([*command, "--endoscopic-threshold", "0.9"]) == 1
        assert "thresholds are of a look at clips; give --visual-model, too" in capsys.readouterr().err
    assert server.log == []


def test_two_at_once(corpus, server, capsys):
    with VideoLibrary(corpus).lock("annotate"):
        assert segment(corpus, server) == 1
    assert "another `surglavi annotate` is at work on" in capsys.readouterr().err


def test_a_limit(corpus, server):
    assert segment(corpus, server, "--limit", "1") == 0
    assert len(server.log) == 1
    assert segment(corpus, server) == 0
    assert len(server.log) == 2


def test_a_stage_that_is_stopped_says_why(corpus, server, capsys):
    server.fail_next("401")
    assert segment(corpus, server) == 1
    said = capsys.readouterr()
    assert "segment: " in said.out  # what there is
    assert said.err.strip().splitlines()[-1].endswith("see --api-key-variable")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["annotate"], "no stage is named; see surglavi annotate --help"),
        (["annotate", "report", "--data-dir", "nowhere"], "no database at"),
        (["annotate", "agree", "nowhere", "neither"], "no database at"),
        (["annotate", "transcribe", "--data-dir", "nowhere"], "no database at"),
        (["annotate", "export", "--data-dir", "nowhere"], "no database at"),
    ],
)
def test_what_is_not_there(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_damaged_transcripts_and_ledgers_are_named(corpus, server, capsys):
    path = transcript_path(corpus, "video-1")
    whole = path.read_text()
    path.write_text(whole[:100])
    assert segment(corpus, server) == 1
    assert str(path) in capsys.readouterr().err
    path.write_text(whole)
    (corpus / "annotate" / "ledger.db").write_bytes(b"no database, and longer than a header would be" * 10)
    assert segment(corpus, server) == 1
    assert "ledger.db is not a readable SQLite database" in capsys.readouterr().err


def test_agree_and_report(corpus, server, capsys):
    for stage in ("segment", "filter", "enrich", "export"):
        more = [] if stage == "export" else ["--base-url", server.base_url, "--model", "scripted"]
        assert main(["annotate", stage, "--data-dir", str(corpus), *more]) == 0
    assert main(["annotate", "report", "--data-dir", str(corpus)]) == 0
    said = capsys.readouterr().out
    for words in (
        "what was asked",
        "what became of segments",
        "left out or marked, with examples",
        "likely identifiers",
        "clips",
    ):
        assert words in said
    assert (corpus / "annotate" / "report.json").is_file()
    assert main(["annotate", "agree", str(corpus), str(corpus), "--json"]) == 0
    agreement = json.loads(capsys.readouterr().out)
    assert agreement["levels"]["task"]["segments"]["IoU 0.5"]["f1"] == 1.0
