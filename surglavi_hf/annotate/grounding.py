# SPDX-License-Identifier: Apache-2.0
"""Names in a caption that nothing it was made of has: what a language model may have added."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..named_values import read_named_values

_NUMBER = r"\d{1,9}(?:,\d{3})*(?:\.\d{1,9})?"
_WORD = re.compile(rf"{_NUMBER}(?:-{_NUMBER})?|[^\W\d_]+(?:['’][^\W\d_]+)*[\d₂]?|%|[.!?;:,()]")
_TITLES = ("Dr", "Mr", "Mrs", "Ms", "Prof", "St")  # whose full stop ends no sentence
_ENDS = ".!?;:"  # of a sentence or a part of it that may begin with a capital
_NEAR = 8  # words; within so many "cystic duct and artery" says cystic artery
_SHORTEST_JOINED = 6  # letters; as "liga sure" and "ligasure"
_SHORTEST_MISHEARD = 5
_SUFFIXES = ("ization", "isation", "ations", "ation", "izing", "ising", "ized", "ised", "izes", "ises", "ize", "ise")
_SUFFIXES += ("ating", "ated", "ates", "ate", "ions", "ion", "ings", "ing", "ies", "ied", "ed", "es", "s", "e", "y")
_SHORTEST_STEM = 3
# Whose stem would be that of another word: port, lesion, vagus, bile, Cooper, vas, sever, bone, bleed, burr, retract.
_OTHER_WORDS = frozenset(
    {"portion", "portions", "less", "vague", "bill", "bury", "buried", "cooperation", "vase", "severe", "bon", "bleed"}
)


@dataclass(frozen=True)
class _Token:
    text: str  # as written
    stem: str  # what forms and spellings of a word have in common
    start: int  # in the text
    end: int


@dataclass(frozen=True)
class _Terms:
    things: dict[tuple[str, ...], frozenset[int]]  # which a name stands for, by its stems
    looked_for: frozenset[tuple[str, ...]]  # in captions
    lengths: dict[str, int]  # words of the longest name that begins with a stem
    implied: dict[int, frozenset[int]]


def ungrounded(caption: str, sources: Sequence[str]) -> list[str]:
    """
    Returns the names in a caption that no source has, as the caption writes them, each once, in order: instruments,
    anatomy, materials, manoeuvres and pathologies of the list `terms.yaml`, numbers, and capitalised names within a
    sentence. Other forms, spellings and synonyms of a word count as said, as do numbers in words, names whose words
    are near each other ("the cystic duct and artery") and what a recogniser nearly wrote. It marks what to look at:
    a name that follows from surgery though nobody said it is marked as one that was made up.

    Args:
        caption: Made by a language model.
        sources: All that it was made of: title, procedure, sentences of the narration.
    """
    terms = _terms()
    said = _Said([_read(source) for source in sources], terms)
    words = _tokens(caption)
    found: list[tuple[int, str]] = []
    covered: set[int] = set()
    for first, last, things in _names(words, terms, in_caption=True):
        covered |= set(range(first, last))
        if not said.has_name(words[first:last], things):
            found.append((first, caption[words[first].start : words[last - 1].end]))
    for first, last, value, unit in _numbers(words):
        if not said.has_number(value, unit):
            found.append((first, caption[words[first].start : words[last - 1].end]))
        covered |= set(range(first, last))
    for place, word in enumerate(words):
        if place not in covered and _is_capitalised(words, place) and not said.has_word(word):
            found.append((place, word.text))
    return list(dict.fromkeys(text for _, text in sorted(found)))


class _Said:
    """What sources say."""

    def __init__(self, sources: Sequence["_Source"], terms: _Terms):
        self._terms = terms
        self._joined = " ".join(source.joined for source in sources)
        self._stems: dict[str, list[int]] = {}  # and their places
        self._things: dict[int, list[int]] = {}
        self._known: set[str] = set()  # stems of names of the list: none of them is another one misheard
        self._values: dict[float | str, set[str | None]] = {}
        offset = 0
        for source in sources:
            for place, stem in enumerate(source.stems, start=offset):
                self._stems.setdefault(stem, []).append(place)
            for first, last, things in source.names:
                for thing in things:
                    self._things.setdefault(thing, []).append(offset + first)
                self._known.update(source.stems[first:last])
            for value, unit in source.values:
                self._values.setdefault(value, set()).add(unit)
            offset += len(source.stems) + _NEAR  # two sources are not near each other
        waiting = list(self._things)
        while waiting:
            thing = waiting.pop()
            for implied in terms.implied.get(thing, ()):
                if implied not in self._things:
                    self._things[implied] = self._things[thing]
                    waiting.append(implied)

    def has_name(self, words: Sequence[_Token], things: frozenset[int]) -> bool:
        if not things.isdisjoint(self._things) or self._is_joined("".join(word.text for word in words)):
            return True
        near, *others = [self._places(word) for word in words]
        for places in others:
            places = sorted(places)
            near = [place for place in near if _has_between(places, place - _NEAR, place + _NEAR)]
        return bool(near)

    def has_number(self, value: float | str, unit: str | None) -> bool:
        units = self._values.get(value)
        return units is not None and (unit is None or unit in units or None in units)

    def has_word(self, word: _Token) -> bool:
        return bool(self._places(word)) or self._is_joined(word.text)

    def _places(self, word: _Token) -> list[int]:
        """Returns where a word is said, a synonym of it, or else what a recogniser may have made of it."""
        things = self._terms.things.get((word.stem,), frozenset())
        found = [place for thing in things for place in self._things.get(thing, ())]
        return found + self._stems.get(word.stem, []) or self._misheard(word.stem)

    def _misheard(self, stem: str) -> list[int]:
        if len(stem) < _SHORTEST_MISHEARD:
            return []
        allowed = 1 if len(stem) < 8 else 2
        return [
            place
            for other, places in self._stems.items()
            if other[0] == stem[0] and abs(len(other) - len(stem)) <= allowed and other not in self._known
            if _is_close(stem, other, allowed)
            for place in places
        ]

    def _is_joined(self, text: str) -> bool:
        return len(text) >= _SHORTEST_JOINED and text.casefold() in self._joined


@dataclass(frozen=True)
class _Source:
    """What one text says: its words, the names that begin and end at some of them, and numbers with their units."""

    joined: str
    stems: tuple[str, ...]
    names: tuple[tuple[int, int, frozenset[int]], ...]
    values: tuple[tuple[float | str, str | None], ...]


@lru_cache(maxsize=1 << 12)  # sentences are sources of several captions
def _read(text: str) -> _Source:
    words = _tokens(text)
    return _Source(
        "".join(word.text.casefold() for word in words),
        tuple(word.stem for word in words),
        tuple(_names(words, _terms())),
        tuple((value, unit) for _, _, value, unit in _numbers(words)),
    )


def _tokens(text: str) -> tuple[_Token, ...]:
    return tuple(_Token(match[0], _stem(match[0]), match.start(), match.end()) for match in _WORD.finditer(text))


@lru_cache(maxsize=1 << 15)
def _stem(word: str) -> str:
    word = re.sub(r"['’]s?$", "", word.casefold())
    word = word.replace("ae", "e").replace("oe", "e").replace("umour", "umor").replace("₂", "2")
    if word in _OTHER_WORDS:
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM and not word.endswith("ss"):
            word = word.removesuffix(suffix)
            break
    return word[:-1] if len(word) > _SHORTEST_STEM and word[-1] == word[-2] else word  # clipped, clip


@lru_cache(maxsize=1)
def _terms() -> _Terms:
    content = read_named_values(Path(__file__).with_name("terms.yaml"))
    implied_by = content.pop("implied")
    things: dict[tuple[str, ...], set[int]] = {}
    looked_for = set()
    for number, names in enumerate(names for group in content.values() for names in group):
        for name in names:
            key = _key(name.removeprefix("~"))
            things.setdefault(key, set()).add(number)
            if not name.startswith("~"):
                looked_for.add(key)
    implied: dict[int, set[int]] = {}
    for name, others in implied_by.items():
        for thing in things.get(_key(name), ()):
            implied.setdefault(thing, set()).update(*(things.get(_key(other), ()) for other in others))
    lengths: dict[str, int] = {}
    for key in things:
        lengths[key[0]] = max(lengths.get(key[0], 0), len(key))
    return _Terms(
        {key: frozenset(numbers) for key, numbers in things.items()},
        frozenset(looked_for),
        lengths,
        {thing: frozenset(others) for thing, others in implied.items()},
    )


def _key(name: str) -> tuple[str, ...]:
    return tuple(token.stem for token in _tokens(name))


def _names(
    words: Sequence[_Token], terms: _Terms, in_caption: bool = False
) -> Iterator[tuple[int, int, frozenset[int]]]:
    """
    Yields first word, end and things of the names in a text; of a caption those to be looked for, the longest from
    each place.
    """
    place = 0
    while place < len(words):
        step = 1
        for length in range(min(terms.lengths.get(words[place].stem, 0), len(words) - place), 0, -1):
            key = tuple(word.stem for word in words[place : place + length])
            if (things := terms.things.get(key)) and not (in_caption and key not in terms.looked_for):
                yield place, place + length, things
                if in_caption:
                    step = length
                    break
        place += step


_UNITS: dict[str, str] = {
    stem: unit
    for unit, words in {
        "mm": "mm millimeter millimetre",
        "cm": "cm centimeter centimetre",
        "m": "meter metre",
        "ml": "ml milliliter millilitre cc",
        "l": "liter litre",
        "degrees": "degree",
        "%": "% percent",
        "french": "french fr",
        "mmhg": "mmhg",
        "minutes": "minute min",
        "seconds": "second sec",
        "hours": "hour",
        "watts": "watt",
        "g": "gram g",
        "kg": "kilogram kg kilo",
    }.items()
    for stem in map(_stem, words.split())
}
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: value for value, word in enumerate(_ONES.split())}
_SMALL |= {word: 10 * tens for tens, word in enumerate(_TENS.split(), start=2)}
_FACTORS = {"hundred": 100, "thousand": 1000}
_SIZE = re.compile(r"\d{1,2}-0")  # of a suture
_ZEROS = ("zero", "oh", "o")


def _numbers(words: Sequence[_Token]) -> Iterator[tuple[int, int, float | str, str | None]]:
    """
    Yields first word, end, value and unit of the numbers in a text; of sutures the size as text, such as "3-0". "One"
    without a unit is none.
    """
    said = [word.text.casefold() for word in words]
    place = 0
    while place < len(words):
        first = place
        values, place = _number_at(said, place)
        if not values:
            place += 1
            continue
        unit = _UNITS.get(words[place].stem) if place < len(words) else None
        place += unit is not None
        if unit == "mm" and said[place : place + 2] == ["of", "mercury"]:
            unit, place = "mmhg", place + 2
        if said[first] != "one" or values != [1] or unit is not None:
            for value in values:
                yield first, place, value, unit


def _number_at(said: Sequence[str], place: int) -> tuple[list[float | str], int]:
    """Returns the value of the number that begins at a place, two of a range, and the place after it."""
    text = said[place]
    if _SIZE.fullmatch(text):
        return [text], place + 1
    if text[0].isdecimal():
        return [float(part.replace(",", "")) for part in text.split("-")], place + 1
    if text not in _SMALL:
        return [], place
    if 0 < _SMALL[text] < 13 and place + 1 < len(said) and said[place + 1] in _ZEROS:
        return [f"{_SMALL[text]}-0"], place + 2
    total, place = _below_hundred(said, place)
    for word, factor in _FACTORS.items():
        if place < len(said) and said[place] == word:
            total, place = total * factor, place + 1
            more = place + (said[place : place + 1] == ["and"])
            if said[more : more + 1] and said[more] in _SMALL:
                rest, place = _below_hundred(said, more)
                total += rest
    digits = ""
    if said[place : place + 1] == ["point"]:
        end = place + 1
        while end < len(said) and _SMALL.get(said[end], 10) < 10:
            digits, end = f"{digits}{_SMALL[said[end]]}", end + 1
        place = end if digits else place
    return [float(f"{total}.{digits or 0}")], place


def _below_hundred(said: Sequence[str], place: int) -> tuple[int, int]:
    value = _SMALL[said[place]]
    if value >= 20 and place + 1 < len(said) and 0 < _SMALL.get(said[place + 1], 0) < 10:
        return value + _SMALL[said[place + 1]], place + 2
    return value, place + 1


def _is_capitalised(words: Sequence[_Token], place: int) -> bool:
    text = words[place].text
    if len(text) < 2 or not text[0].isupper() or not text[-1].isalpha():
        return False
    if not text[1:].islower():
        return True
    is_first = place == 0 or words[place - 1].text in _ENDS
    return not is_first or (place > 1 and words[place - 2].text in _TITLES)


def _has_between(places: Sequence[int], low: int, high: int) -> bool:
    at = bisect_left(places, low)
    return at < len(places) and places[at] <= high


def _is_close(a: str, b: str, allowed: int) -> bool:
    """Whether at most so many letters are to be changed, added or left out to make one of the other."""
    row: Iterable[int] = range(len(b) + 1)
    for number, letter in enumerate(a, start=1):
        before, row = list(row), [number]
        for place, other in enumerate(b):
            row.append(min(before[place + 1] + 1, row[place] + 1, before[place] + (letter != other)))
        if min(row) > allowed:
            return False
    return list(row)[-1] <= allowed
