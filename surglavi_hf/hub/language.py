# SPDX-License-Identifier: Apache-2.0
"""
Whether a text can be language, of whatever people speak, or is bytes in the clothes of one.

Of two random letters side by side four in ten are a pair that hardly any language has; in words of a language digits
are rare, and capitals but at the beginning. So encoded bytes are told from texts in any language, whatever letters,
digits or signs they are in, and however they are cut into words. Bytes that are written as words of a list use all of
them equally often, where a language repeats a few.
"""

import string
import unicodedata
from collections.abc import Iterable

import numpy as np

from ..files import printable

# A text is looked at in pieces of so many characters that are no white space; short texts are put together. In pieces
# of 60 (400) characters the share of neighbours within words that languages seldom have is at most 0.25 (0.07) in
# 173,414 real captions, 0.24 (0.09) in real titles, 0.29 (0.17) in texts of 98 languages (Django's translations); in
# base64 it is 0.7, in hexadecimal 0.9, in random small letters 0.41.
PIECE, MAX_ODD = 60, 0.35
LONG_PIECE, MAX_ODD_LONG = 400, 0.22
MAX_SINGLE = 0.7  # share of words of one letter or digit: of real captions at most 0.38
# Words of 4 characters and more, of 1,000: those of such a share are at most 12 in real captions and titles, 13 in the
# translations; long ones at most 3.
WORDS = 1000
WORD, ODD_WORD, MAX_ODD_WORDS = 4, 0.6, 40
LONG_WORD, ODD_LONG_WORD, MAX_ODD_LONG_WORDS = 12, 0.4, 10
# Share of the ten commonest of 1,000 words: at least 0.19 in real captions, 0.13 in the translations; 0.09 where
# 256 words are equally common.
MIN_REPEATED = 0.11

# What may follow each letter seldom: in no more than four of 50 languages (of Django's translations, accents left out)
# in one of 2,000 pairs.
_SELDOM = {
    **{"a": "e", "b": "cdfghkmpqtvwxz", "c": "bdfgjmpqsvwxz", "d": "bcfgkpqwx", "f": "bcdghjkmnpqsvwxyz"},
    **{"g": "bcdfjkmpqvwxz", "h": "bcdfghjmpqsvwxz", "j": "bcdfghjknpqrvwxyz", "k": "bdfghjmpqwxz"},
    **{"l": "bcfhpqrwxz", "m": "cdfghkqrvwxyz", "n": "bpqwx", "o": "qx", "p": "bdfghjkmqwxz"},
    **{"q": "abcdefghijklmnopqrstvwxyz", "r": "px", "s": "dfgjqxz", "t": "bcdfgjqxz", "u": "fqx"},
    **{"v": "bcdfghjkmpqtvwxz", "w": "bcdfghjklmnpqrtuvwxz", "x": "bcdfghjklmnopqrstuvwxyz", "y": "hjquvwx"},
    "z": "fhjpqrstwxyz",
}
_SPACE, _SMALL, _CAPITAL, _LETTER, _SIGN, _HIDDEN = " ", "\x01", "\x02", "\x03", "\x04", "\x05"
_BLOCK = 1_000_000  # characters looked at at a time
_SHOWN = 40
_NO_LANGUAGE = "is no language, it looks like encoded bytes; take it out"
_OPENING, _CLOSING = "('\"-/&#@[+.,:_=", ".,;:!?)'\"-/%&]+_="


def _odd_pairs() -> np.ndarray:
    """Returns which neighbours languages seldom have, of shape `(128, 128)`, by ASCII and the signs above."""
    odd = np.zeros((128, 128), bool)

    def put(before: Iterable[str], after: Iterable[str], value: bool) -> None:
        odd[np.ix_([ord(c) for c in before], [ord(c) for c in after])] = value

    small, capital, digits = string.ascii_lowercase, string.ascii_uppercase, string.digits
    others, signs = _SMALL + _CAPITAL + _LETTER, string.punctuation + _SIGN + _HIDDEN
    every = small + capital + digits + others + signs
    put(signs, every, True)
    put(every, signs, True)
    put(_OPENING, small + capital + digits + others, False)
    put(small + capital + digits + others, _CLOSING, False)
    put(_CLOSING, _CLOSING + _OPENING, False)
    for sign in string.punctuation:  # as in "..."
        put(sign, sign, False)
    put(small, capital, True)
    put(digits, small + capital + digits, True)
    put(small + capital, digits, True)
    put(small + capital + digits, _SMALL + _CAPITAL, True)
    put(_SMALL + _CAPITAL, small + capital + digits, True)
    put(_SMALL, _CAPITAL, True)
    for letter, following in _SELDOM.items():
        put(letter, following, True)
        put(letter.upper(), following + following.upper(), True)
    put("\t\n\v\f\r" + _SPACE, map(chr, range(128)), False)
    put(map(chr, range(128)), "\t\n\v\f\r" + _SPACE, False)
    return odd


class _Plain(dict):
    """By code point, what stands for a character: itself in ASCII, its letter without accents, or its kind."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        letters = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
        if character.isspace() or kind[0] == "Z":
            plain = _SPACE
        elif kind in ("Cc", "Cf") or "VARIATION SELECTOR" in unicodedata.name(character, ""):
            plain = _HIDDEN
        elif letters and letters.isascii():
            plain = letters
        elif kind in ("Ll", "Lu", "Lt") and not unicodedata.name(character).startswith("LATIN"):
            plain = _SMALL if kind == "Ll" else _CAPITAL
        elif kind[0] in "LM":
            plain = _LETTER
        else:
            plain = {"N": "0", "P": "."}.get(kind[0], _SIGN)
        self[code] = plain
        return plain


_ODD = _odd_pairs().ravel()
_PLAIN = _Plain()
_IS_SPACE = np.array([chr(code).isspace() for code in range(128)])
_IS_SINGLE = np.array([chr(code).isalnum() or chr(code) in _SMALL + _CAPITAL + _SIGN + _HIDDEN for code in range(128)])
# By code: of letters numbers of their own, of what stands for others -1.
_VALUES = np.zeros(128, np.int64)
_VALUES[[ord(sign) for sign in _SMALL + _CAPITAL + _LETTER + _SIGN + _HIDDEN]] = -1
for _letters in (string.ascii_lowercase, string.ascii_uppercase):
    _VALUES[[ord(letter) for letter in _letters]] = np.random.default_rng(0).integers(1, 1 << 16, 26)
_FACTORS = np.random.default_rng(1).integers(1, 1 << 16, 32)


class LanguageTest:
    """
    Tells texts from bytes that are written as text. All texts of a column are one stream, so that what is spread over
    many short texts is seen, too; a text that comes again is not looked at again.

    Args:
        what: Of which the texts are, for messages.
        repeats: Whether words come again, as they do in sentences.
    """

    def __init__(self, what: str, repeats: bool = True):
        self.what, self.repeats = what, repeats
        self._seen: set[int] = set()
        self._waiting: list[str] = []
        self._size = 0
        self._letters = ""

    def add(self, texts: Iterable[str]) -> None:
        """Looks at more texts, some of them not before `finish`. Raises ValueError where they are no language."""
        for text in texts:
            if (key := hash(text)) not in self._seen:
                self._seen.add(key)
                self._waiting.append(text)
                self._size += len(text)
                if self._size > _BLOCK:
                    self.finish()

    def finish(self) -> None:
        """Looks at what waits. Raises ValueError where it is no language."""
        texts, self._waiting, self._size = self._waiting, [], 0
        self._check_letters("".join(text for text in texts if not text.isascii()))
        words = _Words("\n".join(text if text.isascii() else text.translate(_PLAIN) for text in texts))
        if words.number:
            self._check_pieces(words)
            self._check_words(words)
            if self.repeats:
                self._check_repeats(words)

    def _check_pieces(self, words: "_Words") -> None:
        for size, limit in ((PIECE, MAX_ODD), (LONG_PIECE, MAX_ODD_LONG)):
            place = (np.cumsum(words.length) - words.length) // size
            odd, pairs, number, single, length = (
                np.bincount(place, values)
                for values in (words.odd, words.length - 1, None, words.single, words.length)
            )
            bad = ((pairs >= size / 4) & (odd > limit * pairs)) | (
                (number >= size / 3) & (single > MAX_SINGLE * number)
            )
            bad &= length >= 0.75 * size  # not the rest at the end
            if bad.any():
                self._refuse(words, place == bad.argmax())

    def _check_words(self, words: "_Words") -> None:
        """Encoded words between others."""
        chosen = np.flatnonzero(words.length >= WORD)
        odd, length = words.odd[chosen], words.length[chosen]
        place = np.arange(len(chosen)) // WORDS
        for is_odd, limit in (
            (odd >= ODD_WORD * (length - 1), MAX_ODD_WORDS),
            ((odd >= ODD_LONG_WORD * (length - 1)) & (length >= LONG_WORD), MAX_ODD_LONG_WORDS),
        ):
            for full in np.flatnonzero(np.bincount(place, is_odd) > limit):
                some = chosen[is_odd & (place == full)]
                if len({words.text(number) for number in some}) > limit:  # abbreviations come again
                    self._refuse(words, some)

    def _check_repeats(self, words: "_Words") -> None:
        """Words of a list, one for each value of a byte."""
        chosen = np.flatnonzero(words.letters)
        for start in range(0, len(chosen) - WORDS + 1, WORDS):
            some = chosen[start : start + WORDS]
            if _commonest(words.letters[some]) < MIN_REPEATED * WORDS:
                self._refuse(words, some)

    def _check_letters(self, text: str) -> None:
        """Letters of a script that has thousands, one for each value."""
        self._letters += "".join(character for character in text if _PLAIN[ord(character)] == _LETTER)
        whole = len(self._letters) // WORDS * WORDS
        for start in range(0, whole, WORDS):
            some = self._letters[start : start + WORDS]
            if _commonest(np.frombuffer(some.encode("utf-32-le"), np.uint32)) < MIN_REPEATED * WORDS:
                raise ValueError(f"{self.what}: {some[:_SHOWN]!r} {_NO_LANGUAGE}")
        self._letters = self._letters[whole:]

    def _refuse(self, words: "_Words", which: np.ndarray) -> None:
        shown = " ".join(words.text(place) for place in np.arange(words.number)[which][:_SHOWN])[:_SHOWN]
        raise ValueError(f"{self.what}: {printable(shown)!r} {_NO_LANGUAGE}")


class _Words:
    """
    The words of a stream, which is ASCII; `(number,)` each.

    Args:
        stream: Of characters below 128.
    """

    def __init__(self, stream: str):
        self._bytes = np.frombuffer(f"{stream} ".encode("ascii"), np.uint8)
        is_word = ~_IS_SPACE[self._bytes]
        edges = np.flatnonzero(np.diff(is_word, prepend=False))
        self.start, end = edges[::2], edges[1::2]
        self.length = end - self.start
        self.number = len(self.start)
        if not self.number:
            return
        odd = _ODD[self._bytes[:-1].astype(np.uint16) * 128 + self._bytes[1:]]
        self.odd = np.add.reduceat(odd, self.start, dtype=np.int64)
        self.single = (self.length == 1) & _IS_SINGLE[self._bytes[self.start]]
        self.letters = self._letters()

    def text(self, place: int) -> str:
        """Returns a word."""
        start = self.start[place]
        return self._bytes[start : start + self.length[place]].tobytes().decode("ascii")

    def _letters(self) -> np.ndarray:
        """Returns a number for each word, by its letters; 0 where it has none, or such that stand for others."""
        word = np.repeat(np.arange(self.number), np.diff(self.start, append=len(self._bytes)))
        values = _VALUES[self._bytes[self.start[0] :]]
        letters = np.flatnonzero(values > 0)
        of_word = word[letters]
        counts = np.bincount(of_word, minlength=self.number)
        place = np.arange(len(letters)) - (np.cumsum(counts) - counts)[of_word]
        sums = np.bincount(of_word, values[letters] * _FACTORS[place % len(_FACTORS)], self.number)
        others = np.bincount(word, values < 0, self.number)
        return np.where((counts > 0) & (others == 0), 1 + sums, 0).astype(np.int64)


def _commonest(values: np.ndarray) -> int:
    """Returns how many of some values are one of the ten commonest."""
    return int(np.sort(np.unique(values, return_counts=True)[1])[-10:].sum())
