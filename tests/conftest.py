# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import subprocess
import sys
import tempfile

# Before datasets and huggingface_hub are imported: caches of their own, no network.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="surglavi-tests-")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

import surglavi_hf  # noqa: F401  registers "surglavi" and SurgCLIP
from surglavi_hf.demo.corpus import write_corpus

from .hub_server import HubServer

# Deterministic, and without a deadline: a slow machine is no failure.
settings.register_profile(
    "surglavi", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("surglavi")

GOLDEN = Path(__file__).parent / "data" / "golden"
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_unconfigure():
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


@pytest.fixture
def hub_server(monkeypatch):
    """The Hub, on loopback; for this process and those it forks."""
    server = HubServer()
    constants = {
        "ENDPOINT": server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
    }
    for name, value in constants.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    monkeypatch.setattr("transformers.utils.hub._hf_api", None)  # which remembers the Hub of an earlier test
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.close()


def client_environment(url: str, home: Path) -> dict[str, str]:
    """Of a process for which the Hub is at `url`, with an empty cache."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": url, "HF_TOKEN": "hf_test", "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    # datasets counts loads at amazonaws.com, and waits for it.
    return environment | {"HF_UPDATE_DOWNLOAD_COUNTS": "0"}


@pytest.fixture
def stranger(hub_server, tmp_path):
    """
    Runs a script in a process of its own, for which `hub_server` is the Hub; returns what it prints. Threads of a
    streamed dataset abort the usual end of a process at times.
    """

    def run(script: str, *without: str, **environment: str) -> str:
        """`without`: packages that cannot be imported."""
        forbid = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in without)
        end = "\nimport os, sys; sys.stdout.flush(); os._exit(0)"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", forbid + script + end],
            env={**client_environment(hub_server.url, tmp_path / "home"), **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """A small drawn corpus; nothing may write to it."""
    return write_corpus(tmp_path_factory.mktemp("corpus"), seed=3, num_train=6, num_test=3, num_silent=1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real material that lies beside some checkouts; the project does not need it."""
    if not SHARED.is_dir():
        pytest.skip("no real material beside this checkout")
    return SHARED


@pytest.fixture
def write_video():
    """Writes an H.264 video whose frame `i` is on screen from `times[i]` seconds and has the grey value `8 * i`."""

    def write(path: Path, times: list[float], size: int = 64) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=1000)
            stream.width = stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.options = {"g": "4", "bf": "2", "crf": "1"}
            stream.codec_context.time_base = Fraction(1, 1000)
            for index, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(np.full((size, size, 3), 8 * index, np.uint8), format="rgb24")
                frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


def shown(frames: torch.Tensor) -> list[int]:
    """The numbers of frames that `write_video` wrote."""
    return [round(frame.float().mean().item() / 8) for frame in frames]
