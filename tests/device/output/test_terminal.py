"""Text on a terminal: what its screen shows after any edits, and lines where there is none."""

from __future__ import annotations

import io
import re

from hypothesis import given
from hypothesis import strategies as st

from device.output.journal import JournalEntry
from device.output.terminal import Lines, Terminal


class Screen(io.StringIO):
    """A terminal of so many columns that is never wrapped by itself: every row has to fit."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns, self.rows = columns, [""]

    def write(self, text: str) -> int:
        for part in re.split(r"(\r\x1b\[K|\n)", text):
            if part == "\r\x1b[K":
                self.rows[-1] = ""
            elif part == "\n":
                self.rows.append("")
            else:
                assert part.isprintable()
                self.rows[-1] += part
                assert len(self.rows[-1]) < self.columns
        return len(text)


TEXT = st.text("ab .", max_size=40) | st.sampled_from(["\n", "word\n\n", " several words of a sentence."])


@given(st.lists(TEXT), st.integers(2, 30))
def test_everything_is_written_once_and_fits(texts: list[str], columns: int) -> None:
    screen = Screen(columns)
    terminal = Terminal(screen, lambda: columns)
    for number, text in enumerate(texts):
        terminal.deliver(JournalEntry(number, 0.0, "", 0, text))
        terminal.hint("and what is being said")
    terminal.close()
    assert "".join(screen.rows).replace(" ", "") == "".join(texts).replace(" ", "").replace("\n", "")


@given(st.lists(st.tuples(st.integers(0, 30), TEXT)), st.integers(8, 30))
def test_after_deletions_the_newest_row_is_the_end_of_the_text(edits: list[tuple[int, str]], columns: int) -> None:
    screen, document = Screen(columns), ""
    terminal = Terminal(screen, lambda: columns)
    for number, (delete, text) in enumerate(edits):
        terminal.deliver(JournalEntry(number, 0.0, "", delete, text))
        document = document[: max(0, len(document) - delete)] + text
        assert document.endswith(screen.rows[-1])


def test_a_deletion_within_the_row_is_made_in_place_and_one_above_it_below() -> None:
    screen = Screen(20)
    terminal = Terminal(screen, lambda: 20)
    terminal.deliver(JournalEntry(1, 0.0, "", 0, "Hello wold"))
    terminal.hint("world")
    assert screen.rows == ["Hello wold | world"]
    terminal.deliver(JournalEntry(2, 0.0, "", 2, "rld, it is late now"))
    assert screen.rows == ["Hello world, it is", "late now"]
    terminal.deliver(JournalEntry(3, 0.0, "", 13, ""))
    assert screen.rows == ["Hello world, it is", "late now", "Hello world, i"]


def test_a_dictation_begins_a_row_and_others_print_between() -> None:
    screen = Screen(40)
    terminal = Terminal(screen, lambda: 40)
    terminal.deliver(JournalEntry(1, 0.0, "", 0, "One."))
    terminal.over()
    terminal.over()
    terminal.deliver(JournalEntry(2, 0.0, "", 0, " Two."))
    terminal.aside(lambda: screen.write("a warning\n"))
    terminal.close()
    assert screen.rows == ["One.", "a warning", "Two.", ""]


def test_lines_are_plain_and_deletions_are_told() -> None:
    out, told = io.StringIO(), []
    lines = Lines(out, told.append)
    lines.deliver(JournalEntry(1, 0.0, "", 0, "Hello."))
    lines.deliver(JournalEntry(2, 0.0, "", 3, " Two\n\nthree"))
    assert out.getvalue() == "Hello.\nTwo\nthree\n"
    assert told == ["3 characters that are written already were taken back"]
