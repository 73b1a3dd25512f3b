"""Words to written text: capitals, marks, commands, numbers; and that the edits add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device import numbers, numberwords, spoken, text
from device.edits import Delete, Insert, apply
from device.numbers import Style
from device.text import Rules, State, Writer

NAMES = {("o'brien",): "O'Brien", ("pie", "torch"): "PyTorch", ("iphone",): "iPhone"}
VOCABULARY = [
    *"hello world i i'm you monday may the a of at to and p m oh point minus percent dollars literal".split(),
    *(" ".join(phrase) for phrase in spoken.PHRASES),
    *numberwords.UNITS, *numberwords.TEENS, *numberwords.TENS, *numberwords.SCALES, "hundred", "twentieth",
    "march", "first", "iphone", "pie", "torch", "cents", "o'clock",
]  # fmt: skip
SPEECH = st.lists(st.sampled_from(VOCABULARY), max_size=12).map(" ".join)


def written(*segments: str, rules: Rules | None = None) -> str:
    writer = Writer(rules)
    writer.begin()
    document = ""
    for segment in segments:
        document = apply(document, writer.segment(segment))
    return document


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("hello world", "Hello world"),
        ("i think i'm fine and i'll go", "I think I'm fine and I'll go"),
        ("yes full stop no question mark why", "Yes. No? Why"),
        ("see you on monday in march", "See you on Monday in march"),
        ("dear anna comma new line thank you new paragraph yours", "Dear anna,\nThank you\n\nYours"),
        ("he said open quote go full stop close quote then left", 'He said "go." Then left'),
        ("state hyphen of hyphen the hyphen art", "State-of-the-art"),
        ("open bracket see below close bracket", "(See below)"),
        ("write to me at sign example dot com", "Write to me@example.com"),
        ("the phone is an iphone", "The phone is an iPhone"),
        ("iphone sales", "iPhone sales"),
        ("i use pie torch and pie", "I use PyTorch and pie"),
        ("o'brien said", "O'Brien said"),
        ("say literal comma here", "Say comma here"),
        ("a literal translation", "A literal translation"),
        ("literal literal comma", "Literal,"),
        ("literal full stop", "Full stop"),
        ("the period of a new paragraph period the end", "The period of a new paragraph. The end"),
        ("that period is it comma every dash", "That. Is it, every dash"),
        ("new paragraph a", "\n\nA"),
        ("literal scratch that", "Scratch that"),
        ("go to capitalize paris all caps now", "Go to Paris NOW"),
        ("capitalize pie torch", "PyTorch"),
        ("the word capitalize", "The word capitalize"),
        ("foot no space ball", "Football"),
        ("at five p m full stop then", "At 5 p.m. Then"),
        ("twenty people full stop ten more", "20 people. 10 more"),
        ("tab key hello", "\tHello"),
        ("wait ellipsis", "Wait…"),
        ("", ""),
    ],
)  # fmt: skip
def test_segments_are_written(said: str, expected: str) -> None:
    assert written(said, rules=Rules(spellings=NAMES)) == expected


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (["hello", "world"], "Hello world"),
        (["hello full stop", "world"], "Hello. World"),
        (["hello", "comma world"], "Hello, world"),
        (["hello new line", "world"], "Hello\nWorld"),
        (["open quote", "world", "close quote"], '"World"'),
        (["hello", "there scratch that world"], "Hello world"),
        (["hello full stop", "scratch that", "comma"], ","),
        (["one two three", "four full stop", "scratch that scratch that five"], "Five"),
        (["a b", "c scratch that scratch that d"], "D"),
        (["scratch that"], ""),
        (["scratch that hello"], "Hello"),
    ],
)
def test_what_one_segment_leaves_the_next_takes_up(segments: list[str], expected: str) -> None:
    assert written(*segments) == expected


def test_switched_off_rules_leave_words() -> None:
    rules = Rules(punctuation=False, style=None)
    assert written("twenty comma scratch that", rules=rules) == "Twenty comma scratch that"


@given(st.lists(st.tuples(SPEECH, st.sampled_from(["segment", "begin", "forget", "take back"])), max_size=12))
def test_edits_add_up_to_the_entries_and_never_delete_what_was_not_written(
    script: list[tuple[str, str]],
) -> None:
    writer = Writer(Rules(spellings=NAMES))
    document, kept = "", ""
    for said, action in script:
        if action == "segment":
            edits = writer.segment(said)
        elif action == "take back":
            edits = writer.take_back()
        else:
            edits = ()
            writer.begin(0.0 if action == "begin" else 1e9)
            kept = document if action == "forget" else kept
        assert len([e for e in edits if isinstance(e, Delete)]) <= 1
        assert all(e.count > 0 if isinstance(e, Delete) else e.text for e in edits)
        document = apply(document, edits)
        assert document == kept + "".join(entry.text for entry in writer.state.entries)


@given(st.lists(SPEECH, max_size=6), SPEECH)
def test_scratching_a_segment_is_as_if_it_was_never_said(before: list[str], said: str) -> None:
    rules, state = Rules(), text.begin(State(), 1e9, Rules())
    for segment in before:
        state, _ = text.write(state, segment, rules)
    after, edits = text.write(state, said, rules)
    if len(after.entries) == len(state.entries) + 1 and "scratch" not in said:
        again, _ = text.write(after, "scratch that", rules)
        assert again == state
        assert text.take_back(after)[0].entries == ()
    assert isinstance(edits, tuple)


@given(SPEECH)
def test_writing_depends_on_state_alone(said: str) -> None:
    assert text.write(State(), said, Rules()) == text.write(State(), said, Rules())


def test_history_is_bounded_and_taking_back_goes_dictation_by_dictation() -> None:
    writer = Writer()
    document = ""
    for _ in range(3):
        writer.begin(1.0)
        for word in ("one", "two"):
            document = apply(document, writer.segment(word))
    assert document == "One two one two one two"
    assert writer.take_back() == (Delete(len(" one two")),)
    assert writer.take_back() == (Delete(len(" one two")),)
    assert writer.take_back() == (Delete(len("One two")),)
    assert writer.take_back() == ()
    for _ in range(3 * text.HISTORY):
        writer.segment("on")
    assert len(writer.state.entries) == text.HISTORY


def test_after_a_long_pause_nothing_is_joined_or_deleted() -> None:
    writer = Writer()
    writer.begin()
    writer.segment("hello")
    writer.begin(119.0)
    assert writer.segment("you") == (Insert(" you"),)
    writer.begin(120.0)
    assert writer.take_back() == ()
    assert writer.segment("scratch that") == ()
    assert writer.segment("you") == (Insert("You"),)


def spell(n: int) -> str:
    """An independent speller, British with "and"."""
    small = (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen"
    ).split()
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()
    for size, word in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand")):
        if n >= size:
            rest = n % size
            joint = " and " if 0 < rest < 100 else " "
            return f"{spell(n // size)} {word}" + (joint + spell(rest) if rest else "")
    if n >= 100:
        return f"{small[n // 100]} hundred" + (f" and {spell(n % 100)}" if n % 100 else "")
    return small[n] if n < 20 else tens[n // 10 - 2] + (f" {small[n % 10]}" if n % 10 else "")


@given(st.integers(0, 10**15 - 1), st.booleans())
def test_every_whole_number_is_understood_with_and_without_and(n: int, british: bool) -> None:
    words = spell(n) if british else spell(n).replace(" and ", " ")
    found = numberwords.cardinal(words.split(), 0)
    assert found == numberwords.Number(str(n), len(words.split()))
    (one,) = numbers.write(words.split(), Style(digits_from=0)) or ["?"]
    plain = one.replace(",", "")
    for word, size in (("trillion", 10**12), ("billion", 10**9), ("million", 10**6)):
        if plain.endswith(word):
            plain = str(int(plain.split()[0]) * size)
    assert plain == str(n)


@given(st.integers(1, 999_999))
def test_every_ordinal_is_understood(n: int) -> None:
    words = spell(n).split()
    irregular = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
                 "nine": "ninth", "twelve": "twelfth"}  # fmt: skip
    last = words[-1]
    words[-1] = irregular.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    found = numberwords.ordinal(words, 0)
    assert found is not None and (found.text, found.end) == (str(n), len(words))


@given(st.integers(1, 12), st.integers(0, 59), st.sampled_from(["a", "p"]))
def test_every_time_of_day(hour: int, minute: int, half: str) -> None:
    minutes = "" if not minute else f"oh {spell(minute)} " if minute < 10 else f"{spell(minute)} "
    expected = f"{hour}:{minute:02} {half}.m." if minute else f"{hour} {half}.m."
    assert numbers.write(f"{spell(hour)} {minutes}{half} m".split()) == [expected]


@given(st.integers(1300, 2099).filter(lambda y: y % 100 and not 2000 <= y <= 2009))
def test_years_said_in_pairs(year: int) -> None:
    rest = year % 100
    said = f"{spell(year // 100)} " + (f"oh {spell(rest)}" if rest < 10 else spell(rest))
    assert numbers.write(["in", *said.split()]) == ["in", str(year)]


@given(st.integers(0, 10**6), st.integers(1, 99))
def test_money(dollars: int, cents: int) -> None:
    said = f"{spell(dollars)} dollars and {spell(cents)} cents"
    expected = f"${dollars:,}.{cents:02}" if dollars != 10**6 else "$1 million"
    assert numbers.write(said.split())[0] == expected


@given(st.lists(st.sampled_from(VOCABULARY), max_size=10))
def test_numbers_keep_every_word_that_is_not_part_of_one(words: list[str]) -> None:
    words = " ".join(words).split()
    plain = [w for w in words if w in ("hello", "world", "you", "monday", "comma")]
    assert [w for w in " ".join(numbers.write(words)).split() if w in plain] == plain


@pytest.mark.parametrize(
    ("said", "us", "uk"),
    [
        ("one of two people", "one of two people", ""),
        ("no one knows", "no one knows", ""),
        ("forty and five", "40 and five", ""),
        ("a hundred times", "a hundred times", ""),
        ("a hundred and one", "101", ""),
        ("thousands of people", "thousands of people", ""),
        ("one hundred one hundred", "100 100", ""),
        ("five hundred thousand", "500,000", ""),
        ("a couple million", "a couple million", ""),
        ("two point five million", "2.5 million", ""),
        ("three point oh five", "3.05", ""),
        ("minus forty degrees", "-40 degrees", ""),
        ("five minus three", "five minus three", ""),
        ("the twenty first of march", "the 21st of March", ""),
        ("march twenty first twenty twenty six", "March 21, 2026", ""),
        ("twenty fifth december", "25 December", ""),
        ("may five people come", "may five people come", ""),
        ("july twenty twenty six", "July 2026", ""),
        ("in a second", "in a second", ""),
        ("two thirds", "two thirds", ""),
        ("twenty firsts", "20 firsts", ""),
        ("at five thirty", "at 5:30", ""),
        ("five thirty p m", "5:30 p.m.", "5:30 pm"),
        ("six o'clock", "6 o'clock", ""),
        ("seven fifteen", "7:15", ""),
        ("ten eleven twelve", "10 11 12", ""),
        ("at fourteen thirty", "at 14:30", ""),
        ("five o five p m", "5:05 p.m.", "5:05 pm"),
        ("from seventeen forty one", "from 1741", ""),
        ("half past ten and quarter to twelve", "half past ten and quarter to twelve", ""),
        ("five o clock", "5 o'clock", ""),
        ("type o negative", "type o negative", ""),
        ("five five five one two three four", "5551234", ""),
        ("fifty percent or fifty per cent", "50% or 50%", ""),
        ("five to ten people", "5 to 10 people", ""),
        ("five to ten dollars", "$5 to $10", ""),
        ("five to ten percent", "5 to 10%", ""),
        ("from ten to eleven thirty", "from 10 to 11:30", ""),
        ("nineteen ninety nine dollars", "$19.99", ""),
        ("a million dollars", "$1 million", ""),
        ("ten cents", "10 cents", ""),
        ("five pounds fifty", "five pounds 50", "£5.50"),
        ("fifty pence", "50 pence", "50p"),
        ("page three", "page 3", ""),
        ("one hundred and", "100 and", ""),
    ],
)
def test_numbers_are_written_as_people_write_them(said: str, us: str, uk: str) -> None:
    assert " ".join(numbers.write(said.split())) == us
    assert " ".join(numbers.write(said.split(), Style(english="uk"))) == (uk or us)


def test_no_phrase_hides_another_and_all_are_lower_case() -> None:
    said = [phrase for item in (*spoken.MARKS, *spoken.COMMANDS) for phrase in item.spoken]
    assert len(said) == len(set(said)) == len(spoken.PHRASES)
    assert all(phrase == phrase.lower() for phrase in said)
