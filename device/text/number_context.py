"""Words around numbers that tell what a number is: an amount, a year, a time of day, a label, or no figure at all.

>>> "dollars" in COUNTED, "on" in DATE, "people" in CLOSED
(True, True, False)
"""

from __future__ import annotations

from device.text import number_grammar


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


MONTHS = {
    m: m.capitalize()
    for m in ("january february march april may june july august september october november december".split())
}
CURRENCIES = {"dollar": "$", "dollars": "$", "euro": "€", "euros": "€"}
POUNDS = {"pound": "£", "pounds": "£"}
PARTS = _set("cent cents pence penny")
"""Hundredths of a currency."""
LABELS = _set("chapter page version figure section room")
"""What a number after them names, rather than counts."""
PAIR_LABELS = _set("room flight route highway interstate bus suite apartment extension gate")
"""Those whose numbers are often said as "two fourteen"."""
DIGIT_LABELS = _set("call dial phone telephone ring code pin password extension number zip postcode")
"""Digits are said one by one within three words after these."""
CLOCK = _set("at until till before after since from by")
YEAR = _set("in since until till from by before after during year early late mid summer winter spring autumn fall of")
DATE = _set("on in by since until till from before after to of for early late mid this last next between and is was")
COUNTED = {*CURRENCIES, *POUNDS, *PARTS, *number_grammar.SCALES, "hundred", "percent", "times"}
"""They make the number before them an amount, not a year, a day or a time."""
CONNECTORS = _set("to or and by plus minus times versus through in") | {"divided by", "multiplied by", "out of"}
ARITHMETIC = _set("plus minus times divided multiplied")
EQUALS = _set("is are equals makes make")
ALIKE = CONNECTORS - {"and", "in", "out of"} | EQUALS
"""Numbers that these join are all in digits if one is; others are then all in words, except after "between"."""
MEASURES = _set(
    "hour hours minute minutes second seconds foot feet inch inches pound pounds ounce ounces stone year years month "
    "months week weeks day days degree degrees"
)
COMPOUND_UNITS = _set(
    "hour minute second foot inch pound ounce year month week day degree mile meter metre yard kilometer kilometre "
    "acre gallon liter litre gram kilogram ton watt volt page word dollar euro percent story storey seat room bedroom "
    "member person man woman point piece"
)
"""The second part of a compound whose first is a number: "twelve-ounce"."""
TWO_PART = _set("foot feet stone pound pounds hour hours minute minutes")
"""Measures after which the smaller unit is often left out: "five foot ten"."""
PRONOUN_ONE = _set(
    "no this that these those the any every each some which another only other last next first new old good bad big "
    "little small right wrong same my your his her its our their loved"
)
"""After these, "one" stands for a thing."""
CLOSED = _set(
    "a an the and or but nor to of in on at by for from with without until till before after since during i you he she "
    "it we they me him us them is are was were am be been being will would can could shall should may might must do "
    "does did has have had not so then than that this these those there here if when while because as who which where "
    "what how why my your his her its our their i'm i'll i'd i've you're he's she's it's we're we'll they're they'll "
    "let's that's there's please sharp today tomorrow tonight yesterday next last just about around again instead too "
    "also now monday tuesday wednesday thursday friday saturday sunday"
) | {""}
"""Words that no number counts: after one, or at the end, a number is not an amount of something."""
DETERMINERS = _set("the my your his her its our their this that every each")
"""After these an ordinal names one thing, and is no fraction."""
ORDINAL_NOUNS = (
    _set("of century centuries birthday anniversary floor street avenue grade edition place") | MONTHS.keys()
)
"""What follows an ordinal that is written in digits in any case."""
PRICED = _set("priced valued sells sold selling trading closed opened quoted listed estimated traded aged set capped")
"""Before "at two fifty", these say that it is a price and no time."""
FRACTIONS = _set("half quarter third fifth sixth eighth tenth") | _set(
    "halves quarters thirds fourths fifths sixths sevenths eighths ninths tenths hundredths thousandths"
)
BEFORE_PARTS = _set("half point dot")
AFTER_PARTS = _set("hundreds thousands nil love dot")
"""Beside these a number is only a part of what was said: "ten nil", "half ten"."""
DECADES = {"tens": "10"} | {f"{word.removesuffix('y')}ies": str(value) for word, value in number_grammar.TENS.items()}
"""The plurals of tens, by which a century becomes a decade."""
AMOUNTS_BEFORE = _set("half quarter couple few several dozen dozens hundreds thousands millions") | number_grammar.LARGE
"""Amounts that a number with "and" adds to: "a couple hundred and fifty"."""
OTHER_SCALES = _set("quintillion sextillion septillion zillion lakh lakhs crore crores gazillion")
"""Scales that the grammar does not know."""
CLOCK_MINUTES = _set("five ten twenty")
NOW = CLOCK - {"from"} | {"it's", "is", "was", "about", "almost", "nearly"}
"""Before "ten to five", these say that it is a time."""
IDIOMS = frozenset(
    tuple(idiom.split())
    for idiom in (
        "forty winks", "nine to five", "twenty twenty vision", "twenty twenty hindsight", "fifty fifty", "ten four",
        "twenty four seven", "sweet sixteen", "eleventh hour", "twelfth night", "ten commandments", "catch twenty two",
        "nine eleven", "seven eleven", "ten to one", "twenty something", "thirty something", "forty something",
        "fifty something", "at one point", "a hundred and one things", "a hundred and one ways", "a million and one",
        "a thousand and one", "one in a million", "one in a hundred", "one in a thousand", "at sixes and sevens",
        "one hundred and one things", "a hundred and one reasons", "perfect ten", "nineteen to the dozen",
    )
)  # fmt: skip
"""Phrases whose numbers nobody writes in digits."""
