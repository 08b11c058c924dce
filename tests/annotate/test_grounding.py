# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.annotate.grounding import _terms, ungrounded

SAID = [
    ("The surgeon removes the gallbladder with graspers.", "we take the gall bladder out with a grasper"),
    ("Haemostasis is achieved.", "there is good hemostasis"),
    ("The tumour of the oesophagus is resected.", "an esophageal tumor, which we are resecting"),
    ("The cystic artery is clipped.", "so the cystic duct and then the artery get a clip"),
    ("The ureters are identified.", "that is the ureter"),
    ("The LigaSure divides the omentum.", "i use the liga sure for omental attachments"),
    ("A vessel sealer is used.", "with the ligasure"),
    ("The gallbladder is dissected.", "Laparoscopic cholecystectomy: dissecting"),
    ("The uterus is visible.", "a myomectomy"),
    ("A 5 mm trocar is placed.", "a five millimetre port"),
    ("A 5mm trocar is placed.", "five millimeters, the trocar"),
    ("The defect measures 4.2 cm.", "the defect is four point two centimeters"),
    ("At 12 to 15 mmHg.", "between twelve and fifteen millimeters of mercury"),
    ("After 5-10 minutes", "five or ten minutes"),
    ("125 ml of blood", "one hundred and twenty five cc of blood"),
    ("A 3-0 Vicryl suture", "a three oh vicryl"),
    ("A V-Loc suture", "the barbed suture"),
    ("CO₂ is evacuated.", "let the co two out"),
    ("The splenic flexure is mobilized.", "mobilization of the splenic flexor"),
    ("The testicular vessels are seen.", "the testicle vessels"),
    ("The gastroepiploic vessels", "gastro epiploic"),
    ("Dissection follows Denonvilliers' fascia.", "we dissect in the denonvillier fascia"),
    ("The surgeon moves close to the wall with less tension and one hand.", "anything"),
    ("In Trendelenburg position", "the patient is in trendelenburg"),
    ("The surgeon carefully moves the tissue with an instrument.", ""),
    ("", ""),
]


@pytest.mark.parametrize(("caption", "source"), SAID)
def test_what_was_said(caption, source):
    assert ungrounded(caption, [source]) == []


@pytest.mark.parametrize(
    ("caption", "source", "marked"),
    [
        ("The surgeon uses scissors to divide the tissue.", "so divide, divide", ["scissors"]),
        ("The cystic artery is clipped.", "here the cystic duct gets a clip", ["cystic artery"]),
        (
            "The cystic artery is clipped.",
            "the uterine artery, a clip, and far from all of that a cyst",
            ["cystic artery"],
        ),
        (
            "The cystic artery is clipped.",
            "the cystic duct, and much later, when all of that is done, we see an artery with a clip",
            ["cystic artery"],
        ),
        ("The perineum is seen.", "that is the peritoneum", ["perineum"]),
        ("The urethra is opened.", "that is the ureter", ["urethra"]),
        ("A 10 mm trocar is placed.", "a five millimetre port", ["10 mm"]),
        ("A 5 cm incision", "an incision of five millimeters", ["5 cm"]),
        ("Two clips and three clips", "a clip, three of them", ["Two"]),
        ("A 3-0 Vicryl suture", "a two oh vicryl", ["3-0"]),
        ("Retraction with the FlexDex and the Endo Stitch", "we hold it and stitch", ["FlexDex", "Endo"]),
        ("Dr. Smith ties a knot.", "tie it", ["Smith"]),
        ("The liver, the Liver and the livers", "", ["liver", "Liver", "livers"]),
        ("Bleeding from the portal vein, near the spleen", "", ["Bleeding", "portal vein", "spleen"]),
    ],
)
def test_what_was_not(caption, source, marked):
    assert ungrounded(caption, [source]) == marked


def test_any_source_counts_and_two_are_not_one():
    caption = "The gallbladder is held with a Maryland dissector on the inferior mesenteric vein."
    sources = ["Cholecystectomy by Maryland", "a dissector", "inferior mesenteric", "vein"]
    assert ungrounded(caption, sources) == ["inferior mesenteric vein"]
    assert ungrounded(caption, [*sources, "inferior mesenteric vein"]) == []


def test_the_list():
    terms = _terms()
    assert len({thing for things in terms.things.values() for thing in things}) > 400
    assert len(terms.things) > 1000 and len(terms.looked_for) < len(terms.things)
    assert len(terms.implied) > 50
    assert all(terms.lengths[key[0]] >= len(key) for key in terms.things)


CAPTIONS = st.sampled_from([caption for caption, _ in SAID])
TEXTS = CAPTIONS | st.sampled_from([source for _, source in SAID]) | st.text(max_size=60)


@given(st.lists(TEXTS, max_size=4).map(" ".join), st.lists(TEXTS, max_size=3))
def test_what_is_marked(caption, sources):
    found = ungrounded(caption, sources)
    assert len(set(found)) == len(found) and all(name in caption for name in found)
    assert found == ungrounded(caption, sources), "it is the same again"
    assert ungrounded(caption, [*sources, caption]) == [], "a caption grounds itself"
    assert set(ungrounded(caption, [*sources, "more clips of the liver"])) <= set(found), "more sources mark no more"
