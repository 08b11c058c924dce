# SPDX-License-Identifier: Apache-2.0
"""Likely identifiers of persons in what was said: names, dates, numbers of records, contacts, places, high ages."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .transcripts import Sentence

Kind = Literal["name", "date", "record number", "contact", "place", "age"]
KINDS: tuple[Kind, ...] = ("name", "date", "record number", "contact", "place", "age")


@dataclass(frozen=True)
class Identifier:
    """
    Args:
        kind: One of [`KINDS`].
        text: As it was said: of a name without its title.
        sentence: Number of the sentence, from 1.
        start: Of the sentence, in seconds.
    """

    kind: Kind
    text: str
    sentence: int
    start: float


def find_identifiers(sentences: Sequence["Sentence"]) -> list[Identifier]:
    """
    Returns the likely identifiers of a transcript, in order: names after a title or an introduction ("Dr", "my name
    is", "the patient is called"; some of German, French, Spanish and Italian), dates with a month, numbers of records,
    long runs of digits, telephone numbers, addresses of mail, sites and streets, named hospitals and universities,
    ages above 89.

    These are rules, and they miss what has no such sign: a name alone ("thank you, Brandon"), of a city, of a
    hospital in lower case, of a person in another script; years and ages up to 89, which HIPAA's Safe Harbor allows;
    and all that only the picture shows. An eponym ("Calot's triangle") is none where no title stands before it.

    Args:
        sentences: Of one video, in order. A title may end one and its name begin the next.
    """
    text = "\n".join(sentence.text.replace("\n", " ") for sentence in sentences)
    ends = list(itertools.accumulate(len(sentence.text) + 1 for sentence in sentences))
    found, number = [], 0
    for kind, start, end in _spans(text):
        while ends[number] <= start:
            number += 1
        words = " ".join(text[start:end].split())
        found.append(Identifier(kind, words, number + 1, sentences[number].start))
    return found


def mask(text: str) -> str:
    """Returns a text with "[name]", "[date]" and so on in place of each likely identifier; twice is as once."""
    while spans := _spans(text):
        pieces, last = [], 0
        for kind, start, end in spans:
            pieces += [text[last:start], f"[{kind}]"]
            last = end
        text = "".join(pieces) + text[last:]
    return text


def _spans(text: str) -> list[tuple[Kind, int, int]]:
    """Returns kind, start and end of identifiers, in order, none in another; of two that overlap the first."""
    found = sorted(_matches(text), key=lambda span: (span[1], -span[2]))
    spans: list[tuple[Kind, int, int]] = []
    for span in found:
        if not spans or span[1] >= spans[-1][2]:
            spans.append(span)
    return spans


def _matches(text: str) -> Iterator[tuple[Kind, int, int]]:
    for kind, pattern in _RULES:
        for match in pattern.finditer(text):
            group = next((name for name in ("found", "digits") if name in pattern.groupindex), 0)
            start, end = match.span(group)
            if kind == "name":
                end = start + len(_name(match[group]))
            elif kind == "place":
                start += _before_place(match[group])
            elif "month" in pattern.groupindex:
                end = end if _is_date(int(match["day"]), int(match["month"])) else start
            elif group == "digits":
                end = end if _is_number(match[group]) else start
            if start < end:
                yield kind, start, end


# No repetition here is unbounded within another, and each rule begins at the edge of a word: work grows with the text.
# All are verbose: a blank is written [ ].
_EDGE = r"(?<![\w'’])"
_UPPER = r"[A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĢĪĮİĶĹĻĽŁŃŅŇŌŐŔŘŚŞŠŢŤŪŮŰŲŹŻŽ]"
_PROPER = rf"(?:Mc|Mac|[DO]['’]|(?:[Aa]l|[Ee]l)-)?{_UPPER}[^\W\d_]{{1,30}}(?:[-'’]{_UPPER}?[^\W\d_]{{2,30}})?"
_FULL = rf"{_PROPER}(?:[ ]{_UPPER}\.)?(?:[ ]{_PROPER}){{1,3}}"  # first and last name
_PARTICLE = r"(?:van|von|der|den|ter|de|del|della|di|da|dos|do|la|le|el|al|bin|ibn|abu|zu)"
_NAME = (
    rf"(?:{_UPPER}\.[ ]?){{0,3}}(?:{_PARTICLE}[ ]){{0,2}}{_PROPER}"
    rf"(?:[ ](?:{_UPPER}\.?[ ]|(?:{_PARTICLE}[ ]){{1,2}})?{_PROPER}){{0,3}}"
)
_LOWER_NAME = r"[^\W\d_]{3,30}(?:[ ][^\W\d_]{3,30})?"
_TITLE = r"(?:(?i:dr|drs|doctors?|prof|professors?)|Mr|Mrs|Ms|Miss)"
_OTHER_TITLE = (
    r"(?:(?i:doctora|docteur|doktor|dottoressa|dottor|dott|dra|profesor|professeur|professore)"
    r"|Herrn?|Frau|Monsieur|Madame|Mme|Señora?|Signora?|Sra?)"
)
_MORE_TITLES = r"(?:(?i:dr|med|prof|professor|doctor|sir)\.?[ ]){0,3}"
_MONTH = r"""(?i:jan(?:uary|uar|vier)|feb(?:ruary|ruar|brero|braio)|f[ée]vrier|märz|mars|marzo|april|avril|abril|aprile
    |mai|mayo|maggio|june|juni|juin|junio|giugno|july|juli|juillet|julio|luglio|august|août|agosto
    |sept(?:ember|embre|iembre)|settembre|october|oktober|octobre|octubre|ottobre|nov(?:ember|embre|iembre)
    |december|dezember|d[ée]cembre|diciembre|dicembre|enero|gennaio)"""
_MARCH_OR_MAY = r"(?i:march|may)"  # which are verbs too
_UNIT = r"(?:one|two|three|four|five|six|seven|eight|nine)"
_TEEN = r"(?:ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen)"
_TENS = r"(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)"
_BELOW_HUNDRED = rf"(?i:{_TENS}(?:[ -]{_UNIT})?|{_TEEN}|{_UNIT})"
_YEAR = rf"""(?i:(?:19|20)\d\d|two[ ]thousand(?:[ ](?:and[ ])?{_BELOW_HUNDRED})?
    |(?:nineteen|twenty)[ -](?:(?:oh|hundred)[ -]?{_UNIT}?|{_TENS}(?:[ -]{_UNIT})?|{_TEEN}))"""
_ORDINAL = r"""(?i:\d{1,2}(?:st|nd|rd|th|er)
    |(?:(?:twenty|thirty)[ -])?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)
    |tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth
    |twentieth|thirtieth)"""
_DAY = rf"(?:{_ORDINAL}|\d{{1,2}}\.?)"
_OF = r"(?i:of[ ]|de[ ]|di[ ])"
_THE = r"(?i:the[ ])"
_DIGIT = r"(?i:zero|oh|double|triple|one|two|three|four|five|six|seven|eight|nine|\d)"
_FACILITY = r"""(?:Hospitals?|Infirmary|(?:Medical|Cancer|Health|Heart)[ ]Cent(?:er|re)|Clinic|University|Institute
    |Klinik(?:um)?|Universitätsklinikum|Krankenhaus|Hôpital|Ospedale|Policlinico|Clínica|Clinique)"""
_SITE = r"(?i:com|org|net|edu|gov|co\.uk|ac\.uk|de|fr|it|es|eu|ch|in)"


def _digits(least: int) -> str:
    return rf"{_DIGIT}(?:[ ,-]{{1,2}}{_DIGIT}){{{least - 1},19}}\b"


_PATTERNS: dict[Kind, tuple[str, ...]] = {
    "name": (
        rf"{_EDGE}(?:{_TITLE}|{_OTHER_TITLE})(?:\.\s?|\s){_MORE_TITLES}(?P<found>{_NAME})",
        rf"{_EDGE}{_TITLE}\.?[ ]{_NAME}(?:,[ ]{_NAME}){{0,3}},?[ ]and[ ](?P<found>{_NAME})",
        rf"{_EDGE}(?:dr|mr|mrs|prof)(?:\.[ ]?|[ ])(?P<found>{_LOWER_NAME})",
        rf"{_EDGE}(?:[Nn]urse|[Ss]ister)[ ](?P<found>{_NAME})",
        rf"""{_EDGE}(?i:my|his|her|patient['’]s|patient|surgeon['’]s|whose)[ ](?i:name(?:[ ]is|[ ]was|['’]s))[ ]
            {_MORE_TITLES}(?P<found>{_NAME})""",
        rf"{_EDGE}my[ ]name(?:[ ]is|['’]s)[ ](?:dr\.?[ ]|doctor[ ])?(?P<found>{_LOWER_NAME})",
        rf"""{_EDGE}(?i:patient|baby|lady|gentleman|man|woman|child|boy|girl|guy)[ ]
            (?i:(?:is[ ]|was[ ])?(?:called|named)|by[ ]the[ ]name[ ]of)[ ](?P<found>{_NAME})""",
        rf"""(?:^|[.?!][ ])(?i:the|our|this|my)[ ](?:patient|baby)[ ](?:is|was)[ ](?:called|named)[ ]
            (?P<found>{_LOWER_NAME})""",
        rf"{_EDGE}[Ii](?:['’]m|[ ]am)[ ](?P<found>{_NAME})",
        rf"""{_EDGE}(?:[Tt]his[ ]is|[Ii]t['’]s)[ ](?P<found>{_FULL})
            (?=,?[ ](?:from|presenting|speaking|here|and[ ]I|consultant|general|surgeon|chief)\b)""",
        rf"""{_EDGE}(?i:performed|presented|narrated|operated|undertaken|recorded|edited|assisted)[ ]by[ ]
            (?P<found>{_FULL})""",
        rf"{_EDGE}(?P<found>{_NAME}),?[ ](?:M\.?D\.?|Ph\.?D\.?|F\.?A\.?C\.?S\.?|FRCS|D\.?O\.)(?!\w)",
        rf"""{_EDGE}(?i:ich[ ]heiße|mein[ ]Name[ ]ist|je[ ]m['’]appelle|me[ ]llamo|mi[ ]chiamo)[ ]
            (?P<found>{_NAME})""",
    ),
    "date": (
        r"(?<![\w.,/-])(?P<day>\d{1,2})(?P<mark>[/.-])(?P<month>\d{1,2})(?P=mark)(?:(?:19|20)\d\d|\d\d)(?![\w/-])",
        r"(?<![\w.,/-])(?:19|20)\d\d(?P<mark>[/.-])(?P<month>\d\d)(?P=mark)(?P<day>\d\d)(?![\w/-])",
        rf"""{_EDGE}(?:{_THE}?{_DAY}[ ]{_OF}?)?{_MONTH}\.?,?[ ](?:{_THE}|{_OF})?
            (?:{_YEAR}|{_DAY}(?:,?[ ]{_YEAR})?|{_BELOW_HUNDRED}(?:,?[ ]{_YEAR})?)\b""",
        rf"{_EDGE}{_THE}?{_DAY}[ ]{_OF}?{_MONTH}\b",
        rf"{_EDGE}{_MARCH_OR_MAY},?[ ]{_THE}?(?:{_YEAR}|{_ORDINAL}(?:,?[ ]{_YEAR})?)\b",
        rf"{_EDGE}(?:March|May)[ ]\d{{1,2}}(?:,?[ ]{_YEAR})?\b(?![.,]?[%\d])",
        rf"{_EDGE}{_THE}?{_ORDINAL}[ ]{_OF}?{_MARCH_OR_MAY}(?:,?[ ]{_YEAR})?\b",
        rf"{_EDGE}\d{{1,2}}\.?[ ]{_OF}?(?:March|May)(?:,?[ ]{_YEAR})?\b",
        rf"{_EDGE}(?:January|February|April|June|July|August|September|October|November|December)\b",
        rf"{_EDGE}(?i:in|since|until|last|this|of|from)[ ](?P<found>March|May)\b",
        rf"""{_EDGE}(?i:date[ ]of[ ]birth|d\.?o\.?b\.?|birthday)[ ]?(?i:is[ ]|was[ ]|:[ ]?)?
            (?P<found>(?:{_BELOW_HUNDRED}|{_YEAR}|\d{{1,4}})
            (?:[ ,/.-]{{1,2}}(?:{_BELOW_HUNDRED}|{_YEAR}|\d{{1,4}})){{0,5}})""",
    ),
    "contact": (
        r"""(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,5}\)[ ]?|\d{3}[ .-])\d{3}[ .-]?\d{4}(?![\w-])
            |(?<![\w.])\+\d{1,3}(?:[ .-]?\d{2,4}){2,5}(?![\w-])""",
        rf"""{_EDGE}(?i:call|office|phone|telephone|contact|number|fax|dial)
            (?i:[ ](?:us|me|at|is|on|for|number|consultation|or|please)){{0,3}},?[ ](?P<digits>{_digits(6)})""",
        r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}",
        r"(?<![\w.+-])[\w.+-]{1,64}[ ](?i:at[ ])?(?i:gmail|hotmail|yahoo|outlook)\.com\b",
        r"(?<!\w)(?i:https?)://[^\s<>\"\]]{1,300}",
        rf"(?<![\w.@-])(?i:www\.)?(?:[\w-]{{1,63}}\.){{1,4}}{_SITE}(?![\w-])(?:/[^\s<>\"\]]{{0,200}})?",
        rf"{_EDGE}[\w-]{{2,40}}(?:[ ]at[ ][\w-]{{2,40}})?[ ]dot[ ](?i:com|org|net|edu)\b",
    ),
    "record number": (
        rf"""{_EDGE}(?i:mrn|(?:medical|hospital|patient|health)[ ](?:record[ ])?(?:number|id|no\.?)|record[ ]number
            |chart[ ]number|accession[ ]number|nhs[ ]number|social[ ]security(?:[ ]number)?|ssn|fallnummer
            |patientennummer|numéro[ ]de[ ]dossier|historia[ ]clínica)[ ]?(?i:is[ ]|was[ ]|[:#][ ]?|number[ ]){{0,2}}
            (?P<found>(?=[A-Za-z-]{{0,9}}\d)[\w/-]{{3,30}}|{_digits(4)})""",
        r"(?<![\w.,])\d{3}-\d{2}-\d{4}(?![\w-])",
        r"(?<![\w.,])[A-Z]{0,3}\d{6,30}(?!\w|[.,]\d)",
        rf"{_EDGE}(?P<digits>{_digits(6)})",
    ),
    "place": (
        rf"""{_EDGE}(?:(?:St\.?|{_PROPER}(?:['’]s)?)[ ](?:(?:of|and|de)[ ])?){{1,5}}{_FACILITY}
            (?:[ ](?:of|in|at)[ ]{_NAME})?\b""",
        rf"{_EDGE}{_FACILITY}[ ](?:of|de|di|du|von|[Ss]t\.?)?[ ]?(?:the[ ])?{_NAME}",
        rf"{_EDGE}st\.?[ ][^\W\d_]{{2,30}}(?:['’]?s)?[ ]hospital\b",
        rf"""{_EDGE}\d{{1,5}}[ ](?:{_PROPER}[ ]){{1,3}}
            (?:Street|Avenue|Road|Lane|Boulevard|Drive|Square|Ave|Rd|Blvd)\b""",
        rf"{_EDGE}(?:{_PROPER})?(?:straße|strasse)[ ]\d{{1,4}}\b",
        rf"{_EDGE}[A-Z]{{2}}[ ]\d{{5}}(?:-\d{{4}})?(?!\w)",
    ),
    "age": (
        rf"""{_EDGE}(?i:9\d|1[0-2]\d|ninety(?:[ -]{_UNIT})?|(?:a|one)[ -]hundred(?:[ -](?:and[ -])?{_BELOW_HUNDRED})?)
            [ -]?(?i:years?)[ -]?(?i:old|of[ ]age)\b""",
        rf"{_EDGE}(?i:aged|age[ ]of)[ ](?P<found>9\d|1[0-2]\d|(?i:ninety)(?:[ -]{_UNIT})?)\b",
        rf"{_EDGE}(?i:his|her|their)[ ](?i:late[ ]|early[ ]|mid[ -])?(?P<found>nineties|90s)\b",
    ),
}
_RULES = [(kind, re.compile(pattern, re.VERBOSE)) for kind, patterns in _PATTERNS.items() for pattern in patterns]

# What follows a title or an introduction and is no name.
_COMMON_WORDS = """
a about after again agree agrees all also am an and another any are as asked asks at back be because been before both
but by called can case certainly come could did do does doing done dr drs during each end even every everyone
excellent exactly first for from get give go going good great had has have he hello her here herself hey hi his how
however i if in instead into is it its just know let like look made make many maybe me mentioned might more most mr
mrs ms much must my myself never new next nice no not now of off okay ok on once one only operating or other our out
over patient perfect please presenting prof professor really right said same saw say says see she should show showed
showing shows since sir so some somebody someone something still sure take talk talking tell than thank thanks that
the their them then there these they thing think this those through time to today told too try two under until up us
use used uses using very view wait want wants was watch we well went were what when where whether which while who why
will with without would wow yeah yes you your yourself doctor doctors surgeon surgeons nurse nurses practitioner
anesthetist anaesthetist assistant technician team staff patients operator operators reviews office visit general
medical surgical robotic laparoscopic scrub circulating chairman chairpersons president director emeritus ladies
gentlemen colleagues friends morning afternoon evening imaging enterography scan cholangiography angiography
elastography conditional images findings urography professors chair senior junior resident fellow consultant
attending locked gonna kind
"""
_COMMON = frozenset(_COMMON_WORDS.split())
# Before the name of a place, and what names none.
_PREPOSITION_WORDS = "a an the this that our my your his her their at in from of and to for with by so now i we"
_PREPOSITIONS = frozenset(_PREPOSITION_WORDS.split())
_GENERIC_WORDS = """
hospital hospitals hospital's clinic university university's institute medical center centre general surgery surgical
district regional national public private local teaching academic community outside cancer health heart research school
department division here tertiary referral county state children's college
"""
_GENERIC = frozenset(_GENERIC_WORDS.split())
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _name(words: str) -> str:
    """Returns the beginning of what may be a name, up to the first common word."""
    end = 0
    for match in re.finditer(r"[^\s]+", words):
        if match[0].strip(".,'’").casefold() in _COMMON:
            break
        end = match.end()
    return words[:end].rstrip() if re.search(r"[^\W\d_]{2}", words[:end]) else ""


def _before_place(words: str) -> int:
    """Returns where a named place begins, after "At the"; the end where it has no name, as "General Hospital"."""
    start = None
    for match in re.finditer(r"\S+", words):
        word = match[0].casefold().strip(".,")
        if start is None and word not in _PREPOSITIONS:
            start = match.start()
        if word not in _GENERIC and word not in _PREPOSITIONS:
            return start or 0
    return len(words)


def _is_date(day: int, month: int) -> bool:
    return 1 <= min(day, month) <= 12 and max(day, month) <= 31  # Americans write the month first


def _is_number(words: str) -> bool:
    """Whether digits that were said make a number, rather than count (one, two, three) or sing (oh, oh, oh)."""
    said = re.findall(r"\w+", words.casefold())
    values = [int(word) if word.isdigit() else _DIGITS.index(word) if word in _DIGITS else None for word in said]
    counted = sum(a is not None and b is not None and b - a == 1 for a, b in itertools.pairwise(values))
    return len(set(said)) > 2 and counted <= (len(said) - 1) / 2
