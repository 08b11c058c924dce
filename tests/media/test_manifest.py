# SPDX-License-Identifier: Apache-2.0
import json
import multiprocessing

from surglavi_hf.media import Attempt, Manifest
from surglavi_hf.media.manifest import warnings_to_keep, without_secrets

WRONG = (
    *({"name": ["a"]}, {"status": ["x"]}, {"status": "[/bold]"}, {"size": "big"}, {"duration": {}}),
    *({"warnings": "text"}, {"warnings": [3]}),
)


def attempt(name="v", status="ok", **values):
    return Attempt("2026-01-01T00:00:00+00:00", name, "-9uZldT-tSk", status, **values)


def test_one_line_an_attempt(tmp_path):
    manifest = Manifest(tmp_path / "new" / "downloads.jsonl")
    attempts = [attempt(), attempt(status="gone", message="a\nb é \udce9"), attempt("w", size=3, duration=1.5)]
    assert list(manifest) == []
    for one in attempts:
        manifest.append(one)
    lines = manifest.path.read_text().splitlines()
    assert len(lines) == 3 and json.loads(lines[2])["size"] == 3
    assert list(manifest)[::2] == attempts[::2]
    assert {name: len(tried) for name, tried in manifest.by_video().items()} == {"v": 2, "w": 1}


def test_a_line_that_was_cut_short(tmp_path, caplog):
    """By a crash, say: it is skipped, and what follows is not lost."""
    manifest = Manifest(tmp_path / "downloads.jsonl")
    manifest.append(attempt("a"))
    with manifest.path.open("ab") as file:
        file.write(b'{"time": "2026", "na')
    manifest.append(attempt("b"))
    with manifest.path.open("ab") as file:
        file.write(b'null\n[]\n{}\n\xff\n{"name": 3}\n' + b"[" * 100_000 + b"\n")
        for wrong in WRONG:
            file.write(json.dumps(vars(attempt()) | wrong).encode() + b"\n")
    assert [one.name for one in manifest] == ["a", "b"]
    assert len(caplog.records) == 14 and "line 2 is no attempt" in caplog.records[0].getMessage()


def append_many(path, name):
    for _ in range(50):
        Manifest(path).append(attempt(name, message="x" * 300))


def test_several_processes(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append_many, args=(tmp_path / "m.jsonl", name)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {name: len(tried) for name, tried in Manifest(tmp_path / "m.jsonl").by_video().items()} == dict.fromkeys(
        "abcd", 50
    )


def test_warnings(tmp_path):
    """Of a burst the first ten different ones, without what is secret."""
    said = ["n challenge solving failed", "from https://host/v?sig=hidden", *map(str, range(20))]
    kept = warnings_to_keep(["n challenge solving failed", *said])
    assert len(kept) == 10 and kept[:3] == (said[0], "from https://host/v", "0")
    manifest = Manifest(tmp_path / "downloads.jsonl")
    manifest.append(attempt(status="client", warnings=kept))
    assert next(iter(manifest)).warnings == kept


def test_lines_of_before_the_warnings(tmp_path):
    values = {name: value for name, value in vars(attempt()).items() if name != "warnings"}
    (tmp_path / "m.jsonl").write_text(json.dumps(values) + "\n")
    assert list(Manifest(tmp_path / "m.jsonl")) == [attempt()]


def test_secrets():
    text = (
        "\x1b[31mERROR:\x1b[0m via http://me:word@proxy:3128/\nGET https://r1.googlevideo.com/v?sig=abc&ip=1.2.3.4 'x'"
    )
    assert without_secrets(text) == "ERROR: via http://proxy:3128/ GET https://r1.googlevideo.com/v 'x'"
    assert without_secrets("[generic] 404?Signature=abc: Not Found") == "[generic] 404 Not Found"
    assert without_secrets("at http://me:p@ss@host/x") == "at http://host/x"
    said = without_secrets("no me:word, nor word, nor key=9", "http://me:word@proxy:1", "https://host/v?key=9")
    assert "word" not in said and "key=9" not in said
    assert len(without_secrets("x" * 9999)) == 500
