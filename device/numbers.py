"""Numbers, times, dates and money as people write them: a bounded set of rules over recognised words.

Each rule looks at one position and either writes what starts there or declines; the first that writes wins.
Anything that no rule knows stays in words. Why not a library: see docs/dictating.md.

>>> " ".join(write("meet me at five thirty p m on march twenty first".split()))
'meet me at 5:30 p.m. on March 21'
>>> " ".join(write("two of the twelve cost fifty dollars and five cents".split()))
'two of the 12 cost $50.05'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from device import numberwords as nw
from device.numberwords import Number

MONTHS = {
    m: m.capitalize()
    for m in ("january february march april may june july august september october november december".split())
}
CURRENCIES = {"dollar": "$", "dollars": "$", "euro": "€", "euros": "€"}
POUNDS = {"pound": "£", "pounds": "£"}
PARTS = {"cent": "¢", "cents": "¢", "pence": "p", "penny": "p"}
LABELS = frozenset({"chapter", "page", "number", "version", "figure", "section", "room"})
CLOCK = frozenset({"at", "until", "till", "before", "after", "since", "from", "by"})
RANGES = frozenset({"to", "or"})


@dataclass(frozen=True, slots=True)
class Style:
    """How numbers are written: plain ones below `digits_from` stay words; `english` chooses a.m. and £."""

    digits_from: int = 10
    english: Literal["us", "uk"] = "us"


@dataclass(frozen=True, slots=True)
class Written:
    """What a rule wrote, and the index of the first word after it."""

    text: str
    end: int


Rule = Callable[[Sequence[str], int, Style], Written | None]


def write(words: Sequence[str], style: Style | None = None) -> list[str]:
    """Words as recognised to words as written; a written number is one item, spaces within it included."""
    style = style or Style()
    out: list[str] = []
    at = 0
    while at < len(words):
        written = next((w for rule in RULES if (w := rule(words, at, style))), None)
        out.append(written.text if written else words[at])
        at = written.end if written else at + 1
    return out


def number_at(words: Sequence[str], at: int) -> Number | None:
    """A decimal, ordinal or whole number, whichever is longest."""
    found = [n for find in (nw.decimal, nw.ordinal, nw.cardinal) if (n := find(words, at))]
    return max(found, key=lambda n: n.end, default=None)


def grouped(number: Number, from_length: int = 5) -> str:
    """Its digits with a comma between thousands, if there are `from_length` digits or more before the point.

    >>> grouped(Number("5000", 2)), grouped(Number("1234567.5", 9))
    ('5000', '1,234,567.5')
    """
    whole, point, rest = number.text.partition(".")
    text = f"{int(whole):,}" if len(whole) >= from_length else whole
    return text + point + rest


def date(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "march twenty first", "the first of may", "july twenty twenty six", with or without a year."""
    if month := MONTHS.get(_at(words, at)):
        if found := _year(words, at + 1):
            return Written(f"{month} {found.text}", found.end)
        day = _day(words, at + 1, ordinal=_at(words, at) in ("may", "march"))
        if not day:
            return None
        if year := _year(words, day.end):
            return Written(f"{month} {day.text}, {year.text}", year.end)
        return Written(f"{month} {day.text}", day.end)
    day = _day(words, at, ordinal=True)
    if not day:
        return None
    of = _at(words, day.end) == "of"
    month = MONTHS.get(_at(words, day.end + of))
    if not month:
        return None
    year = _year(words, day.end + of + 1)
    text = f"{day.text}{nw.suffix(day.text)} of {month}" if of else f"{day.text} {month}"
    return Written(f"{text} {year.text}" if year else text, year.end if year else day.end + of + 1)


def time(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "five thirty p m", "six o'clock", "at ten oh five", "seven fifteen"."""
    hour = nw.cardinal(words, at)
    if not hour or hour.bare or hour.end != at + 1 or not 1 <= hour.value <= 23:
        return None
    minutes = nw.two_digits(words, hour.end)
    if minutes and minutes[0] > 59:
        minutes = None
    end = minutes[1] if minutes else hour.end
    clock = f"{hour.text}:{minutes[0]:02}" if minutes else hour.text
    half, after = _half_of_day(words, end, style)
    if half and hour.value <= 12:
        return Written(f"{clock} {half}", after)
    if not minutes:
        oclock = _oclock(words, end) if hour.value <= 12 else None
        return Written(f"{clock} o'clock", oclock) if oclock else None
    if _counted(words, end):
        return None
    alone = not number_at(words, end) and not (at and number_at(words, at - 1))
    told = _at(words, at - 1) in (CLOCK if hour.value <= 12 else {"at"})
    usual = hour.value <= 12 and minutes[0] % 5 == 0 and alone
    return Written(clock, end) if told or usual else None


def past_hour(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "half past six", "quarter to nine": stays in words, whatever the hour."""
    if _at(words, at) not in ("half", "quarter") or _at(words, at + 1) not in ("past", "to", "of"):
        return None
    hour = nw.cardinal(words, at + 2)
    if not hour or hour.end != at + 3 or not 1 <= hour.value <= 12:
        return None
    return Written(" ".join(words[at : hour.end]), hour.end)


def money(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "fifty dollars and five cents", "two million euros", in the UK also "five pounds fifty"."""
    signs = CURRENCIES | (POUNDS if style.english == "uk" else {})
    amount = _price(words, at, signs) or _plain(words, at)
    if not amount:
        return None
    if style.english == "uk" and _at(words, amount.end) in ("pence", "penny"):
        return Written(f"{amount.text}p", amount.end + 1)
    sign = signs.get(_at(words, amount.end))
    if not sign:
        return None
    end = amount.end + 1
    text = f"{sign}{_with_scale(amount, from_length=4)}"
    if "." not in text and " " not in text:
        joined = _at(words, end) == "and"
        part = nw.cardinal(words, end + joined)
        if part and not part.bare and 1 <= part.value <= 99:
            named = _at(words, part.end) in PARTS
            if named or (sign != "$" and not joined and part.value >= 10 and not _counted(words, part.end)):
                return Written(f"{text}.{int(part.value):02}", part.end + named)
    return Written(text, end)


def percent(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "fifty percent", "three point five per cent"."""
    amount = _plain(words, at)
    if not amount or amount.bare:
        return None
    if _at(words, amount.end) == "percent":
        return Written(f"{_with_scale(amount)}%", amount.end + 1)
    if list(words[amount.end : amount.end + 2]) == ["per", "cent"]:
        return Written(f"{_with_scale(amount)}%", amount.end + 2)
    return None


def year(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "nineteen eighty four", "twenty twenty six", "nineteen oh five"."""
    found = _year_pair(words, at)
    return Written(found.text, found.end) if found and not _counted(words, found.end) else None


def minus(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "minus forty", unless a number comes before it."""
    if _at(words, at) != "minus" or (at and number_at(words, at - 1)):
        return None
    amount = _plain(words, at + 1)
    return Written(f"-{_with_scale(amount)}", amount.end) if amount and not amount.bare else None


def digits(words: Sequence[str], at: int, style: Style) -> Written | None:
    """Three or more digits said one by one."""
    found = nw.digit_string(words, at)
    return Written(found.text, found.end) if found else None


def label(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "chapter five", "version three point two": always digits."""
    number = _plain(words, at + 1) if _at(words, at) in LABELS else None
    return Written(f"{words[at]} {_with_scale(number)}", number.end) if number and not number.bare else None


def numeric_range(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "five to twelve" in digits on both sides, as soon as either side has them."""
    low = nw.cardinal(words, at)
    if not low or low.bare or _at(words, low.end) not in RANGES:
        return None
    high = _plain(words, low.end + 1)
    if not high or high.bare or max(low.value, high.value) < style.digits_from:
        return None
    if cost := money(words, low.end + 1, style):
        sign = cost.text[0] if not cost.text[0].isdigit() else ""
        return Written(f"{sign}{grouped(low)}", low.end)
    if percent(words, low.end + 1, style):
        return Written(grouped(low), low.end)
    if time(words, low.end + 1, style):
        return None
    return Written(f"{grouped(low)} {words[low.end]} {_with_scale(high)}", high.end)


def plain(words: Sequence[str], at: int, style: Style) -> Written | None:
    """Any other number; below ten (``digits_from``) it stays in words, and so does "a hundred" alone."""
    number = number_at(words, at)
    if not number or number.bare:
        return None
    if number.value < style.digits_from and "." not in number.text:
        return Written(" ".join(words[at : number.end]), number.end)
    return Written(_with_scale(number), number.end)


RULES: tuple[Rule, ...] = (
    date, past_hour, time, money, percent, year, minus, digits, label, numeric_range, plain
)  # fmt: skip
"""The rules, most particular first."""


def _at(words: Sequence[str], index: int) -> str:
    return words[index] if 0 <= index < len(words) else ""


def _plain(words: Sequence[str], at: int) -> Number | None:
    return nw.decimal(words, at) or nw.cardinal(words, at)


def _with_scale(number: Number, from_length: int = 5) -> str:
    """Digits, but "5 million" rather than "5,000,000"; ordinals get their letters."""
    if number.scale:
        return f"{grouped(number)} {number.scale}"
    if number.ordinal:
        return grouped(number) + nw.suffix(number.text)
    if "." not in number.text:
        for word in ("trillion", "billion", "million"):
            size = nw.SCALES[word]
            if int(number.text) >= size and int(number.text) % size == 0:
                return f"{int(number.text) // size:,} {word}"
    return grouped(number, from_length)


def _price(words: Sequence[str], at: int, signs: Mapping[str, str]) -> Number | None:
    """ "nineteen ninety nine" before "dollars"."""
    whole = nw.two_digits(words, at) or (nw.UNITS.get(_at(words, at), 0), at + 1)
    part = nw.two_digits(words, whole[1]) if whole[0] else None
    if not part or _at(words, part[1]) not in signs:
        return None
    return Number(f"{whole[0]}.{part[0]:02}", part[1])


def _day(words: Sequence[str], at: int, ordinal: bool) -> Number | None:
    at += _at(words, at) == "the" and MONTHS.get(_at(words, at - 1)) is not None
    day = nw.ordinal(words, at) or (None if ordinal else nw.cardinal(words, at))
    return day if day and not day.bare and 1 <= day.value <= 31 and not _counted(words, day.end) else None


def _year_pair(words: Sequence[str], at: int) -> Number | None:
    century = nw.cardinal(words, at)
    if not century or century.end != at + 1 or not 13 <= century.value <= 20:
        return None
    rest = nw.two_digits(words, century.end)
    return Number(f"{century.text}{rest[0]:02}", rest[1]) if rest else None


def _year(words: Sequence[str], at: int) -> Number | None:
    if pair := _year_pair(words, at):
        return pair
    number = nw.cardinal(words, at)
    return number if number and 1000 <= number.value <= 2999 else None


def _counted(words: Sequence[str], at: int) -> bool:
    """Whether the word at `at` makes the number before it an amount, not a year, a day or a time."""
    return _at(words, at) in {*CURRENCIES, *POUNDS, *PARTS, *nw.SCALES, "hundred", "percent", "times"} or (
        _at(words, at) == "per" and _at(words, at + 1) == "cent"
    )


def _half_of_day(words: Sequence[str], at: int, style: Style) -> tuple[str, int]:
    for half in ("a", "p"):
        for spoken in ([half, "m"], [f"{half}m"], [f"{half}.m."]):
            if list(words[at : at + len(spoken)]) == spoken:
                return f"{half}.m." if style.english == "us" else f"{half}m", at + len(spoken)
    return "", at


def _oclock(words: Sequence[str], at: int) -> int | None:
    for spoken in (["o'clock"], ["oclock"], ["o", "clock"]):
        if list(words[at : at + len(spoken)]) == spoken:
            return at + len(spoken)
    return None
