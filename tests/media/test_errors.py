# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.media import PastEndError
from surglavi_hf.media.errors import check_end


def test_a_second_past_the_end_is_allowed():
    check_end("v.mp4", 11.0, 10.0)
    with pytest.raises(PastEndError, match=r"video v\.mp4 ends at 10\.000 s, but its frame at 11\.001 s") as caught:
        check_end("v.mp4", 11.001, 10.0)
    assert caught.value.end == 10.0
