# SPDX-License-Identifier: Apache-2.0
import os
import platform
from datetime import date
from types import SimpleNamespace

import pytest
import torch
import yt_dlp
from rich.console import Console
from yt_dlp.globals import supported_js_runtimes

from surglavi_hf import doctor
from surglavi_hf.data import DATABASE_NAME
from surglavi_hf.doctor import Finding, examine, examine_javascript, show_findings
from surglavi_hf.media import DownloadOptions

from .data.reference import write_database


def found(findings):
    return {finding.what: finding for finding in findings}


def test_this_machine(tmp_path):
    findings = found(examine(tmp_path / "not" / "there"))
    names = (
        "evaluation",
        "demo",
        "explorer",
        "subtitles",
        "annotate",
        "torchcodec",
        "lora",
        "open-clip",
        "sentence-transformers",
    )
    extras = [f"extra {name}" for name in names]
    videos = ["JavaScript runtime", "yt-dlp", "decoders", "FFmpeg", "disk", "Hugging Face Hub"]
    assert list(findings) == ["Python", "device", "memory", "libraries", *extras, *videos]
    assert not findings["JavaScript runtime"].needed, "nothing is to be downloaded"
    assert findings["extra demo"].found == "there" or findings["extra demo"].remedy.startswith("pip install 'surglavi")
    assert torch.__version__ in findings["device"].found and platform.python_version() in findings["Python"].found
    assert findings["yt-dlp"].found.startswith(yt_dlp.version.__version__)
    assert "pyav" in findings["decoders"].found and str(tmp_path / "not") in findings["disk"].found


@pytest.mark.parametrize(
    "backends, problems, expected",
    [
        (("pyav", "decord"), {}, Finding("decoders", "pyav, decord")),
        (("pyav",), {"torchcodec": "no FFmpeg"}, Finding("decoders", "pyav", "no FFmpeg")),
        ((), {"pyav": "pip install av", "decord": "x"}, Finding("decoders", "none", "pip install av; x", needed=True)),
    ],
)
def test_decoders(monkeypatch, backends, problems, expected):
    """No mark that all is well where none works, nor where one that is installed does not."""
    monkeypatch.setattr(doctor, "installed_backends", lambda: backends)
    monkeypatch.setattr(doctor, "backend_problems", lambda: problems)
    assert doctor._decoders() == expected


@pytest.mark.parametrize(
    "infos, shown, needed",
    [
        ([], "none", True),
        ([SimpleNamespace(name="node", version="20.1.0", supported=False)], "node 20.1.0, too old", True),
        ([SimpleNamespace(name="deno", version="2.5.0", supported=True)], "deno 2.5.0", False),
    ],
)
def test_javascript(monkeypatch, infos, shown, needed):
    runtimes = {info.name: lambda path, info=info: SimpleNamespace(info=info) for info in infos}
    monkeypatch.setattr(supported_js_runtimes, "value", runtimes)
    finding = examine_javascript()
    assert (finding.found, finding.needed, bool(finding.remedy)) == (shown, needed, needed)


def test_a_javascript_runtime_elsewhere(tmp_path):
    """As `-- --js-runtimes deno:/my/deno` names it."""
    program = tmp_path / "deno"
    program.write_text("#!/bin/sh\necho 'deno 2.5.0 (stable)'\n")
    program.chmod(0o755)
    runtimes = DownloadOptions(ytdlp_arguments=("--js-runtimes", f"deno:{program}")).ytdlp_options()["js_runtimes"]
    finding = examine_javascript(runtimes)
    assert finding.remedy is None and "deno 2.5.0" in finding.found
    assert examine_javascript({"deno": {"path": str(tmp_path / "none")}}).needed


def test_an_old_yt_dlp(monkeypatch):
    monkeypatch.setattr(yt_dlp.version, "__version__", "2020.01.02")
    assert "--upgrade" in doctor._yt_dlp().remedy
    monkeypatch.setattr(yt_dlp.version, "__version__", date.today().strftime("%Y.%m.%d"))
    assert doctor._yt_dlp().remedy is None


def test_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e9))
    assert "make room" in doctor._disk(tmp_path, 0).remedy
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert doctor._disk(tmp_path, 0).needed


def test_the_disk_of_a_database(tmp_path, monkeypatch):
    """Its videos that are missing have to find room."""
    rows = [{"video_id": number, "name": f"v{number}", "duration": 3600.0} for number in range(10)]
    write_database(tmp_path / DATABASE_NAME, videos=rows)
    for free, needed in ((1e12, False), (5e9, True)):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        finding = doctor._disk(tmp_path, doctor._still_to_come(tmp_path))
        assert "about 6.3 GB to download" in finding.found and finding.needed == bool(finding.remedy) == needed


def test_hub(monkeypatch):
    monkeypatch.setattr(doctor, "get_token", lambda: None)
    assert "hf auth login" in doctor._hub().remedy
    monkeypatch.setattr(doctor, "get_token", lambda: "hf_secret")
    assert doctor._hub() == Finding("Hugging Face Hub", "logged in")


def test_table():
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    console.print(show_findings([Finding("a", "x"), Finding("b", "[red]y", "do"), Finding("c", "z", "must", True)]))
    text = console.export_text()
    assert [mark in text for mark in ("✓", "!", "✗")] == [True] * 3 and "[red]y" in text


def test_a_javascript_runtime_is_needed_where_downloads_are_due(tmp_path, monkeypatch):
    """An old Node is no error on a machine that downloads nothing."""
    old = SimpleNamespace(name="node", version="20.1.0", supported=False)
    monkeypatch.setattr(supported_js_runtimes, "value", {"node": lambda path: SimpleNamespace(info=old)})
    for still_to_come in (0.0, 5e9):
        monkeypatch.setattr(doctor, "_still_to_come", lambda folder, size=still_to_come: size)
        finding = found(examine(tmp_path))["JavaScript runtime"]
        assert finding.needed == bool(still_to_come) and "too old" in finding.found


def test_an_extra_that_is_not_whole(monkeypatch):
    monkeypatch.setattr(doctor, "_is_installed", lambda item: item.name != "faiss-cpu")
    finding = found(doctor._extras())["extra evaluation"]
    assert finding.found == "without faiss-cpu" and "'surglavi-hf[evaluation]'" in finding.remedy
    assert not finding.needed
