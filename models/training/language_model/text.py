"""Written English into spoken words: what the language model is trained on.

A dictation language model predicts what is *said*, so numbers, abbreviations and symbols are spelled out here, case
and punctuation are dropped, and everything that cannot be read aloud as English words ends the stretch of text.

    >>> list(spoken("Mr. Brown paid £3.50 in 1984; it's 50% more."))
    ["mister brown paid three pounds fifty in nineteen eighty four it's fifty percent more"]
"""

import re
from collections.abc import Callable, Iterator, Mapping

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_CURRENCIES = {"$": ("dollar", "dollars"), "£": ("pound", "pounds"), "€": ("euro", "euros")}
_ABBREVIATIONS = {
    "mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint", "prof": "professor", "capt": "captain",
    "gen": "general", "col": "colonel", "lt": "lieutenant", "sgt": "sergeant", "rev": "reverend", "hon": "honorable",
    "gov": "governor", "jr": "junior", "sr": "senior", "etc": "et cetera", "vs": "versus", "messrs": "messieurs",
}  # fmt: skip
_SYMBOLS = {"&": "and", "%": "percent", "+": "plus", "=": "equals", "@": "at", "°": "degrees"}
PUNCTUATION = {
    ",": "comma", ".": "period", "?": "question mark", "!": "exclamation mark", ":": "colon", ";": "semicolon",
}  # fmt: skip

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "`": "'", "ʼ": "'", "´": "'"})
_PLAIN = str.maketrans(
    dict.fromkeys('“”"«»„*_~|^\xa0', " ")
    | dict.fromkeys("—–―‒−", " - ")
    | {"…": ". ", "\u00ad": "", "æ": "ae", "œ": "oe"}
)
_TOKEN = re.compile(
    r"(?P<money>[$£€]\s?\d[\d,]*(?:\.\d+)?(?:\s(?:million|billion|trillion))?)"
    r"|(?P<time>\b\d{1,2}:\d{2}\b)"
    r"|(?P<ordinal>\b\d[\d,]*(?:st|nd|rd|th)\b)"
    r"|(?P<decade>\b\d{2,4}'?s\b)"
    r"|(?P<number>\b\d[\d,]*(?:\.\d+)?)"
    r"|(?P<word>[^\W\d_]+(?:'[^\W\d_]+)*'?)"
    r"|(?P<symbol>[&%+=@°])"
    r"|(?P<stop>[.?!])"
    r"|(?P<mark>[,:;])"
    r"|(?P<other>\S)"
)
_ABBREVIATED = re.compile(
    r"\b(" + "|".join(_ABBREVIATIONS) + r"|no|vol|pp|fig|ch|i\.e|e\.g|[A-Za-z])\.(?=\s|,)", re.IGNORECASE
)
_ENGLISH = re.compile(r"[a-z']+")
_ACCENTS = str.maketrans("àáâãäåçèéêëìíîïñòóôõöøùúûüýÿāăēīōūšžčćłńśż", "aaaaaaceeeeiiiinoooooouuuuyyaaeiouszcclnsz")


def cardinal(n: int) -> list[str]:
    """Spell a whole number below 10**15 as spoken, without "and": 1205 -> one thousand two hundred five."""
    if n < 20:
        return [_ONES[n]]
    if n < 100:
        return [_TENS[n // 10]] + (cardinal(n % 10) if n % 10 else [])
    for scale, name in _SCALES:
        if n >= scale:
            return [*cardinal(n // scale), name] + (cardinal(n % scale) if n % scale else [])
    raise AssertionError(n)


def ordinal(n: int) -> list[str]:
    """Spell a rank: 21 -> twenty first."""
    *head, last = cardinal(n)
    if last.endswith("y"):
        last = last[:-1] + "ieth"
    else:
        last = _ORDINALS.get(last, last + ("h" if last.endswith("t") else "th"))
    return [*head, last]


def year(n: int) -> list[str]:
    """Spell a year: 1984 -> nineteen eighty four, 1905 -> nineteen oh five, 2003 -> two thousand three."""
    if not 1100 <= n <= 2099 or n // 10 == 200 or n % 1000 == 0:
        return cardinal(n)
    century, rest = divmod(n, 100)
    if rest == 0:
        return [*cardinal(century), "hundred"]
    return cardinal(century) + (["oh"] if rest < 10 else []) + cardinal(rest)


def _digits(text: str) -> list[str]:
    return [_ONES[int(c)] for c in text]


def _number(text: str) -> list[str]:
    whole, _, fraction = text.rstrip(",").partition(".")
    plain = whole.replace(",", "")
    if fraction:
        return [*_number(whole), "point", *_digits(fraction)]
    if len(plain) > 15 or (len(plain) > 1 and plain[0] == "0"):
        return _digits(plain)
    return year(int(plain)) if len(plain) == 4 and plain == whole else cardinal(int(plain))


def _money(text: str) -> list[str]:
    one, many = _CURRENCIES[text[0]]
    amount, _, scale = text[1:].strip().partition(" ")
    whole, _, cents = amount.rstrip(",").replace(",", "").partition(".")
    if scale or len(cents) not in (0, 2) or len(whole) > 15:
        return [*_number(amount), *([scale] if scale else []), many]
    words = [*cardinal(int(whole)), one if int(whole) == 1 else many]
    return words + (cardinal(int(cents)) if cents and int(cents) else [])


def _decade(text: str) -> list[str]:
    *head, last = year(int(text.rstrip("s").rstrip("'")))
    return [*head, last[:-1] + "ies" if last.endswith("y") else last + "s"]


def _time(text: str) -> list[str]:
    hour, minute = text.split(":")
    middle = [] if minute == "00" else cardinal(int(minute)) if minute[0] != "0" else ["oh", *cardinal(int(minute))]
    return cardinal(int(hour)) + middle


def _word(text: str) -> list[str]:
    word = text.lower().translate(_ACCENTS)
    if word.endswith("'") and not word.endswith("s'"):
        word = word.rstrip("'")
    return [word] if _ENGLISH.fullmatch(word) else []


def _written(token: str) -> list[str] | None:
    """How a word or an abbreviation is read; None if it has no English reading."""
    read = _ABBREVIATIONS.get(token.lower())
    if read is not None and (token[0].isupper() or token == "etc"):
        return read.split()
    return _word(token) or None


def _ordinal(token: str) -> list[str]:
    return ordinal(int(token[:-2].replace(",", ""))) if len(token) < 15 else []


_READERS: Mapping[str | None, Callable[[str], list[str] | None]] = {
    "word": _written,
    "symbol": lambda token: [_SYMBOLS[token]],
    "money": _money,
    "time": _time,
    "ordinal": _ordinal,
    "decade": _decade,
    "number": _number,
}
"""How each kind of token is read."""


def spoken(text: str, *, join: int = 1, punctuation: bool = False) -> Iterator[str]:
    """Yield lower-case stretches of spoken words of one paragraph of written English.

    join: sentences per stretch; a speaker does not pause at every full stop.
    punctuation: say the marks too ("comma"), as one does when dictating.
    A stretch is cut where something stands that has no English reading (another script, a formula, an address).
    """
    text = text.translate(_APOSTROPHES).translate(_PLAIN)
    text = re.sub(r"https?://\S+|www\.\S+|\S+@\S+|\[[^\]]{0,40}\]", " ¤ ", text)
    text = re.sub(r"(?<=\b[A-Z])\.(?=[A-Z]\.)|(?<=\.[A-Z])\.", " ", text)
    text = _ABBREVIATED.sub(r"\1", text)
    words: list[str] = []
    sentences = 0
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        read = _READERS[kind](token) if kind in _READERS else None
        if kind in ("stop", "mark"):
            words += PUNCTUATION[token].split() if punctuation and words else []
            sentences += kind == "stop"
        elif read is not None:
            words += read
        elif token not in "-()'/":
            sentences = join
        if sentences >= join:
            if words:
                yield " ".join(words)
            words, sentences = [], 0
    if words:
        yield " ".join(words)
