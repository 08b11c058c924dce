# SPDX-License-Identifier: Apache-2.0
import re
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from surglavi_hf.annotate.identifiers import KINDS, Identifier, find_identifiers, mask


@dataclass(frozen=True)
class Said:
    text: str
    start: float = 0.0
    end: float = 1.0
    confidence: float | None = None


MASKED = {
    "This is Dr. Craig Rogers, Director of Renal Surgery.": "This is Dr. [name], Director of Renal Surgery.",
    "hi everyone this is dr shinjini and my video": "hi everyone this is dr [name] and my video",
    "Good morning. My name is Dr. Swanto Sukhandi. I'm honored": "Good morning. My name is Dr. [name]. I'm honored",
    "my name is john smith": "my name is [name]",
    "I'm Bernardo Rocco here with the professor Francesco Perpiglia.": "I'm [name] here with the professor [name].",
    "Hello, I'm Didier Muter from Strasbourg.": "Hello, I'm [name] from Strasbourg.",
    "undertaken by Mr. Andrea Bile.": "undertaken by Mr. [name].",
    "by Drs. Chudzinski and Dr. Sukhandi": "by Drs. [name] and Dr. [name]",
    "by Drs. Smith, Jones and Weber today": "by Drs. [name], Jones and [name] today",
    "Our patient is called Maria Gonzalez.": "Our patient is called [name].",
    "Our patient is called maria": "Our patient is called [name]",
    "This is Ahmed Khabib from New Cross Hospital.": "This is [name] from [place].",
    "Nurse Emily hands over the clip applier.": "Nurse [name] hands over the clip applier.",
    "Die Patientin Frau Müller kam zu Herrn Prof. Dr. Weiß": "Die Patientin Frau [name] kam zu Herrn Prof. Dr. [name]",
    "Señora García and Madame Dupont-Laurent": "Señora [name] and Madame [name]",
    "Buongiorno, mi chiamo Paolo Rossi.": "Buongiorno, mi chiamo [name].",
    "with J. van der Berg, MD": "with [name], MD",
    "operated on 12/03/2019 and on 2019-03-12": "operated on [date] and on [date]",
    "am 12.03.2019 operiert": "am [date] operiert",
    "on March 3rd 2019 and on the third of March": "on [date] and on [date]",
    "diagnosed in October, twenty fourteen": "diagnosed in [date]",
    "in january two thousand and seventeen she": "in [date] she",
    "le 3 mars 2019, el 4 de mayo de 2020, am 3. Dezember": "le [date], el [date], am [date]",
    "between May 5 and the twelfth of may": "between [date] and [date]",
    "her date of birth is one two nineteen sixty": "her date of birth is [date]",
    "MRN: 00482-A, hospital number 7734": "MRN: [record number], hospital number [record number]",
    "medical record number four seven one one": "medical record number [record number]",
    "case 12345678 of SSN 123-45-6789": "case [record number] of SSN [record number]",
    "call my office at nine four nine six four six eight four four four": "call my office at [contact]",
    "Call (555) 123-4567 or +49 89 1234 5678.": "Call [contact] or [contact].",
    "mail jane.doe+x@clinic.example.org or jane.doe at gmail.com": "mail [contact] or [contact]",
    "visit www.texasroboticsurgery.com or clarkgerhart.com.": "visit [contact] or [contact].",
    "see https://example.org/a?b=c and surgery dot com": "see [contact] and [contact]",
    "done at St Mary's Hospital in London": "done at [place]",
    "at st. mary's hospital": "at [place]",
    "from the University of Miami": "from the [place]",
    "At Apollo Hospitals, Chennai": "At [place], Chennai",
    "lives at 12 Baker Street, CA 90210": "lives at [place], [place]",
    "a ninety-three-year-old woman, a 91 year old man": "a [age] woman, a [age] man",
    "patients in their nineties": "patients in their [age]",
}


@pytest.mark.parametrize("text", MASKED)
def test_what_is_found(text):
    assert mask(text) == MASKED[text]


@pytest.mark.parametrize(
    "text",
    [
        "We open Calot's triangle, then Denonvilliers' fascia, the space of Retzius and the pouch of Douglas.",
        "A Veress needle, a Kocher manoeuvre, Rouviere's sulcus, steep Trendelenburg, a Hartmann pouch, Hem-o-lok.",
        "This is Calot's triangle. This is Cooper's ligament and here the Pfannenstiel incision.",
        "a 10-0 nylon, a 5/0 prolene, 3-0 Vicryl, a 5/8 circle needle, 110/70 mmHg, 3 o'clock, 12 to 15 mmHg",
        "a fifty-year-old man with a BMI of 35.6, in 2019, after 90 minutes, ninety percent, at 90 degrees",
        "One, two, three, four, five, six, seven ports. 1 2 3 4 5 6 7",
        "Oh oh oh oh oh oh oh oh",
        "You may go to your doctor. The doctor said so. The professor of surgery agrees. Doctor, please.",
        "We may use two clips; they march 5 mm on; you may 2 times; in may cases",
        "I'm going to dissect. I am Operating. I'm So happy. I'm not sure.",
        "The patient is called in. What goes on inside the patient is called latency.",
        "The patient went to the hospital, to a General Hospital and to the General Surgery Clinic.",
        "MR imaging, MRI, MS, a DR system, the nurse practitioner, Nurse Practitioner",
        "blood loss 1,234,567 cells, 0.123456 mm, version 1.2.3, port 8080, 12/45/2019, 13.14.15",
        "patient number five, case number three, hospital number of beds",
        "",
    ],
)
def test_what_is_none(text):
    assert mask(text) == text


def test_sentences_and_kinds():
    sentences = [
        Said("Welcome.", 0.0),
        Said("This is Dr.", 2.5),
        Said("Craig Rogers operating.", 3.5),
        Said("", 5.0),
        Said("My name is Ann Lee and her MRN is 123456,\nseen in June 2019.", 6.0),
    ]
    assert find_identifiers(sentences) == [
        Identifier("name", "Craig Rogers", 3, 3.5),
        Identifier("name", "Ann Lee", 5, 6.0),
        Identifier("record number", "123456", 5, 6.0),
        Identifier("date", "June 2019", 5, 6.0),
    ]
    assert find_identifiers([]) == []


WORDS = (
    "Dr. dr Ann smith my name is [name] [date] March may 3rd of 12/03/2019 2019 twenty MRN 123456 one two oh @ . , \n "
    "a@b.org University Hospital St Mary's at +49 (555) 123-4567 www.a.com - ' ninety year old I'm and MD dot com É"
)
PIECES = st.sampled_from(WORDS.split(" "))


@given(st.lists(PIECES, max_size=30).map(" ".join) | st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=80))
@example("Dr. Dr. Ann Ann Ann Ann Ann Ann")
@example("on 12 March St Hospital, dr Baker Dr. Baker")  # where one hides another
def test_twice_is_as_once(text):
    once = mask(text)
    assert mask(once) == once
    assert find_identifiers([Said(once.replace("\n", " "))]) == []


@given(st.lists(st.lists(PIECES, max_size=8).map(" ".join), max_size=6))
def test_what_is_found_is_in_its_sentence(texts):
    sentences = [Said(text, float(number)) for number, text in enumerate(texts)]
    for found in find_identifiers(sentences):
        assert found.kind in KINDS and found.text.strip()
        assert found.start == found.sentence - 1
        said = " ".join(" ".join(texts[found.sentence - 1 :]).split())  # one may go on in the next sentence
        assert found.text in said


@pytest.mark.parametrize(
    "piece", ["A", "Aa ", "Dr. ", "1", "one ", "a.", "a@", " ", "A. ", "Hospital ", "+1", "the of "]
)
def test_work_grows_with_the_text(piece):
    """A rule that tries again from each character would take hours here."""
    text = piece * (300_000 // len(piece))
    assert len(re.sub(r"\[[a-z ]+\]", "", mask(text))) <= len(text)
