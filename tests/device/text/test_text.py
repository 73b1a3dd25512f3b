"""Words to written text: capitals, marks, commands, numbers; and that the edits add up."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from written_text import DATA, NAMES, sentences, written

from device.config import schema
from device.text import commands, formatter, itn, number_grammar
from device.text.edits import Delete, Insert, apply
from device.text.formatter import FormatterState, Rules, TextFormatter, rules_from
from device.text.itn import Style

VOCABULARY = [
    *"hello world i i'm you monday may the a of at to and p m oh point minus percent dollars literal".split(),
    *(" ".join(phrase) for phrase in commands.PHRASES),
    *number_grammar.UNITS, *number_grammar.TEENS, *number_grammar.TENS, *number_grammar.SCALES, "hundred", "twentieth",
    "march", "first", "iphone", "pie", "torch", "cents", "o'clock",
]  # fmt: skip
SPEECH = st.lists(st.sampled_from(VOCABULARY), max_size=12).map(" ".join)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("hello world", "Hello world"),
        ("i think i'm fine and i'll go", "I think I'm fine and I'll go"),
        ("yes full stop no question mark why", "Yes. No? Why"),
        ("see you on monday in march", "See you on Monday in march"),
        ("dear anna comma new line | thank you | new paragraph | yours", "Dear anna,\nThank you\n\nYours"),
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
        ("that period is it comma every dash", "That period is it, every dash"),
        ("that period | is it", "That. Is it"),
        ("new paragraph | a", "\n\nA"),
        ("new paragraph full stop", "\n\n."),
        ("literal scratch that", "Scratch that"),
        ("go to capitalize paris all caps now", "Go to Paris NOW"),
        ("capitalize pie torch", "PyTorch"),
        ("the word capitalize", "The word capitalize"),
        ("foot no space ball", "Football"),
        ("at five p m full stop then", "At 5 p.m. Then"),
        ("twenty people full stop ten more", "20 people. 10 more"),
        ("tab key | hello", "\tHello"),
        ("all caps n a s a says hi", "NASA says hi"),
        ("press all caps a now", "Press A now"),
        ("the title in all caps is ugly", "The title in all caps is ugly"),
        ("there is no space left", "There is no space left"),
        ("we capitalize on it", "We capitalize on it"),
        ("open example dot com slash help", "Open example.com/help"),
        ("john dot smith at sign example dot co dot uk", "John.smith@example.co.uk"),
        ("ping one nine two dot one six eight dot o dot one now", "Ping 192.168.0.1 now"),
        ("go to ten dot zero dot zero dot two hundred", "Go to 10.0.0.200"),
        ("dollar sign five", "$5"),
        ("it costs five percent sign more", "It costs 5% more"),
        ("five percent sign", "5%"),
        ("he gave an open quote big close quote talk", 'He gave an "big" talk'),
        ("a red dot in the sky", "A red dot in the sky"),
        ("is it a big question mark", "Is it a big question mark"),
        ("is it big question mark", "Is it big?"),
        ("is that the right one question mark yes", "Is that the right one? Yes"),
        ("wait | dash | no", "Wait – no"),
        ("it took too long period", "It took too long."),
        ("wait a second period", "Wait a second."),
        ("are you the first question mark", "Are you the first?"),
        ("he came dash of course dash too late period", "He came – of course – too late."),
        ("this is all caps important", "This is IMPORTANT"),
        ("we read capitalize the great gatsby", "We read The great gatsby"),
        ("we have to capitalize the first letter", "We have to capitalize the first letter"),
        ("this is the end period we go home", "This is the end. We go home"),
        ("it was the trial period", "It was the trial period"),
        ("no | full stop | yes", "No. Yes"),
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
        (["hello", "new line", "world"], "Hello\nWorld"),
        (["hello new line", "world"], "Hello new line world"),
        (["open quote", "world", "close quote"], '"World"'),
        (["hello", "there | scratch that | world"], "Hello world"),
        (["hello", "there scratch that | world"], "Hello there scratch that world"),
        (["hello", "there | scratch that world"], "Hello there scratch that world"),
        (["hello full stop", "scratch that", "comma"], ","),
        (["one two three", "four full stop", "scratch that scratch that | five"], "Five"),
        (["a b", "c | scratch that scratch that | d"], "D"),
        (["scratch that"], ""),
        (["scratch that | hello"], "Hello"),
        (["hello", "scratch that hello"], "Hello scratch that hello"),
    ],
)
def test_what_one_segment_leaves_the_next_takes_up(segments: list[str], expected: str) -> None:
    assert written(*segments) == expected


def test_letters_and_their_accents_are_composed() -> None:
    rules = Rules(spellings={("zoë",): "Zoë"})
    assert written("zoe\u0308 at the cafe\u0301", rules=rules) == "Zoë at the café"


def test_switched_off_rules_leave_words() -> None:
    rules = Rules(punctuation="off", style=None)
    assert written("twenty comma scratch that", rules=rules) == "Twenty comma scratch that"


@given(st.lists(st.tuples(SPEECH, st.sampled_from(["segment", "begin", "forget", "take back"])), max_size=12))
def test_edits_add_up_to_the_entries_and_never_delete_what_was_not_written(
    script: list[tuple[str, str]],
) -> None:
    writer = TextFormatter(Rules(spellings=NAMES))
    document, kept = "", ""
    for said, action in script:
        if action == "segment":
            edits = writer.segment(said)
        elif action == "take back":
            edits = writer.undo_last()
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
    rules, state = Rules(), formatter.begin(FormatterState(), 1e9, Rules())
    for segment in before:
        state, _ = formatter.write(state, segment, rules)
    after, edits = formatter.write(state, said, rules)
    if len(after.entries) == len(state.entries) + 1 and "scratch" not in said:
        again, _ = formatter.write(after, "scratch that", rules)
        assert again == state
        assert formatter.undo_last(after)[0].entries == ()
    assert isinstance(edits, tuple)


@given(SPEECH)
def test_writing_depends_on_state_alone(said: str) -> None:
    assert formatter.write(FormatterState(), said, Rules()) == formatter.write(FormatterState(), said, Rules())


def test_history_is_bounded_and_taking_back_goes_dictation_by_dictation() -> None:
    writer = TextFormatter()
    document = ""
    for _ in range(3):
        writer.begin(1.0)
        for word in ("one", "two"):
            document = apply(document, writer.segment(word))
    assert document == "One two one two one two"
    assert writer.undo_last() == (Delete(len(" one two")),)
    assert writer.undo_last() == (Delete(len(" one two")),)
    assert writer.undo_last() == (Delete(len("One two")),)
    assert writer.undo_last() == ()
    for _ in range(3 * formatter.HISTORY):
        writer.segment("on")
    assert len(writer.state.entries) == formatter.HISTORY


def test_after_a_long_pause_nothing_is_joined_or_deleted() -> None:
    writer = TextFormatter()
    writer.begin()
    writer.segment("hello")
    writer.begin(119.0)
    assert writer.segment("you") == (Insert(" you"),)
    writer.begin(120.0)
    assert writer.undo_last() == ()
    assert writer.segment("scratch that") == ()
    assert writer.segment("you") == (Insert("You"),)


def spell(n: int) -> str:
    """An independent speller, British with "and"."""
    small = (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen"
    ).split()
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()
    for size, word in (
        (10**15, "quadrillion"),
        (10**12, "trillion"),
        (10**9, "billion"),
        (10**6, "million"),
        (1000, "thousand"),
    ):
        if n >= size:
            rest = n % size
            joint = " and " if 0 < rest < 100 else " "
            return f"{spell(n // size)} {word}" + (joint + spell(rest) if rest else "")
    if n >= 100:
        return f"{small[n // 100]} hundred" + (f" and {spell(n % 100)}" if n % 100 else "")
    return small[n] if n < 20 else tens[n // 10 - 2] + (f" {small[n % 10]}" if n % 10 else "")


@given(st.integers(0, 10**18 - 1), st.booleans())
def test_every_whole_number_is_understood_with_and_without_and(n: int, british: bool) -> None:
    words = spell(n) if british else spell(n).replace(" and ", " ")
    found = number_grammar.cardinal(words.split(), 0)
    assert found == number_grammar.Number(str(n), len(words.split()))
    (one,) = itn.write(words.split(), Style(digits_from=0)) or ["?"]
    plain = one.replace(",", "")
    for word, size in (("quadrillion", 10**15), ("trillion", 10**12), ("billion", 10**9), ("million", 10**6)):
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
    found = number_grammar.ordinal(words, 0)
    assert found is not None and (found.text, found.end) == (str(n), len(words))


@given(st.integers(1, 12), st.integers(0, 59), st.sampled_from(["a", "p"]))
def test_every_time_of_day(hour: int, minute: int, half: str) -> None:
    minutes = "" if not minute else f"oh {spell(minute)} " if minute < 10 else f"{spell(minute)} "
    expected = f"{hour}:{minute:02} {half}.m." if minute else f"{hour} {half}.m."
    assert itn.write(f"{spell(hour)} {minutes}{half} m".split()) == [expected]


@given(st.integers(1300, 2099).filter(lambda y: y % 100 and not 2000 <= y <= 2009))
def test_years_said_in_pairs(year: int) -> None:
    rest = year % 100
    said = f"{spell(year // 100)} " + (f"oh {spell(rest)}" if rest < 10 else spell(rest))
    assert itn.write(["in", *said.split()]) == ["in", str(year)]


@given(st.integers(0, 10**6), st.integers(1, 99))
def test_money(dollars: int, cents: int) -> None:
    said = f"{spell(dollars)} dollars and {spell(cents)} cents"
    expected = f"${dollars:,}.{cents:02}" if dollars != 10**6 else "$1 million"
    assert itn.write(said.split())[0] == expected


@given(st.lists(st.sampled_from(VOCABULARY), max_size=10))
def test_numbers_keep_every_word_that_is_not_part_of_one(words: list[str]) -> None:
    words = " ".join(words).split()
    plain = [w for w in words if w in ("hello", "world", "you", "monday", "comma")]
    assert [w for w in " ".join(itn.write(words)).split() if w in plain] == plain


@pytest.mark.parametrize(
    ("said", "us", "uk"),
    [
        ("one of two people", "one of two people", ""),
        ("no one knows", "no one knows", ""),
        ("forty and five", "forty and five", ""),
        ("a hundred times", "a hundred times", ""),
        ("a hundred and one", "101", ""),
        ("thousands of people", "thousands of people", ""),
        ("one hundred one hundred", "one hundred one hundred", ""),
        ("five hundred thousand", "500,000", ""),
        ("a couple million", "a couple million", ""),
        ("two point five million", "2.5 million", ""),
        ("three point oh five", "3.05", ""),
        ("minus forty degrees", "-40 degrees", ""),
        ("five minus three", "five minus three", ""),
        ("twelve divided by four is three", "12 divided by 4 is 3", ""),
        ("two dollars and twenty", "two dollars and twenty", ""),
        ("ninety nine times out of a hundred", "ninety nine times out of a hundred", ""),
        ("five a m or p m", "5 a.m. or p.m.", "5 am or pm"),
        ("eight and a half by eleven", "eight and a half by eleven", ""),
        ("one hour thirty", "one hour thirty", ""),
        ("one hour thirty minutes", "1 hour 30 minutes", ""),
        ("from may first to may fifth", "from May 1 to May 5", ""),
        ("july fourth nineteen seventy six", "July 4, 1976", ""),
        ("version four point oh point one", "version 4.0.1", ""),
        ("call me on oh seven nine double one one two three", "call me on 07911123", ""),
        ("one point five million to two million dollars", "$1.5 million to $2 million", ""),
        ("one million to two million", "1 million to 2 million", ""),
        ("two point five to three million", "two point five to three million", ""),
        ("two or two point five percent", "2 or 2.5%", ""),
        ("one hundred ninety-nine debtors", "199 debtors", ""),
        ("in fourteen sixty-eight", "in 1468", ""),
        ("forty-five year-olds and two-thirds of it", "45 year-olds and two-thirds of it", ""),
        ("fifty-fifty and one-third", "fifty-fifty and one-third", ""),
        ("two twenty-five dollar bills", "two twenty-five dollar bills", ""),
        ("on the fourteenth june", "on the 14th June", ""),
        ("which one am i", "which one am i", ""),
        ("two quadrillion and six", "2,000,000,000,000,006", ""),
        ("twenty one crore ninety eight lakh", "twenty one crore ninety eight lakh", ""),
        ("nine times out of ten", "nine times out of ten", ""),
        ("the twenty first and the twenty second", "the 21st and the 22nd", ""),
        ("the sixteenth and seventeenth centuries", "the 16th and 17th centuries", ""),
        ("in the twenty tens", "in the 2010s", ""),
        ("six four six three", "six four six three", ""),
        ("my zip is nine four one one oh", "my zip is 94110", ""),
        ("oh eight hundred one two three four five six", "0800 123456", ""),
        ("one dollar fifty", "$1.50", ""),
        ("twenty pounds of sugar", "20 pounds of sugar", ""),
        ("a thousand two hundred", "1200", ""),
        ("between one hundred and one hundred and fifty", "between 100 and 150", ""),
        ("from two thousand to two thousand five", "from 2000 to 2005", ""),
        ("between two and four p m", "between 2 and 4 p.m.", "between 2 and 4 pm"),
        ("since twenty nineteen", "since 2019", ""),
        ("the twenty first of march", "the 21st of March", ""),
        ("march twenty first twenty twenty six", "March 21, 2026", ""),
        ("twenty fifth december", "25 December", ""),
        ("may five people come", "may five people come", ""),
        ("july twenty twenty six", "July 2026", ""),
        ("in a second", "in a second", ""),
        ("two thirds", "two thirds", ""),
        ("twenty first graders", "twenty first graders", ""),
        ("at five thirty", "at 5:30", ""),
        ("five thirty p m", "5:30 p.m.", "5:30 pm"),
        ("six o'clock", "6 o'clock", ""),
        ("seven fifteen", "seven fifteen", ""),
        ("ten eleven twelve", "ten eleven twelve", ""),
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
        ("nineteen ninety nine dollars", "nineteen ninety nine dollars", ""),
        ("a million dollars", "a million dollars", ""),
        ("ten cents", "10 cents", ""),
        ("five pounds fifty", "five pounds fifty", "£5.50"),
        ("fifty pence", "50 pence", "50p"),
        ("page three", "page 3", ""),
        ("one hundred and", "100 and", ""),
    ],
)
def test_numbers_are_written_as_people_write_them(said: str, us: str, uk: str) -> None:
    assert " ".join(itn.write(said.split())) == us
    assert " ".join(itn.write(said.split(), Style(english="uk"))) == (uk or us)


@pytest.mark.parametrize(("said", "forms"), sentences(DATA / "spoken_forms.tsv"))
def test_sentences_reported_from_the_field_are_written_as_a_person_would(said: str, forms: list[str]) -> None:
    assert written(said) in forms


@pytest.mark.parametrize(("said", "forms"), sentences(DATA / "everyday.tsv"))
def test_everyday_sentences_are_not_changed_for_the_worse(said: str, forms: list[str]) -> None:
    assert written(said) in forms


@pytest.mark.parametrize(
    "said",
    [
        "forty five thousand two five hundred", "one fifty to two hundred dollars", "two or three hundred thousand",
        "six foot two to six foot four", "from one fifty to two hundred", "between two and three hundred",
        "two thirty second breaks", "one twenty five dollars", "two ninety nine dollars", "three hundred dollar chairs",
        "five to six thousand", "about one or two million euros", "at four thirty day trials", "two two thirty",
        "in twenty twenty minute sessions", "after three forty minute talks", "twenty twenty five dollar bills",
        "one half", "a tenth of it", "sixty forty", "three point", "point taken",
        "a million and one ideas", "several hundred and twelve", "half a thousand dollars", "the twenty second delay",
        "sold at two fifty a share", "seven eight nine people", "two one seven", "nineteen eighty four people",
        "five five", "twelve fifteen year old boys",
    ],
)  # fmt: skip
def test_what_has_several_readings_stays_as_said(said: str) -> None:
    assert " ".join(itn.write(said.split())) == said


def figures(text: str) -> set[float]:
    """The values of the figures in a text."""
    sizes = {"": 1.0, **{word: float(size) for word, size in number_grammar.SCALES.items()}}
    found = re.findall(r"(\d[\d,]*(?:\.\d+)?)(?: (thousand|million|billion|trillion)\b)?", text)
    return {float(digits.replace(",", "")) * sizes[scale] for digits, scale in found}


AMOUNT = st.one_of(st.integers(1, 130), st.integers(1, 99).map(lambda n: n * 100), st.integers(1, 10**7))


@given(
    AMOUNT,
    AMOUNT,
    st.sampled_from(["", "i have", "about", "we need", "between", "the", "a", "and", "they sold my"]),
    st.sampled_from(["", "to", "or", "and", "by", "minus", "in", "out of", "people and", "for"]),
    st.sampled_from(
        ["", "people", "dollars", "dollar bills", "percent", "year olds", "minute walks", "and", "of them"]
    ),
)
def test_two_numbers_never_become_a_figure_that_was_not_said(
    first: int, second: int, before: str, joint: str, after: str
) -> None:
    numerals = f"{spell(first)} {joint} {spell(second)}".split()
    whole = number_grammar.cardinal(numerals, 0)
    assume(joint or not whole or whole.end <= len(spell(first).split()))
    assume(not (joint == "and" and whole and whole.end > len(spell(first).split())) or before == "between")
    assume(not (before == "between" and " and " in spell(first) and joint != "and"))
    said = f"{before} {' '.join(numerals)} {after}".split()
    assert figures(" ".join(itn.write(said))) <= {first, second}, said


@given(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=10), st.lists(st.booleans(), min_size=9, max_size=9))
def test_hyphens_do_not_change_what_is_written(words: list[str], hyphens: list[bool]) -> None:
    words = " ".join(words).split()
    joints = ["-" if hyphen else " " for hyphen in hyphens]
    said = words[0] + "".join(
        (joint if before in number_grammar.TENS and after in number_grammar.UNITS else " ") + after
        for before, after, joint in zip(words, words[1:], joints * len(words), strict=False)
    )
    hyphenated = " ".join(itn.write(said.split()))
    assert hyphenated.replace("-", " ") == " ".join(itn.write(words)).replace("-", " ")


@given(st.lists(st.sampled_from(VOCABULARY), max_size=10))
def test_written_numbers_are_left_alone(words: list[str]) -> None:
    once = " ".join(itn.write(" ".join(words).split()))
    assert figures(" ".join(itn.write(once.split()))) >= figures(once)


@pytest.mark.parametrize("file", ["spoken_forms.tsv", "everyday.tsv"])
def test_written_sentences_are_left_alone(file: str) -> None:
    for said, _ in sentences(DATA / file):
        assert written(written(said)) == written(said)


def test_no_phrase_hides_another_and_all_are_lower_case() -> None:
    said = [phrase for item in (*commands.MARKS, *commands.COMMANDS) for phrase in item.spoken]
    assert len(said) == len(set(said)) == len(commands.PHRASES)
    assert all(phrase == phrase.lower() for phrase in said)


@pytest.mark.parametrize("phrase", ["new line", "newline", "new paragraph", "press enter"])
def test_enter_is_never_pressed_where_that_is_asked_for(phrase: str) -> None:
    writer = TextFormatter(rules_from(schema.TextSettings(enter_key=False), {}))
    edits = [edit for said in ("hello", phrase, f"remove all {phrase} yes", phrase) for edit in writer.segment(said)]
    typed = apply("", edits)
    assert "\n" not in typed and "\r" not in typed
    assert typed.startswith("Hello ")


def test_a_new_line_that_is_not_pressed_still_begins_a_sentence() -> None:
    writer = TextFormatter(rules_from(schema.TextSettings(enter_key=False), {}))
    edits = [edit for said in ("hello full stop", "new line", "this is it") for edit in writer.segment(said)]
    assert apply("", edits) == "Hello. This is it"
