"""What is typed for words with capitals and punctuation of the recogniser, in each mode of text.punctuation."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from written_text import DATA, NAMES, capital, sentences, written

from device.text import commands, formatter, itn
from device.text.edits import Delete, apply
from device.text.formatter import FormatterState, Punctuation, Rules, TextFormatter, UndoEntry
from device.text.tokens import punctuated

SPELLINGS = {**NAMES, ("new", "york"): "New York", ("coca-cola",): "Coca-Cola"}
MODES: tuple[Punctuation, ...] = ("auto", "spoken", "both", "off")


@pytest.mark.parametrize(
    ("said", "auto", "spoken", "both"),
    [
        # The recogniser's own punctuation.
        ("Hello, I'm at home. Are you?", "Hello, I'm at home. Are you?", "Hello I'm at home are you", ""),
        ("We met Anna in Paris. Then we left.", "", "We met Anna in Paris then we left", ""),
        ("Mr. Ray, e.g., lives in the U.S. now.", "", "Mr. Ray e.g. lives in the U.S. now", ""),
        ('He said, "Go." And (so) left.', "", "He said Go and so left", ""),
        ("Wait... what? No!", "", "Wait what no", ""),
        ("Thank you.. So, , do I.", "Thank you. So, do I.", "Thank you so do I", ""),
        ("hello there, it is monday.", "Hello there, it is Monday.", "Hello there it is Monday", ""),
        ("iPhone sales are up. IPhone owners rejoice.", "iPhone sales are up. iPhone owners rejoice.",
         "iPhone sales are up iPhone owners rejoice", ""),
        ("In New York, they like coca-cola.",
         "In New York, they like Coca-Cola.", "In New York they like Coca-Cola", ""),
        ("Is it New York's? O\u2019brien's.", "Is it New York's? O'Brien's.", "Is it New York's O'Brien's", ""),
        # Commands set off by pauses or by the recogniser's marks.
        ("Hello, | comma", "Hello,", "Hello,", "Hello,"),
        ("Hello, comma, world.", "Hello, comma, world.", "Hello, world", "Hello, world."),
        ("Yes. | Comma, and then.", "Yes, and then.", "Yes, and then", ""),
        ("It is late. Full stop. See you.", "It is late. See you.", "It is late. See you", ""),
        ("It is late | full stop. | See you.", "It is late. See you.", "It is late. See you", ""),
        ("That's it. | Question mark. | Yes.", "That's it? Yes.", "That's it? Yes", ""),
        ("That's it? | Question-mark? | Yes.", "That's it? Yes.", "That's it? Yes", ""),
        ("That's it. | Question, Mark? | Yes.", "That's it? Yes.", "That's it? Yes", ""),
        ("Milk. | Semicolon. | Eggs.", "Milk; eggs.", "Milk; eggs", ""),
        ("Wait. | Dash. | No.", "Wait – no.", "Wait – no", ""),
        ("Dear Anna, | comma, new line. | Thank you.", "Dear Anna,\nThank you.", "Dear Anna,\nThank you", ""),
        ("Dear Anna, | New line. | Thank you.", "Dear Anna,\nThank you.", "Dear Anna\nThank you", ""),
        ("All done. | New paragraph. | Next, the cost.",
         "All done.\n\nNext, the cost.", "All done\n\nNext the cost", ""),
        ("Yes. | Scratch that. | No.", "No.", "No", ""),
        ("The title is. | All caps. Urgent news.", "The title is. URGENT news.", "The title is URGENT news", ""),
        ("Foot. | No space. | Ball.", "Football.", "Football", ""),
        ("Please write | literal comma. | Thanks.", "Please write comma. Thanks.", "Please write comma thanks", ""),
        ("We live. | Capitalize. Here.", "We live. Here.", "We live Here", ""),
        # Phrases amid words: symbols and addresses are obeyed in every mode, what the recogniser writes itself is not.
        ("Open bracket, see below close bracket.", "(See below).", "(See below)", ""),
        ("He said. | Open quote. | Go? | Close quote. | Then he left.", 'He said. "Go?" Then he left.',
         'He said "go" then he left', ""),
        ("Write to John Dot Smith at sign example dot com.", "Write to John.Smith@example.com.",
         "Write to John.Smith@example.com", ""),
        ("Go to example.com slash help, please.",
         "Go to example.com/help, please.", "Go to example.com/help please", ""),
        ("It costs dollar sign five or ten percent sign.", "It costs $5 or 10%.", "It costs $5 or 10%", ""),
        ("Yes comma this is all caps important.", "Yes comma this is all caps important.", "Yes, this is IMPORTANT",
         "Yes, this is IMPORTANT."),
        ("It is late full stop I leave.",
         "It is late full stop I leave.", "It is late. I leave", "It is late. I leave."),
        ("See example.com period ads here.", "", "See example.com period ads here", ""),
        # Only mentioned.
        ("The trial period ended.", "", "The trial period ended", ""),
        ("They launched this new line of products.", "", "They launched this new line of products", ""),
        ("I had a scratch. That would not heal.", "", "I had a scratch that would not heal", ""),
        ("He told me to scratch that. I did.", "", "He told me to scratch that I did", ""),
        ("I said: scratch that. It was fun.", "", "I said scratch that it was fun", ""),
        ("There is no space left.", "", "There is no space left", ""),
        ("Is it a big question mark?", "", "Is it a big question mark", ""),
        ("Literal translations are bad.", "", "Literal translations are bad", ""),
        ("I asked the question, Mark.", "", "I asked the question Mark", ""),
        # Numbers.
        ("I paid $5 at 10:30, or 1.2 million.", "", "I paid $5 at 10:30 or 1.2 million", ""),
        ("Twenty-five people, three point five percent.", "25 people, 3.5%.", "25 people 3.5%", ""),
        ("We left at five thirty p. M.. Then we ate.", "We left at 5:30 p.m. Then we ate.",
         "We left at 5:30 p.m. then we ate", ""),
        ("A twelve-ounce mocha, an eight-ounce one.", "A 12-ounce mocha, an eight-ounce one.",
         "A 12-ounce mocha an eight-ounce one", ""),
        ("Two twenty-dollar bills, a hundred-dollar bill.", "Two $20 bills, a hundred-dollar bill.",
         "Two $20 bills a hundred-dollar bill", ""),
        ("Meet me at 5 thirty.", "", "Meet me at 5 thirty", ""),
        ("See Chapter five and Page ten.", "See Chapter 5 and Page 10.", "See Chapter 5 and Page 10", ""),
        ("One, sixty six. Ten, twenty, thirty.", "", "One sixty six ten twenty thirty", ""),
        ("It starts at nine, fifteen people came.", "", "It starts at nine fifteen people came", ""),
        ("Call one eight hundred five five five, one two three four.",
         "Call 1-800-555-1234.", "Call 1-800-555-1234", ""),
        ("On March twenty-first, twenty twenty-six, we met.", "On March 21, 2026, we met.",
         "On March 21, 2026 we met", ""),
        ("Room one, oh one.", "Room 101.", "Room 101", ""),
    ],
)  # fmt: skip
def test_segments_in_each_mode(said: str, auto: str, spoken: str, both: str) -> None:
    """No form for `auto` is what was said, none for `both` is that for `auto`."""
    auto = auto or said
    expected: dict[Punctuation, str] = {"auto": auto, "spoken": spoken, "both": both or auto}
    for mode, form in expected.items():
        assert written(said, rules=Rules(mode, spellings=SPELLINGS), punctuated=True) == form, mode


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (["Hello there.", "How are you?"], "Hello there. How are you?"),
        (["Hello there.", "Comma.", "How are you?"], "Hello there, how are you?"),
        (["Hello there.", "Question mark.", "I am fine."], "Hello there? I am fine."),
        (["Hello there.", "Full stop.", "I am fine."], "Hello there. I am fine."),
        (["Hello there", "Full stop.", "I am fine."], "Hello there. I am fine."),
        (["We saw,", "The NASA building."], "We saw, the NASA building."),
        (["We left at 5 p.m.", "Then we ate."], "We left at 5 p.m. Then we ate."),
        (["We left at five p m.", "Full stop.", "Then we ate."], "We left at 5 p.m. Then we ate."),
        (["Hello.", "New line.", "New paragraph.", "Bye."], "Hello.\n\n\nBye."),
        (["One.", "Two.", "Scratch that.", "Three."], "One. Three."),
        (["Hello.", "Comma.", "Scratch that.", "Bye."], "Hello. Bye."),
        (["Hello.", "Comma.", "Scratch that.", "Scratch that.", "Bye."], "Bye."),
        (["Hello.", "Comma. | Scratch that. | Bye."], "Hello. Bye."),
        (["Hello.", ".", ", ,", "Bye."], "Hello. Bye."),
    ],
)
def test_what_one_segment_leaves_the_next_takes_up(segments: list[str], expected: str) -> None:
    assert written(*segments, punctuated=True) == expected


def test_words_without_punctuation_go_on_where_punctuated_ones_end() -> None:
    """The second pass may fall back on the first one's words for a segment."""
    writer = TextFormatter()
    writer.begin()
    document = ""
    for text, own in (("Hello there.", True), ("how are you comma", False), ("Fine. And you?", True), ("fine", False)):
        document = apply(document, writer.segment(text, punctuated=own))
    assert document == "Hello there. How are you, fine. And you? Fine"


def test_off_writes_what_was_recognised() -> None:
    said = "Hello, | comma. | Scratch that. | New line. Open bracket. No."
    assert written(said, rules=Rules("off"), punctuated=True) == said.replace("| ", "")


def test_enter_is_never_pressed_where_that_is_asked_for() -> None:
    rules = Rules(enter_key=False)
    assert written("Hello.", "New line.", "This | new paragraph. | yes.", rules=rules, punctuated=True) == (
        "Hello. This Yes."
    )


@pytest.mark.parametrize("mode", ["auto", "both"])
def test_everyday_sentences_come_out_as_they_went_in_but_for_numbers(mode: Punctuation) -> None:
    for said, forms in sentences(DATA / "everyday.tsv"):
        own = " ".join(formatter._cased(word) for word in said.split())
        text = f"{capital(own)}."
        assert written(text, rules=Rules(mode, style=None), punctuated=True) == text
        expected = {f"{form}." for form in forms} | {form for form in forms if form.endswith(".")}
        assert written(text, rules=Rules(mode), punctuated=True) in expected


def test_sentences_reported_from_the_field_are_written_alike_with_capitals_and_marks() -> None:
    for said, forms in sentences(DATA / "spoken_forms.tsv"):
        if "all caps" not in said:
            text = written(f"{capital(said)}.", punctuated=True)
            assert text.removesuffix(".") in [form.removesuffix(".") for form in forms], said


PHRASES = st.sampled_from([" ".join(phrase) for phrase in commands.PHRASES])
WORDS = st.sampled_from(
    "hello Paris I i'm you the a of at Mr. p.m. NASA iphone new york 5 $20 10:30 twenty twenty-five five one hundred "
    "oh dollars percent march first monday".split()
)
MARKS = st.sampled_from(["", "", "", ",", ".", "?", "!", ":", ";", "...", "..", ",,", '."', '"', ")", "…"])


@st.composite
def utterances(draw: st.DrawFn) -> str:
    """Words and spoken phrases with capitals, marks and pauses anywhere."""
    parts = []
    for _ in range(draw(st.integers(0, 10))):
        words = draw(PHRASES | WORDS)
        words = draw(st.sampled_from([words, words.capitalize(), words.title(), words.replace(" ", "-")]))
        parts += [
            draw(st.sampled_from(["", "", "", '"', "("])) + words + draw(MARKS),
            *draw(st.sampled_from([[], ["|"]])),
        ]
    return " ".join(parts)


@given(st.lists(st.tuples(utterances(), st.booleans()), max_size=5), st.sampled_from(MODES))
@example([("Hello.", True), ("comma", False)], "auto")
@example([("Hello, full stop. | Comma. | Yes.", True)], "both")
@example([("dot", False), ("comma", False)], "auto")
@example([("comma colon comma full stop colon comma", False)], "auto")
@example([("five p.m. | comma. | five p m full stop.", True)], "auto")
def test_no_mixture_of_words_marks_commands_and_pauses_doubles_a_mark_or_a_space(
    segments: list[tuple[str, bool]], mode: Punctuation
) -> None:
    writer = TextFormatter(Rules(mode, spellings=SPELLINGS))
    writer.begin()
    document = ""
    for said, own in segments:
        words = said if own else re.sub(r'[.,?!:;…"()]', "", said).lower()
        document = apply(document, writer.segment(*formatter.pauses(words), own))
    without = re.sub(r"(?i)(Mr|[ap]\.m)\.", r"\1", document)
    assert "  " not in without and ",," not in without and ".," not in without and ",." not in without, document
    assert not re.search(r" [,;:?!]|(?<![\n\t. ]) \.|[\n\t] ", without), document


def fold(entries: tuple[UndoEntry, ...]) -> str:
    document = ""
    for entry in entries:
        assert document.endswith(entry.replaced)
        document = document[: len(document) - len(entry.replaced)] + entry.text
    return document


@given(
    st.lists(
        st.tuples(utterances(), st.booleans(), st.sampled_from(["segment", "segment", "begin", "take back"])),
        max_size=12,
    ),
    st.sampled_from(MODES),
)
@example(
    [("Hello.", True, "segment"), ("", True, "begin"), ("Comma.", True, "segment"), ("", True, "take back")], "auto"
)
def test_edits_add_up_to_the_entries(script: list[tuple[str, bool, str]], mode: Punctuation) -> None:
    writer = TextFormatter(Rules(mode, spellings=SPELLINGS))
    document = ""
    for said, own, action in script:
        if action == "begin":
            writer.begin(0.0)
            continue
        edits = writer.segment(*formatter.pauses(said), own) if action == "segment" else writer.undo_last()
        assert [type(edit) for edit in edits].count(Delete) <= 1 >= len(edits) - 1
        document = apply(document, edits)
        assert document == fold(writer.state.entries)


@given(st.lists(utterances(), max_size=4), utterances())
def test_scratching_a_segment_is_as_if_it_was_never_said(before: list[str], said: str) -> None:
    rules, state = Rules(), formatter.begin(FormatterState(), 1e9, Rules())
    for segment in before:
        state, _ = formatter.write(state, *_with(segment, rules))
    after, _ = formatter.write(state, *_with(said, rules))
    if len(after.entries) == len(state.entries) + 1 and "scratch" not in said.lower():
        assert formatter.write(after, "Scratch that.", rules, (), True)[0] == state


def _with(segment: str, rules: Rules) -> tuple[str, Rules, tuple[int, ...], bool]:
    words, pauses = formatter.pauses(segment)
    return words, rules, pauses, True


@given(utterances())
def test_off_keeps_every_letter(said: str) -> None:
    words, _ = formatter.pauses(said)
    typed = written(said, rules=Rules("off", style=None, spellings=SPELLINGS), punctuated=True)
    assert letters(typed) == letters(words)


def letters(text: str) -> str:
    """Letters and digits alone."""
    return "".join(filter(str.isalnum, text)).lower()


@given(utterances())
def test_pauses_stay_where_they_were(said: str) -> None:
    words, pauses = formatter.pauses(said)
    tokens, shifted = punctuated(words.split(), pauses)
    assert all(0 <= at <= len(tokens) for at in shifted) and len(shifted) <= len(pauses)


@given(utterances())
def test_figures_that_the_recogniser_wrote_are_not_touched(said: str) -> None:
    words = said.replace("|", "").split()
    plain = " ".join(itn.write(words))
    assert all(plain.count(figure) >= words.count(figure) for figure in ("5", "$20", "10:30"))
