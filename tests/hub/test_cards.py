# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.hub import render_model_card


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        render_model_card(tmp_path)
