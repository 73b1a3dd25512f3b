"""Writes small n-gram models as ARPA text and in KenLM's trie format, as its build_binary would without options."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

MARKERS = ("<unk>", "<s>", "</s>")
NGrams = dict[tuple[str, ...], tuple[float, float]]  # n-gram, oldest word first: log10 probability, backoff


@dataclass(frozen=True)
class Model:
    """n-grams of each order; whatever begins or ends a longer one must be there."""

    orders: tuple[NGrams, ...]

    def score(self, words: list[str]) -> list[float]:
        """log10 probability of each word and of the end by the definition of backing off, from a sentence's start."""
        known = [w if (w,) in self.orders[0] else "<unk>" for w in words]
        sentence, scores = ["<s>", *known, "</s>"], []
        for at in range(1, len(sentence)):
            history, score = tuple(sentence[max(0, at - len(self.orders) + 1) : at]), 0.0
            while (*history, sentence[at]) not in self.orders[len(history)]:
                score += self.orders[len(history) - 1].get(history, (0.0, 0.0))[1]
                history = history[1:]
            scores.append(score + self.orders[len(history)][(*history, sentence[at])][0])
        return scores

    def arpa(self, path: Path) -> Path:
        text = ["\\data\\", *(f"ngram {n}={len(grams)}" for n, grams in enumerate(self.orders, 1))]
        for n, grams in enumerate(self.orders, 1):
            text += ["", f"\\{n}-grams:"]
            for gram, (probability, backoff) in grams.items():
                text.append(f"{probability!r}\t{' '.join(gram)}" + (f"\t{backoff!r}" if n < len(self.orders) else ""))
        path.write_text("\n".join([*text, "", "\\end\\", ""]))
        return path

    def trie(self, path: Path) -> Path:
        """The words' numbers follow their hashes; n-grams stand newest word first."""
        words = sorted((gram[0] for gram in self.orders[0] if gram != ("<unk>",)), key=lambda w: murmur(w.encode()))
        number = {"<unk>": 0, **{word: i for i, word in enumerate(words, 1)}}
        counts = [len(grams) for grams in self.orders]
        contexts = {gram[:-1] for grams in self.orders for gram in grams}
        sorted_grams = [sorted(grams, key=lambda g: [number[w] for w in reversed(g)]) for grams in self.orders]

        def values(n: int, gram: tuple[str, ...]) -> tuple[float, float]:
            probability, backoff = self.orders[n][gram]
            return probability, -0.0 if not backoff and gram not in contexts else backoff

        def first_longer(n: int) -> list[int]:
            """For each n-gram, how many of the next order come before those that it ends; and their number at last."""
            longer = [gram[1:] for gram in sorted_grams[n + 1]]
            total, firsts = 0, []
            for gram in sorted_grams[n]:
                firsts.append(total)
                total += longer.count(gram)
            return [*firsts, total]

        header = b"mmap lm http://kheafield.com/code format version 5\n".ljust(56, b"\0")
        header += struct.pack("<3f3IQ", 0.0, 1.0, -0.5, 1, 2**32 - 1, 0, 1)
        header += struct.pack("<BxxxfIB3xI", len(counts), 1.5, 2, 1, 1) + struct.pack(f"<{len(counts)}Q", *counts)
        out = header.ljust(-(-len(header) // 8) * 8, b"\0")
        out += struct.pack(f"<{counts[0]}Q", len(words), *(murmur(word.encode()) for word in words)) + bytes(8)
        nexts = first_longer(0)
        for gram, begin in zip(sorted_grams[0], nexts, strict=False):
            out += struct.pack("<ffQ", *values(0, gram), begin)
        out += struct.pack("<ffQ", 0.0, 0.0, nexts[-1]) + bytes(16)
        for n in range(1, len(counts)):
            longest = n + 1 == len(counts)
            widths = [counts[0].bit_length(), 31, *([] if longest else [32, counts[n + 1].bit_length()])]
            nexts = [] if longest else first_longer(n)
            packed, offset = 0, 0
            for i, gram in enumerate([*sorted_grams[n], None]):
                probability, backoff = values(n, gram) if gram else (-0.0, 0.0)
                fields = [number[gram[0]] if gram else 0, as_bits(probability) & ~(1 << 31)]
                for field, width in zip([*fields, as_bits(backoff), *nexts[i : i + 1]], widths, strict=False):
                    packed |= field << offset
                    offset += width
            out += packed.to_bytes((offset + 7) // 8 + 8, "little")
        path.write_bytes(out + b"".join(word.encode() + b"\0" for word in ["<unk>", *words]))
        return path


def as_bits(value: float) -> int:
    """A float's 32 bits."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return int(bits)


def murmur(text: bytes) -> int:
    """MurmurHash64A with seed 0."""
    m, mask = 0xC6A4A7935BD1E995, 2**64 - 1
    h = len(text) * m & mask
    for i in range(0, len(text) - len(text) % 8, 8):
        k = int.from_bytes(text[i : i + 8], "little") * m & mask
        h = (h ^ ((k ^ k >> 47) * m & mask)) * m & mask
    if rest := text[len(text) - len(text) % 8 :]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 47) * m & mask
    return h ^ h >> 47
