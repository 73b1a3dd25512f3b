"""Adapters of other recognisers, over a decoder that writes down what it is given."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from device.bench.engines.pocketsphinx import Sphinx, WholeSphinx


class Decoder:
    """What is used of pocketsphinx.Decoder."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start_utt(self) -> None:
        self.calls.append("start")

    def process_raw(self, data: bytes, full_utt: bool = False) -> None:
        self.calls.append(f"{len(data) // 2} samples{', whole' if full_utt else ''}")

    def end_utt(self) -> None:
        self.calls.append("end")

    def hyp(self) -> None:
        return None


SAMPLES: NDArray[np.int16] = np.zeros(2_500, np.int16)


@pytest.mark.parametrize(
    ("kind", "heard"),
    [(Sphinx, ["1600 samples", "900 samples"]), (WholeSphinx, ["2500 samples, whole"])],
    ids=["listening, each chunk as it comes", "a recording whole"],
)
def test_what_pocketsphinx_is_given(kind: type[Sphinx], heard: list[str]) -> None:
    decoder = Decoder()
    engine = kind(decoder, Path("model"))
    for _ in range(2):
        assert engine.accept_waveform(SAMPLES[:1_600]) is None
        engine.accept_waveform(SAMPLES[1_600:])
        assert engine.finish() == ""
    assert engine.finish() == ""
    assert decoder.calls == 2 * ["start", *heard, "end"]
