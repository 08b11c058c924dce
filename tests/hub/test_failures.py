# SPDX-License-Identifier: Apache-2.0
import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import OfflineModeIsEnabled

from surglavi_hf.hub.failures import HubError, explain, retried


def test_what_is_not_of_the_hub_is_not_explained():
    assert explain(ValueError("no such level")) is None


def test_what_the_hub_caused_is():
    error = FileNotFoundError("no database: named nowhere, nor on the Hub")
    error.__cause__ = OfflineModeIsEnabled("offline")
    assert "me/x: offline mode is on; unset HF_HUB_OFFLINE" in explain(error, "me/x")


def test_each_error_of_reading(hub_server):
    repository = hub_server.add("me/x", {"a.txt": b"a", "c.txt": b"c"})
    wrong = [("b.txt", "main", "it has no such file"), ("a.txt", "v9", "it has no such revision")]
    for path, revision, words in wrong:
        with pytest.raises(Exception) as caught:
            hf_hub_download("me/x", path, revision=revision)
        assert words in explain(caught.value) and "\n" not in explain(caught.value)
    with pytest.raises(Exception) as caught:
        HfApi().repo_info("me/none")
    assert "no such repository or organization" in explain(caught.value)
    repository["gated"] = True
    with pytest.raises(Exception) as caught:
        hf_hub_download("me/x", "c.txt")
    assert "it is gated; log in, accept its terms" in explain(caught.value)
    hub_server.fail(
        403,
        path="/resolve/",
        times=2,
        headers={"X-Error-Code": "GatedRepo"},
        message="Your request to access model me/x is awaiting a review from the repo authors.",
    )
    with pytest.raises(Exception) as caught:
        hf_hub_download("me/x", "c.txt")
    assert "its owners have not answered yet" in explain(caught.value)


def test_what_cannot_pass_is_tried_once():
    tries = []

    def action():
        tries.append(1)
        raise ValueError("wrong")

    with pytest.raises(HubError, match=r"me/x: wrong$"):
        retried(action, "me/x")
    assert len(tries) == 1
