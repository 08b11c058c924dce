# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.hub import failures

from ..surgclip.conftest import released_folder  # noqa: F401  a fixture


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """What is tried again is tried at once; huggingface_hub's own pauses stay."""
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.001)
