"""Numbers, times, dates and money as people write them: a bounded set of rules over recognised words.

Number words that follow each other without a break are a *run*. A rule rewrites a run only if the whole of it has one
reading; otherwise the run stays as it was said, since "two twenty dollar bills" is neither $220 nor $2.20. Runs joined
by "to", "or" and the like are written alike: all in digits or all in words. Each rule looks at one position and either
writes what starts there or declines; the first that writes wins. Why not a library: see docs/dictating.md.

>>> " ".join(write("meet me at five thirty p m on march twenty first".split()))
'meet me at 5:30 p.m. on March 21'
>>> " ".join(write("two of the twelve cost fifty dollars and five cents".split()))
'two of the 12 cost $50.05'
>>> " ".join(write("three to four hundred dollars for two twenty dollar bills".split()))
'three to four hundred dollars for two twenty dollar bills'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from device.text import number_grammar
from device.text.number_context import (
    AFTER_PARTS,
    ALIKE,
    AMOUNTS_BEFORE,
    ARITHMETIC,
    BEFORE_PARTS,
    CLOCK,
    CLOCK_MINUTES,
    CLOSED,
    COMPOUND_UNITS,
    CONNECTORS,
    COUNTED,
    CURRENCIES,
    DATE,
    DECADES,
    DETERMINERS,
    DIGIT_LABELS,
    EQUALS,
    FRACTIONS,
    IDIOMS,
    LABELS,
    MEASURES,
    MONTHS,
    NOW,
    ORDINAL_NOUNS,
    OTHER_SCALES,
    PAIR_LABELS,
    PARTS,
    POUNDS,
    PRICED,
    PRONOUN_ONE,
    TWO_PART,
    YEAR,
)
from device.text.number_grammar import Number


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
    """Words as recognised to words as written; a written number is one item, spaces within it included.

    >>> write(["forty-five", "year-olds"]), write(["one-third"]), write(["Page", "ten"])
    (['45', 'year-olds'], ['one-third'], ['Page 10'])
    """
    style = style or Style()
    parts = [(part, bool(place)) for word in words for place, part in enumerate(_unhyphenated(word))]
    spoken = [part.lower() for part, _ in parts]
    out: list[str] = []
    at = 0
    while at < len(spoken):
        written = next((w for rule in RULES if (w := rule(spoken, at, style))), None)
        end = written.end if written else max(number_grammar.run_end(spoken, at), at + 1)
        if written and written.text != " ".join(spoken[at:end]):
            capital = parts[at][0][:1].isupper() and written.text.startswith(spoken[at])
            out.append(written.text[:1].upper() + written.text[1:] if capital else written.text)
        else:
            for part, hyphen in parts[at:end]:
                out[len(out) - hyphen :] = [f"{out[-1]}-{part}" if hyphen else part]
        at = end
    return out


def joined(left: Sequence[str], right: Sequence[str], style: Style) -> bool:
    """Whether a comma between `left` and `right` is none of the sentence, but divides a telephone number or a date.

    >>> joined("call five five five".split(), "one two three four".split(), Style())
    True
    >>> joined("i saw twenty".split(), "five of them red".split(), Style())
    False
    """
    words = [part.lower() for word in (*left, *right) for part in _unhyphenated(word)]
    comma = sum(len(_unhyphenated(word)) for word in left)
    found = (rule(words, at, style) for at in range(comma) for rule in (date, digits))
    return any(written.end > comma for written in found if written)


def _unhyphenated(word: str) -> list[str]:
    """ "forty-five" as two words, "year-old" as one."""
    parts = word.split("-")
    return parts if all(number_grammar.run_end([part.lower()], 0) for part in parts) else [word]


def beside_figures(words: Sequence[str], at: int, style: Style) -> Written | None:
    """Number words next to a figure that the recogniser wrote itself stay words: "at 5 thirty"."""
    end = number_grammar.run_end(words, at)
    beside = _at(words, at - 1)[-1:].isdigit() or _at(words, end)[:1].isdigit()
    return _said(words, at, end) if end > at and beside else None


def compound(words: Sequence[str], at: int, style: Style) -> Written | None:
    """One word of a number and a unit: "twelve-ounce", "twenty-five-year-old", "ten-dollar"."""
    parts = words[at].split("-")
    units = next((k for k, part in enumerate(parts) if part in COMPOUND_UNITS), 0)
    number = _number(parts[:units]) if units else None
    if not number or number.ordinal or number.bare or number.value < style.digits_from:
        return None
    if units == len(parts) - 1 and (sign := CURRENCIES.get(parts[-1])):
        return Written(f"{sign}{grouped(number, from_length=4)}", at + 1)
    return Written("-".join([_with_scale(number).replace(" ", "-"), *parts[units:]]), at + 1)


def grouped(number: Number, from_length: int = 5) -> str:
    """Its digits with a comma between thousands, if there are `from_length` digits or more before the point.

    >>> grouped(Number("5000", 2)), grouped(Number("1234567.5", 9))
    ('5000', '1,234,567.5')
    """
    whole, point, rest = number.text.partition(".")
    text = f"{int(whole):,}" if len(whole) >= from_length else whole
    return text + point + rest


def idiom(words: Sequence[str], at: int, style: Style) -> Written | None:
    """Phrases whose numbers stay words: "forty winks", "at one point"."""
    longest = max(map(len, IDIOMS))
    for end in range(min(len(words), at + longest), at, -1):
        if tuple(words[at:end]) in IDIOMS and not _half_of_day(words, end, style)[0]:
            return _said(words, at, end)
    return None


def half_phrase(words: Sequence[str], at: int, style: Style) -> Written | None:
    """Numbers that are only a part of what was said stay words: "couple hundred and fifty", "ten and a half"."""
    end = number_grammar.run_end(words, at)
    if end == at:
        return None
    before, after = _at(words, at - 1), _at(words, end)
    joined = before == "and" and _at(words, at - 2) in AMOUNTS_BEFORE
    mixed = after == "and" and _at(words, end + 1) in ("a", "one", "two", "three") and _at(words, end + 2) in FRACTIONS
    height = before in TWO_PART and number_grammar.cardinal(words, at - 2) and after not in MEASURES
    parted = (
        before in OTHER_SCALES | number_grammar.LARGE | BEFORE_PARTS or after in FRACTIONS | OTHER_SCALES | AFTER_PARTS
    )
    share = _share_of(words, at, end)
    side = before in CONNECTORS and _at(words, at - 2) in FRACTIONS
    torn = before == "between" and "and" in words[at:end] and _divided(words, at, end) == [(at, end)]
    if joined or mixed or height or parted or share or side or (torn and not _more_to_come(words, end)):
        return _said(words, at, end)
    return None


def _share_of(words: Sequence[str], at: int, end: int) -> bool:
    """Whether it belongs to "nine times out of ten" or "ninety times out of a hundred", a part of which stays words."""
    of = next((k for k in (at - 2, end, end + 1) if k >= 0 and list(words[k : k + 2]) == ["out", "of"]), None)
    if of is None:
        return False
    whole = _run(words, of + 2)
    return (
        whole is None
        or whole.bare
        or (of < at and any(word in number_grammar.UNITS for word in words[max(0, of - 3) : of]))
    )


def date(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "march twenty first", "the first of may", "july twenty twenty six", with or without a year."""
    return _month_first(words, at) if _at(words, at) in MONTHS else _day_first(words, at)


def past_hour(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "half past six", "quarter to nine", "ten past ten", "at twenty to five": stays in words, whatever the hour."""
    quarters = _at(words, at) in ("half", "quarter")
    to = at + 1 if quarters else number_grammar.run_end(words, at)
    if to == at or _at(words, to) not in (("past", "to", "of") if quarters else ("past", "to")):
        return None
    hour = _run(words, to + 1)
    if not hour or not 1 <= hour.value <= 12 or hour.end != to + 2:
        return None
    told = words[at] in CLOCK_MINUTES and _at(words, at - 1) in NOW and _at(words, hour.end) in CLOSED
    return _said(words, at, hour.end) if quarters or _at(words, to) == "past" or told else None


def chain(words: Sequence[str], at: int, style: Style) -> Written | None:
    """Numbers joined by "to", "or", "and" ...: written alike, or as said where one of them has no sure reading."""
    spans = _spans(words, at, _at(words, at - 1) == "between")
    if len(spans) < 2:
        return None
    if words[at] == "one" and _at(words, at - 1) in PRONOUN_ONE:
        return _said(words, at, spans[0][1])
    if found := _times(words, at, spans, style) or _years(words, at, spans):
        return found
    numbers = [_number(words[a:b]) for a, b in spans]
    if not all(numbers):
        return _said(words, at, spans[-1][1])
    plain = [number for number in numbers if number and not number.ordinal]
    return _amounts(words, spans, plain, style) if len(plain) == len(numbers) else None


def _amounts(
    words: Sequence[str], spans: Sequence[tuple[int, int]], numbers: Sequence[Number], style: Style
) -> Written | None:
    """Joined numbers all in digits or all in words; the last may be money or a percentage.

    "Three to four hundred" stays as said, because the first number may be three or three hundred. Without a joint that
    makes them alike, None leaves each number to the other rules.
    """
    at, end = spans[0][0], spans[-1][1]
    joints = [" ".join(words[b:a]) for (_, b), (a, _) in pairwise(spans)]
    between = _at(words, at - 1) == "between"
    alike = between or ALIKE.issuperset(joints)
    small = [number.value < style.digits_from and "." not in number.text for number in numbers]
    amount = _amount_at(words, spans[-1][0], style)
    bare = any(number.bare for number in numbers)
    lent = any(map(_share, numbers, numbers[1:])) and (between or joints != ["and"])
    if lent or (alike and (bare or (all(small) and not amount))):
        return _said(words, at, end)
    if not alike:
        mixed = bare or (any(small) and not all(small))
        return _said(words, at, end) if mixed and not amount else None
    last = amount or Written(_with_scale(numbers[-1]), end)
    sign = last.text[0] if last.text[0] in {*CURRENCIES.values(), *POUNDS.values()} else ""
    firsts = [f"{sign}{_with_scale(number)} {joint}" for number, joint in zip(numbers, joints, strict=False)]
    return Written(" ".join([*firsts, last.text]), last.end)


def time(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "five thirty p m", "six o'clock", "at ten oh five", "seven fifteen in the morning"."""
    clock = _clock(words, at, number_grammar.run_end(words, at))
    if not clock:
        return None
    hour, text, end = clock.hour, clock.text, clock.end
    half, after = _half_of_day(words, end, style)
    if half and hour <= 12:
        other, last = _half_of_day(words, after + 1, style) if _at(words, after) == "or" else ("", after)
        return Written(f"{text} {half} or {other}", last) if other else Written(f"{text} {half}", after)
    if not clock.minutes:
        oclock = _oclock(words, end) if hour <= 12 else None
        return Written(f"{text} o'clock", oclock) if oclock else None
    before, follows = _at(words, at - 1), _at(words, end)
    told = before in (CLOCK if hour <= 12 else {"at"}) and _at(words, at - 2) not in PRICED
    sure = follows in CLOSED - {"a", "an", "of"} and not _joined(words, end)
    if hour <= 12 and _part_of_day(words, end):
        return Written(text, end)
    return Written(text, end) if told and sure else None


def money(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "fifty dollars and five cents", "two million euros", in the UK also "five pounds fifty"."""
    amount = _run(words, at)
    if not amount or amount.ordinal:
        return None
    if style.english == "uk" and _at(words, amount.end) in ("pence", "penny"):
        return Written(f"{grouped(amount)}p", amount.end + 1)
    sign = _sign(words, at, amount.end, style)
    if not sign or (amount.bare and amount.value >= 10**6) or _hundreds_of(words, amount):
        return None
    text, end = f"{sign}{_with_scale(amount, from_length=4)}", amount.end + 1
    if "." in text or " " in text:
        return Written(text, end)
    joined = _at(words, end) == "and"
    part = _run(words, end + joined)
    if not part or part.ordinal or not 1 <= part.value <= 99 or "." in part.text:
        return Written(text, end)
    if _at(words, part.end) in PARTS:
        return Written(f"{text}.{int(part.value):02}", part.end + 1)
    if part.value < 10 or _at(words, part.end) not in CLOSED:
        return Written(text, end)
    return _said(words, at, part.end) if joined else Written(f"{text}.{int(part.value):02}", part.end)


def percent(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "fifty percent", "three point five per cent"."""
    amount = _run(words, at)
    if not amount or amount.bare or amount.ordinal:
        return None
    end = _percent(words, amount.end)
    return Written(f"{_with_scale(amount)}%", end) if end else None


def year(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "in nineteen eighty four", "since nineteen oh five", "the nineteen eighties"."""
    century = number_grammar.cardinal(words[at : at + 1], 0)
    if century and 13 <= century.value <= 20 and (ten := DECADES.get(_at(words, at + 1))):
        return Written(f"{century.text}{ten}s", at + 2)
    found = _year_pair(words, at)
    if not found or found.end != number_grammar.run_end(words, at):
        return None
    sure = _at(words, at - 1) in YEAR and _at(words, found.end) in CLOSED
    return Written(found.text, found.end) if sure else None


def minus(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "minus forty degrees", "it is minus five"; elsewhere "minus" is a word."""
    if _at(words, at) != "minus" or _numeric(_at(words, at - 1)):
        return None
    amount = _run(words, at + 1)
    if not amount or amount.bare or amount.ordinal:
        return None
    told = _at(words, at - 1) in {*"is was at to below of about it's reached hit from around".split(), ""}
    return Written(f"-{_with_scale(amount)}", amount.end) if told or _at(words, amount.end) == "degrees" else None


def digits(words: Sequence[str], at: int, style: Style) -> Written | None:
    """Digits said one by one: seven or more, or fewer with a zero among them, or where digits are expected."""
    end = number_grammar.run_end(words, at)
    if toll_free := _toll_free(words, at, end):
        return toll_free
    found = number_grammar.digit_string(words, at)
    if not found or found.end != end:
        return None
    counting = all(int(b) - int(a) == 1 for a, b in pairwise(found.text))
    told = not DIGIT_LABELS.isdisjoint(words[max(0, at - 3) : at])
    free = _at(words, end) in CLOSED
    sure = len(found.text) >= 7 or any(word in number_grammar.REPEATS for word in words[at:end])
    likely = free and not counting and (told or "0" in found.text)
    return Written(found.text, end) if sure or likely or (free and told and len(found.text) >= 4) else None


def version(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "one point two point three" is 1.2.3."""
    found = number_grammar.dotted(words, at)
    return Written(found.text, found.end) if found and found.end == number_grammar.run_end(words, at) else None


def label(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "chapter five", "version three point two", "room two fourteen": always digits."""
    name, end = _at(words, at), number_grammar.run_end(words, at + 1)
    if name not in LABELS | PAIR_LABELS or end == at + 1:
        return None
    number = _run(words, at + 1)
    if number and not number.bare and not number.ordinal and name in LABELS:
        doing = name in ("page", "figure") and _at(words, at - 1) in {"i", "we", "you", "they", "to", "would", "can"}
        return None if doing or _counted(words, end) else Written(f"{name} {_with_scale(number)}", end)
    if name not in PAIR_LABELS or _at(words, end) in MEASURES or _counted(words, end):
        return None
    if (spelled := number_grammar.digit_string(words, at + 1)) and spelled.end == end:
        return Written(f"{name} {spelled.text}", end)
    unit = number_grammar.UNITS.get(_at(words, at + 1))
    rest = number_grammar.two_digits(words, at + 2) if unit else None
    return Written(f"{name} {unit}{rest[0]:02}", end) if rest and rest[1] == end else None


def ordinal(words: Sequence[str], at: int, style: Style) -> Written | None:
    """ "the twenty first", "nineteenth century"; where it may be a fraction or a count, the words as said."""
    number = _run(words, at)
    if not number or not number.ordinal or number.value < style.digits_from:
        return None
    before, after = _at(words, at - 1), _at(words, number.end)
    determined = before in DETERMINERS or before.endswith("'s")
    told = determined or after in ORDINAL_NOUNS or _ordinal_before(words, at - 1, style)
    second = words[number.end - 1] == "second" and not (told and after in CLOSED | ORDINAL_NOUNS)
    fraction = before in ("a", "an", "one") or (words[at] == "one" and before not in DETERMINERS)
    return Written(_with_scale(number), number.end) if told and not second and not fraction else None


def _ordinal_before(words: Sequence[str], joint: int, style: Style) -> bool:
    """Whether an ordinal that is written in digits is joined to what follows: "the sixteenth and seventeenth"."""
    if _at(words, joint) not in ("and", "or", "to", "through"):
        return False
    found = (ordinal(words, begin, style) for begin in range(max(0, joint - 5), joint))
    return any(written.end == joint for written in found if written)


def plain(words: Sequence[str], at: int, style: Style) -> Written | None:
    """Any other number; below ten (``digits_from``) it stays in words, and so does "a hundred" alone."""
    number = _run(words, at)
    if not number or number.bare or number.ordinal or _hundreds_of(words, number):
        return None
    small = number.value < style.digits_from and "." not in number.text
    if small and not _measured_with(words, number, style):
        return None
    return Written(_with_scale(number), number.end)


RULES: tuple[Rule, ...] = (
    idiom, beside_figures, compound, half_phrase, date, past_hour, chain, time, money, percent, year, minus, digits,
    version, label,
    ordinal, plain,
)  # fmt: skip
"""The rules, most particular first."""


@dataclass(frozen=True, slots=True)
class _Clock:
    hour: int
    minutes: tuple[int, int] | None
    end: int

    @property
    def text(self) -> str:
        return f"{self.hour}:{self.minutes[0]:02}" if self.minutes else str(self.hour)


def _at(words: Sequence[str], index: int) -> str:
    return words[index] if 0 <= index < len(words) else ""


def _said(words: Sequence[str], at: int, end: int) -> Written:
    return Written(" ".join(words[at:end]), end)


def _numeric(word: str) -> bool:
    return any(map(str.isdigit, word)) or number_grammar.run_end([word], 0) > 0


def _run(words: Sequence[str], at: int) -> Number | None:
    """The number that the whole run at `at` is, None if it has another reading or several."""
    end = number_grammar.run_end(words, at)
    number = _number(words[at:end]) if end > at else None
    return Number(number.text, end, number.ordinal, number.scale, number.bare) if number else None


def _number(run: Sequence[str]) -> Number | None:
    found = (find(run, 0) for find in (number_grammar.decimal, number_grammar.ordinal, number_grammar.cardinal))
    return next((number for number in found if number and number.end == len(run)), None)


def _with_scale(number: Number, from_length: int = 5) -> str:
    """Digits, but "5 million" rather than "5,000,000"; ordinals get their letters."""
    if number.scale:
        return f"{grouped(number)} {number.scale}"
    if number.ordinal:
        return grouped(number) + number_grammar.suffix(number.text)
    if "." not in number.text:
        for word in ("quadrillion", "trillion", "billion", "million"):
            size = number_grammar.SCALES[word]
            if int(number.text) >= size and int(number.text) % size == 0:
                return f"{int(number.text) // size:,} {word}"
    return grouped(number, from_length)


def _spans(words: Sequence[str], at: int, between: bool) -> list[tuple[int, int]]:
    """Runs joined by connectors, from the one at `at`; after "between", "and" divides its run in two."""
    end = number_grammar.run_end(words, at)
    if end == at:
        return []
    spans, sum_ = [(at, end)], False
    while begin := _joined(words, end, sum_):
        sum_ = sum_ or words[end] in ARITHMETIC
        end = number_grammar.run_end(words, begin)
        spans.append((begin, end))
    return _divided(words, at, end) if between and len(spans) == 1 else spans


def _joined(words: Sequence[str], end: int, sum_: bool = False) -> int | None:
    """Where the number begins that a connector at `end` joins to the one before; `sum_`: "is" does so too."""
    joint = _at(words, end)
    two = f"{joint} {_at(words, end + 1)}" in CONNECTORS
    begin = end + 1 + two
    connects = two or joint in CONNECTORS or (sum_ and joint in EQUALS)
    return begin if connects and number_grammar.run_end(words, begin) > begin else None


def _divided(words: Sequence[str], at: int, end: int) -> list[tuple[int, int]]:
    """The two numbers of "between one hundred and two thousand"; the second must be the larger one."""
    found = []
    for joint in (k for k in range(at + 1, end) if words[k] == "and"):
        low, high = _number(words[at:joint]), _number(words[joint + 1 : end])
        if low and high and low.value < high.value:
            found += [(at, joint), (joint + 1, end)]
    return found if len(found) == 2 and not _more_to_come(words, end) else [(at, end)]


def _more_to_come(words: Sequence[str], end: int) -> bool:
    """Whether another "and" with a number follows soon: "between a hundred and one metres and two hundred"."""
    return any(_at(words, k) == "and" and number_grammar.run_end(words, k + 1) > k + 1 for k in range(end, end + 4))


def _share(low: Number, high: Number) -> bool:
    """Whether the first number may lack the second one's scale: "three to four hundred", "two or three thousand"."""
    sizes = [100, *number_grammar.SCALES.values()]
    return any(low.value < size <= high.value and low.value * size <= high.value for size in sizes)


def _amount_at(words: Sequence[str], at: int, style: Style) -> Written | None:
    return money(words, at, style) or percent(words, at, style)


def _clock(words: Sequence[str], at: int, end: int) -> _Clock | None:
    """Words `at` to `end` as an hour, or an hour and minutes; the hour takes as many words as it can."""
    for begin in (at + 2, at + 1):
        hour = number_grammar.cardinal(words[at:begin], 0)
        if not hour or hour.end != begin - at or begin > end or hour.bare or not 1 <= hour.value <= 23:
            continue
        minutes = number_grammar.two_digits(words[:end], begin)
        if begin == end or (minutes and minutes[1] == end and minutes[0] <= 59):
            return _Clock(int(hour.value), minutes, end)
    return None


def _times(words: Sequence[str], at: int, spans: Sequence[tuple[int, int]], style: Style) -> Written | None:
    """ "from nine to five p m", "from five thirty to six": two times of day."""
    if len(spans) != 2:
        return None
    first, last = (_clock(words, a, b) for a, b in spans)
    if not first or not last or max(first.hour, last.hour) > 12:
        return None
    half, end = _half_of_day(words, last.end, style)
    ranged = _at(words, at - 1) in ("from", "between", "open") and _at(words, last.end) in CLOSED - {"a", "an"}
    exact = [clock.minutes for clock in (first, last) if clock.minutes]
    usual = all(minutes[0] in (15, 30, 45) for minutes in exact)
    if half or (ranged and exact and usual):
        return Written(f"{first.text} {words[first.end]} {last.text}" + (f" {half}" if half else ""), end)
    return None


def _years(words: Sequence[str], at: int, spans: Sequence[tuple[int, int]]) -> Written | None:
    """ "from nineteen fourteen to nineteen eighteen"."""
    if _at(words, at - 1) not in YEAR | {"between"} or _at(words, spans[-1][1]) not in CLOSED:
        return None
    texts = []
    for a, b in spans:
        found = _year(words[a:b], 0)
        if not found or found.end != b - a:
            return None
        texts.append(found.text)
    if len(spans) != 2:
        return None
    return Written(f"{texts[0]} {words[spans[0][1]]} {texts[1]}", spans[-1][1])


def _month_first(words: Sequence[str], at: int) -> Written | None:
    month, spoken, before = MONTHS[words[at]], words[at], _at(words, at - 1)
    dated = before in DATE
    word_too = spoken in ("may", "march")
    if word_too and not dated and before:
        return None
    if (found := _year(words, at + 1)) and found.end == number_grammar.run_end(words, at + 1):
        return Written(f"{month} {found.text}", found.end) if _at(words, found.end) in CLOSED else None
    the = _at(words, at + 1) == "the"
    day = _day(words, at + 1 + the, ordinal=the or word_too)
    if not day:
        return None
    after_day = number_grammar.run_end(words, at + 1 + the)
    year = _year(words, day.end) if day.end < after_day or number_grammar.run_end(words, day.end) > day.end else None
    end = year.end if year else day.end
    if max(after_day, number_grammar.run_end(words, day.end)) != end:
        return None
    free = _at(words, end) in CLOSED
    if not year and not free and not (dated and day.ordinal and not word_too):
        return None
    if the and not dated and not year:
        return None
    return Written(f"{month} {day.text}, {year.text}" if year else f"{month} {day.text}", end)


def _day_first(words: Sequence[str], at: int) -> Written | None:
    day = _day(words, at, ordinal=True)
    if not day:
        return None
    of = _at(words, day.end) == "of"
    month = MONTHS.get(_at(words, day.end + of))
    if not month:
        return None
    end = day.end + of + 1
    year = _year(words, end)
    if year and year.end != number_grammar.run_end(words, end):
        year = None
    suffix = number_grammar.suffix(day.text) if of or _at(words, at - 1) == "the" else ""
    text = f"{day.text}{suffix} of {month}" if of else f"{day.text}{suffix} {month}"
    return Written(f"{text} {year.text}" if year else text, year.end if year else end)


def _day(words: Sequence[str], at: int, ordinal: bool) -> Number | None:
    day = number_grammar.ordinal(words, at) or (None if ordinal else number_grammar.cardinal(words, at))
    return day if day and not day.bare and 1 <= day.value <= 31 and not _counted(words, day.end) else None


def _year_pair(words: Sequence[str], at: int) -> Number | None:
    century = number_grammar.cardinal(words[at : at + 1], 0)
    rest = number_grammar.two_digits(words, at + 1) if century and 13 <= century.value <= 20 else None
    return Number(f"{century.text}{rest[0]:02}", rest[1]) if century and rest else None


def _year(words: Sequence[str], at: int) -> Number | None:
    if pair := _year_pair(words, at):
        return pair
    number = number_grammar.cardinal(words, at)
    return number if number and not number.bare and 1000 <= number.value <= 2999 else None


def _counted(words: Sequence[str], at: int) -> bool:
    return _at(words, at) in COUNTED or (_at(words, at) == "per" and _at(words, at + 1) == "cent")


def _percent(words: Sequence[str], at: int) -> int | None:
    if _at(words, at) == "percent":
        return at + 1
    return at + 2 if list(words[at : at + 2]) == ["per", "cent"] else None


def _sign(words: Sequence[str], at: int, end: int, style: Style) -> str:
    """The sign of the currency at `end`; in the UK, pounds may also be a weight."""
    word = _at(words, end)
    weight = _at(words, end + 1) == "of" or _at(words, at - 1) in {"lost", "gained", "weighs", "weigh", "lose", "gain"}
    pounds: Mapping[str, str] = POUNDS if style.english == "uk" and not weight else {}
    return CURRENCIES.get(word, "") or pounds.get(word, "")


def _hundreds_of(words: Sequence[str], number: Number) -> bool:
    """ "two hundred dollar bills": two bills of a hundred dollars, or bills of two hundred?"""
    unit, noun = _at(words, number.end), _at(words, number.end + 1)
    round_ = number.value >= 100 and _at(words, number.end - 1) in number_grammar.LARGE and not number.scale
    single = unit in {*CURRENCIES, "pound", "year", "meter", "metre", "mile", "page", "day", "foot", "watt"}
    return round_ and single and not unit.endswith("s") and noun.endswith("s") and noun not in CLOSED


def _toll_free(words: Sequence[str], at: int, end: int) -> Written | None:
    """ "one eight hundred five five five one two three four", "oh eight hundred one two three four five six"."""
    first, area = _at(words, at), number_grammar.UNITS.get(_at(words, at + 1))
    rest = number_grammar.digit_string(words, at + 3)
    if area not in (8, 9) or _at(words, at + 2) != "hundred" or not rest or rest.end != end:
        return None
    if first == "one" and len(rest.text) == 7:
        return Written(f"1-{area}00-{rest.text[:3]}-{rest.text[3:]}", end)
    return (
        Written(f"0{area}00 {rest.text}", end) if first in number_grammar.ZEROS and len(rest.text) in (6, 7) else None
    )


def _measured_with(words: Sequence[str], number: Number, style: Style) -> bool:
    """Whether it is the small part of a measure whose other part has digits: "two hours and fifteen minutes"."""
    if _at(words, number.end) not in MEASURES:
        return False
    begin = number.end + 1 + (_at(words, number.end + 1) == "and")
    other = _run(words, begin)
    return bool(other and not other.ordinal and other.value >= style.digits_from and _at(words, other.end) in MEASURES)


def _part_of_day(words: Sequence[str], at: int) -> bool:
    """ "in the morning", "this evening", "tonight"."""
    return _at(words, at) == "tonight" or (
        _at(words, at + (2 if _at(words, at) == "in" else 1)) in {"morning", "afternoon", "evening"}
        and _at(words, at) in ("in", "this")
    )


def _half_of_day(words: Sequence[str], at: int, style: Style) -> tuple[str, int]:
    for half in ("a", "p"):
        for spoken in ([half, "m"], [f"{half}m"], [f"{half}.m."]):
            end = at + len(spoken)
            if list(words[at:end]) == spoken and not (spoken == ["am"] and _at(words, end) == "i"):
                return f"{half}.m." if style.english == "us" else f"{half}m", end
    return "", at


def _oclock(words: Sequence[str], at: int) -> int | None:
    for spoken in (["o'clock"], ["oclock"], ["o", "clock"]):
        if list(words[at : at + len(spoken)]) == spoken:
            return at + len(spoken)
    return None
