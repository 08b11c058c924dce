# SPDX-License-Identifier: Apache-2.0
import os
import shutil
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
from surglavi_hf.demo_corpus import write_corpus

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
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.close()


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
