# SPDX-License-Identifier: Apache-2.0
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.hub.language import LanguageTest

LETTERS = ["abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789abcdef", "äöüßéèñç3579xkqw"]


def is_language(texts: list[str]) -> bool:
    test = LanguageTest("x")
    try:
        test.add(texts)
        test.finish()
    except ValueError as error:
        assert "\n" not in str(error) and str(error).startswith("x: ") and len(str(error)) < 200
        return False
    return True


@pytest.mark.parametrize("letters", LETTERS)
@given(length=st.integers(1, 40), width=st.integers(10, 300), seed=st.integers(0, 10**6))
def test_random_letters_are_none(letters, length, width, seed):
    chosen = random.Random(seed)
    text = " ".join("".join(chosen.choices(letters, k=length)) for _ in range(3000 // length))
    assert not is_language([text[start : start + width] for start in range(0, len(text), width)])


@given(st.lists(st.text(max_size=30), max_size=5))
def test_anything_gets_an_answer(texts):
    assert is_language(texts) in (True, False)


def test_what_comes_again_is_looked_at_once():
    sentence = "Dr. Tierney, 2500 Rocky Mountain Ave, Suite 2200, Loveland, CO 80538, 970-825-0881"
    assert is_language([sentence] * 1000)


def test_codes_among_words_pass():
    text = "Trocar {} of 12 mm is placed with CO2 at 12 mmHg, and the tumour of the colon, T3N1M0, is resected."
    assert is_language([text.format(number) for number in range(90)])


def test_words_of_equal_frequency_are_none():
    words = [
        f"{a}{b}{c}" for a in ("ba", "de", "fi", "go") for b in ("la", "mi", "no", "ru") for c in "adehiklmnoprstuy"
    ]
    chosen = random.Random(0)
    assert not is_language([" ".join(chosen.choices(words, k=1000))])
    assert is_language([" ".join(chosen.choices(words[:60], k=1000))])


def test_letters_of_equal_frequency_are_none():
    chosen = random.Random(0)
    assert not is_language(["".join(chr(chosen.randrange(0x4E00, 0x5200)) for _ in range(1000))])
    sentence = "术者首先分离胆囊三角，显露胆囊管和胆囊动脉，分别夹闭后用剪刀离断，最后将胆囊从肝床剥离。"
    assert is_language([f"{sentence}{n}" for n in range(60)])
