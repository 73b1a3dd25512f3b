"""English number words to values: cardinals, ordinals, decimals and strings of digits.

The grammar is closed: it takes the longest number that starts at a word, or nothing. Sequences that are not
one number stay apart ("forty and five", "one hundred one hundred").

>>> cardinal("two hundred and six people".split(), 0)
Number(text='206', end=4, ordinal=False, scale='', bare=False)
>>> ordinal("the twenty first".split(), 1).text
'21'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

UNITS = {w: n for n, w in enumerate("one two three four five six seven eight nine".split(), 1)}
TEENS = {
    w: n
    for n, w in enumerate("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(), 10)
}
TENS = {w: 10 * n for n, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "quadrillion": 10**15}
ZEROS = frozenset({"zero", "oh", "o"})

_ORDINALS = {
    "first": "one",
    "second": "two",
    "third": "three",
    "fifth": "five",
    "eighth": "eight",
    "ninth": "nine",
    "twelfth": "twelve",
} | {
    w.removesuffix("y") + ("ieth" if w.endswith("y") else "th"): w
    for w in (*UNITS, *TEENS, *TENS, "hundred", *SCALES)
    if w not in ("one", "two", "three", "five", "eight", "nine", "twelve")
}
LARGE = frozenset({"hundred", *SCALES})
_SMALL = frozenset({*UNITS, *TEENS, *TENS})
_DIGITS = frozenset({*UNITS, *ZEROS})
REPEATS = {"double": 2, "triple": 3}


@dataclass(frozen=True, slots=True)
class Number:
    """A number found in a list of words.

    `text` is its digits ("206", "0.5", "007"); `end` the index after its last word; `scale` a word that is
    still to be written after it ("2.5", "million"); `bare` says that it was only "a hundred" or the like.
    """

    text: str
    end: int
    ordinal: bool = False
    scale: str = ""
    bare: bool = False

    @property
    def value(self) -> float:
        """Its value, the scale included."""
        return float(self.text) * SCALES.get(self.scale, 1)


def cardinal(words: Sequence[str], start: int) -> Number | None:
    """The longest whole number at `start`: "a hundred and five", "two thousand six", "zero"."""
    if words[start : start + 1] == ["zero"]:
        return Number("0", start + 1)
    total, limit, at = 0, 10**18, start
    while part := _group(words, at, start):
        value, end = part
        scale = SCALES.get(_at(words, end), 1)
        if scale >= limit or (total and scale == 1 and value >= limit):
            break
        total += value * scale
        at, limit = (end + 1 if scale > 1 else end), scale
        if scale == 1:
            break
        if _at(words, at) == "and":
            tail = _below_hundred(words, at + 1)
            if tail and _at(words, tail[1]) not in LARGE:
                total, at = total + tail[0], tail[1]
            break
    if at == start:
        return None
    spoken = words[start:at]
    return Number(str(total), at, bare=spoken[0] == "a" and len(spoken) == 2)


def ordinal(words: Sequence[str], start: int) -> Number | None:
    """The longest ordinal at `start`: "twenty first", "hundred and fifth"; `text` is without "st" or "th"."""
    best = None
    for end in range(start + 1, min(len(words), start + 12) + 1):
        plain = _ORDINALS.get(words[end - 1])
        if plain is None:
            continue
        number = cardinal([*words[start : end - 1], plain], 0)
        if number and number.end == end - start:
            best = replace(number, end=end, ordinal=True)
    return best


def decimal(words: Sequence[str], start: int) -> Number | None:
    """A number with digits after "point": "three point oh five", "two point five million"."""
    whole = cardinal(words, start)
    if not whole or whole.bare or _at(words, whole.end) != "point":
        return None
    digits, end = _digits(words, whole.end + 1)
    if not digits and (pair := two_digits(words, whole.end + 1)):
        digits, end = str(pair[0]), pair[1]
    if not digits:
        return None
    scale = _at(words, end) if _at(words, end) in SCALES else ""
    return Number(f"{whole.text}.{digits}", end + bool(scale), scale=scale)


def dotted(words: Sequence[str], start: int) -> Number | None:
    """Three or more numbers with "point" between them, as in a version: "one point two point ten" is 1.2.10."""
    parts: list[str] = []
    at = start
    while part := _below_hundred(words, at) or ((0, at + 1) if _at(words, at) in ZEROS else None):
        parts.append(str(part[0]))
        at = part[1] + 1
        if _at(words, part[1]) != "point":
            return Number(".".join(parts), part[1]) if len(parts) >= 3 else None
    return None


def digit_string(words: Sequence[str], start: int) -> Number | None:
    """Three or more digits said one by one, as in a telephone number: "five double oh" is 500."""
    digits, end = _digits(words, start)
    return Number(digits, end) if len(digits) >= 3 and _at(words, end) not in (*LARGE, "point") else None


def address(words: Sequence[str], start: int) -> Number | None:
    """Three or more numbers below 1,000 with "dot" between them: "one nine two dot one six eight dot o dot one"."""
    groups: list[str] = []
    at = start
    while group := _group_of_address(words, at):
        groups.append(group.text)
        if _at(words, group.end) != "dot":
            return Number(".".join(groups), group.end) if len(groups) >= 3 else None
        at = group.end + 1
    return None


def _group_of_address(words: Sequence[str], at: int) -> Number | None:
    if _at(words, at) in ZEROS and _at(words, at + 1) not in _DIGITS:
        return Number("0", at + 1)
    digits, after = _digits(words, at)
    end = run_end(words, at)
    if after == end > at and len(digits) <= 3:
        return Number(digits, end)
    number = cardinal(words, at)
    return number if number and number.end == end and number.value < 1000 else None


def run_end(words: Sequence[str], start: int) -> int:
    """The index after the last of the number words that follow each other without a break from `start`.

    "And" belongs to them only after a large number ("a hundred and one"), "point" only between numbers, "oh" and
    "double" only beside a digit, and an ordinal ends them. `start` itself where no number begins.

    >>> run_end("i have two twenty dollar bills".split(), 2)
    4
    """
    at = start
    if _at(words, at) == "a" and _at(words, at + 1) in LARGE:
        at += 2
    while at < len(words):
        word, before, after = words[at], _at(words, at - 1) if at > start else "", _at(words, at + 1)
        if word in _ORDINALS:
            return at + 1
        if word in ("oh", "o"):
            belongs = after != "clock" and (after in _DIGITS or before in _DIGITS | {"point"})
        elif word in REPEATS:
            belongs = after in _DIGITS
        elif word == "and":
            belongs = before in LARGE and after in _SMALL
        elif word == "point":
            belongs = bool(before) and after in _SMALL | ZEROS
        elif word in LARGE:
            belongs = bool(before)
        else:
            belongs = word in _SMALL or word == "zero"
        if not belongs:
            break
        at += 1
    return at


def two_digits(words: Sequence[str], start: int) -> tuple[int, int] | None:
    """Two digits at `start` as said in years and times ("eighty four", "oh five"): value 1 to 99 and end."""
    if _at(words, start) in ZEROS:
        unit = UNITS.get(_at(words, start + 1))
        return (unit, start + 2) if unit and _at(words, start + 2) not in LARGE else None
    found = _below_hundred(words, start)
    return found if found and found[0] >= 10 and _at(words, found[1]) not in LARGE else None


def suffix(text: str) -> str:
    """The letters after an ordinal's digits: "st", "nd", "rd" or "th".

    >>> [n + suffix(n) for n in ("1", "12", "22", "113")]
    ['1st', '12th', '22nd', '113th']
    """
    if text[-2:-1] == "1":
        return "th"
    return {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")


def _at(words: Sequence[str], index: int) -> str:
    return words[index] if 0 <= index < len(words) else ""


def _below_hundred(words: Sequence[str], at: int) -> tuple[int, int] | None:
    word = _at(words, at)
    if word in TENS:
        unit = UNITS.get(_at(words, at + 1), 0)
        return TENS[word] + unit, at + 1 + bool(unit)
    value = TEENS.get(word) or UNITS.get(word)
    return (value, at + 1) if value else None


def _group(words: Sequence[str], at: int, start: int) -> tuple[int, int] | None:
    """A value below a thousand, or 1100 to 9900 as "eleven hundred"; "a" is one before a large word."""
    if at == start and _at(words, at) == "a" and _at(words, at + 1) in LARGE:
        found: tuple[int, int] | None = (1, at + 1)
    else:
        found = _below_hundred(words, at)
    if not found or _at(words, found[1]) != "hundred" or (found[0] > 9 and found[0] % 10 == 0):
        return found
    value, end = found[0] * 100, found[1] + 1
    tail = _below_hundred(words, end + 1 if _at(words, end) == "and" else end)
    if tail and _at(words, tail[1]) != "hundred":
        return value + tail[0], tail[1]
    return value, end


def _digits(words: Sequence[str], at: int) -> tuple[str, int]:
    text = ""
    while True:
        times = REPEATS.get(_at(words, at), 1)
        word = _at(words, at + (times > 1))
        if word not in _DIGITS:
            return text, at
        text += str(UNITS.get(word, 0)) * times
        at += 1 + (times > 1)
