# SPDX-License-Identifier: Apache-2.0
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.hub.card_text import BEGIN, END, Card, table

OURS = Card({"license": "mit", "tags": ["a", "b"], "size_categories": ["n<1K"]}, "# Ours\n\nfirst")
NEWER = Card({"license": "mit", "tags": ["a", "b", "c"], "size_categories": ["1K<n<10K"]}, "# Ours\n\nsecond")
COMPUTED = ("size_categories",)
TEMPLATES = [
    ("surglavi_hf.loading_script", "README.md"),
    ("surglavi_hf.model_card", "trained.md"),
    ("surglavi_hf.model_card", "released.md"),
]


def test_a_new_card():
    text = OURS.merged_into(None, COMPUTED)
    assert Card.parse(text).data == OURS.data
    assert "# Ours" in text and text.index(BEGIN) < text.index("# Ours") < text.index(END)


def test_words_before_and_after_stay():
    pushed = OURS.merged_into(None, COMPUTED)
    edited = pushed.replace(BEGIN, f"Our lab's own words.\n\n{BEGIN}") + "\n## Thanks\n\nto all\n"
    text = NEWER.merged_into(edited, COMPUTED)
    assert "second" in text and "first" not in text
    assert text.index("Our lab's own words.") < text.index("# Ours") < text.index("## Thanks")
    assert NEWER.merged_into(text, COMPUTED) == text, "the same card again is the same text"


def test_a_card_that_somebody_else_wrote():
    theirs = "---\nlicense: apache-2.0\ntags:\n- z\npretty_name: Theirs\n---\n# Theirs\n\nwords\n"
    card = Card.parse(OURS.merged_into(theirs, COMPUTED))
    assert "# Theirs\n\nwords" in card.text and "# Ours" in card.text
    assert card.data == {
        "license": "apache-2.0",
        "tags": ["z", "a", "b"],
        "size_categories": ["n<1K"],
        "pretty_name": "Theirs",
    }


def test_what_is_computed_is_ours():
    text = NEWER.merged_into(OURS.merged_into(None, COMPUTED), COMPUTED)
    assert Card.parse(text).data["size_categories"] == ["1K<n<10K"]


@given(st.text("ab \n#-é|$", max_size=40), st.text("ab \n#é|$", max_size=40))
def test_any_words_stay_however_often_it_is_pushed(before, after):
    words = f"x{before}\n\n{BEGIN}\nold\n{END}\n\n{after}y"
    once = OURS.merged_into(words, COMPUTED)
    assert Card.parse(once).text.strip().startswith(f"x{before}".strip()) and once.strip().endswith(
        f"{after}y".strip()
    )
    assert NEWER.merged_into(once, COMPUTED) == NEWER.merged_into(words, COMPUTED)


@pytest.mark.parametrize("lost", [END, BEGIN])
def test_a_mark_that_was_lost(lost):
    with pytest.raises(ValueError, match=r"README\.md on the Hub lost a mark; put back"):
        NEWER.merged_into(OURS.merged_into(None, COMPUTED).replace(lost, ""), COMPUTED)


def test_our_part_twice():
    text = OURS.merged_into(None, COMPUTED)
    with pytest.raises(ValueError, match="lost a mark"):
        NEWER.merged_into(f"{text}\n{Card.parse(text).text}", COMPUTED)


@pytest.mark.parametrize("package, name", TEMPLATES)
def test_templates_have_the_marks(package, name):
    """So that a card that was uploaded by hand is known as ours."""
    text = (files(package) / name).read_text(encoding="utf-8")
    card = Card.parse(text)
    assert card.text.strip().startswith(BEGIN) and card.text.strip().endswith(END)
    assert text.count(BEGIN) == text.count(END) == 1
    assert card.merged_into(None, ()) == str(card) == card.merged_into(str(card), ())


def test_a_byte_order_mark():
    card = Card.parse(OURS.merged_into("\ufeff---\npretty_name: Theirs\n---\nwords\n", COMPUTED))
    assert card.data["pretty_name"] == "Theirs" and "words" in card.text


@pytest.mark.parametrize("head", ["---\n- a list\n---\n", "---\na: [\n---\n"])
def test_metadata_that_cannot_be_read(head):
    with pytest.raises(ValueError, match=r"metadata that cannot be read .*; mend it"):
        OURS.merged_into(f"{head}words", COMPUTED)


def test_a_cell_cannot_end_its_row():
    assert table([["a|b", f"c\nd{END}"]]) == f"| a\\|b | c d{END} |".replace("<", "&lt;")
