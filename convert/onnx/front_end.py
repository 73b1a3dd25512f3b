"""The windowed DFT and the mel filters of a model: taken out of its graph, or computed as librosa and torchaudio do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from convert.errors import GraphError
from models.bundle import FrontEnd
from models.manifest import Filters, Manifest, ManifestError

Float = NDArray[np.float32]


def arrays(manifest: Manifest, tensors: Mapping[str, NDArray[np.generic]]) -> tuple[Float, Float]:
    """Windowed DFT float32 [2 * bins, fft], cosines and then sines, and mel filters float32 [bins, mels].

    `tensors` are the graph's constants; bins = fft // 2 + 1.
    """
    filters, front_end = manifest.filters, manifest.front_end
    if filters.dft_tensors:
        parts = [_tensor(tensors, name, "filters.dft_tensors") for name in filters.dft_tensors]
        dft = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])
    else:
        dft = windowed_dft(frame_window(filters, front_end, str(manifest.path)))
    mel = (
        _tensor(tensors, filters.mel_tensor, "filters.mel_tensor")
        if filters.mel_tensor
        else mel_filters(filters, front_end, str(manifest.path))
    )
    for what, array, shape in (
        ("windowed DFT", dft, (2 * (front_end.fft // 2 + 1), front_end.fft)),
        ("mel filters", mel, (front_end.fft // 2 + 1, front_end.mels)),
    ):
        if array.shape != shape:
            raise GraphError(
                f"the {what} have shape {list(array.shape)}, but the manifest's front_end needs {list(shape)}"
            )
    return dft.astype(np.float32), mel.astype(np.float32)


def windowed_dft(window: Float) -> Float:
    """The real DFT's basis [2 * (fft // 2 + 1), fft], cosines and then sines, times `window` [fft]."""
    fft = len(window)
    angles = np.outer(np.arange(fft // 2 + 1), np.arange(fft)) * 2 * np.pi / fft
    basis: Float = (np.concatenate([np.cos(angles), np.sin(angles)]) * window).astype(np.float32)
    return basis


def _tensor(tensors: Mapping[str, NDArray[np.generic]], name: str, key: str) -> Float:
    if name not in tensors:
        raise GraphError(f"the model has no constant {name!r}, which the manifest's {key} names")
    return tensors[name].astype(np.float32)


def frame_window(filters: Filters, front_end: FrontEnd, where: str) -> Float:
    """A symmetric window of `window_length` samples in the middle of `fft`, as NeMo has it (periodic=False)."""
    kinds = {"hann": np.hanning, "hamming": np.hamming}
    if filters.window not in kinds:
        raise ManifestError(f'{where}: filters.window = {filters.window!r}: must be "hann" or "hamming"')
    if not 0 < filters.window_length <= front_end.fft:
        raise ManifestError(f"{where}: filters.window_length = {filters.window_length}: must be at most front_end.fft")
    window = np.zeros(front_end.fft, np.float32)
    start = (front_end.fft - filters.window_length) // 2
    window[start : start + filters.window_length] = kinds[filters.window](filters.window_length)
    return window


def mel_filters(filters: Filters, front_end: FrontEnd, where: str) -> Float:
    """Triangular filters [fft // 2 + 1, mels] on the mel scale of Slaney's Auditory Toolbox (1998) or of HTK."""
    if filters.mel not in ("slaney", "htk"):
        raise ManifestError(f'{where}: filters.mel = {filters.mel!r}: must be "slaney" or "htk"')
    to_mel, to_hz = (_slaney, _slaney_hz) if filters.mel == "slaney" else (_htk, _htk_hz)
    low_mel, high_mel = to_mel(np.array([filters.low_hz, filters.high_hz]))
    edges = to_hz(np.linspace(low_mel, high_mel, front_end.mels + 2))
    bins = np.linspace(0, front_end.sample_rate / 2, front_end.fft // 2 + 1)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    weights = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    if filters.mel == "slaney":
        weights *= 2 / (high - low)
    return weights.astype(np.float32)


Frequencies = NDArray[np.float64]


def _htk(hz: Frequencies) -> Frequencies:
    return np.asarray(2595 * np.log10(1 + hz / 700))


def _htk_hz(mel: Frequencies) -> Frequencies:
    return np.asarray(700 * (10 ** (mel / 2595) - 1))


def _slaney(hz: Frequencies) -> Frequencies:
    """Linear below 1 kHz (15 mel), logarithmic above: 27 mel for each factor of 6.4."""
    return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def _slaney_hz(mel: Frequencies) -> Frequencies:
    return np.asarray(np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((np.maximum(mel, 15) - 15) / 27)))
