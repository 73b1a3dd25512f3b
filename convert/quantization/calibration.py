"""Windows of speech to calibrate the quantizer with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.errors import SourceError
from convert.quality.recordings import Float, log_mel, normalised, read, recordings
from models.bundle import FrontEnd


def calibration(
    folder: Path, front_end: FrontEnd, frames: int, filters: tuple[Float, Float], count: int = 64, seed: int = 0
) -> NDArray[np.float16]:
    """`count` windows [count, frames, mels] of speech from the recordings below `folder`, drawn by `seed`.

    A window begins anywhere in a recording and runs on into others until it is full. `filters` are DFT and mel filters.
    """
    random, files = np.random.default_rng(seed), recordings(folder)
    order = iter(np.concatenate([random.permutation(len(files)) for _ in range(1 + 50 * count // len(files))]))

    def features() -> Float:
        samples = read(files[next(order)], front_end.sample_rate)
        return normalised(log_mel(samples, front_end, *filters), front_end)

    drawn = []
    for _ in range(count):
        joined = features()
        joined = joined[int(random.integers(0, max(1, len(joined) // 2))) :]
        while len(joined) < frames:
            joined = np.concatenate([joined, features()])
        drawn.append(joined[:frames])
    stacked: NDArray[np.float16] = np.stack(drawn).astype(np.float16)
    return stacked


def calibration_windows(path: Path, frames: int, mels: int) -> Float:
    """What `calibration` drew, from .npz, as float32 [N, frames, mels]; longer windows are cut to `frames`."""
    with np.load(path) as arrays:
        windows = arrays["log_mel"].astype(np.float32)
    if windows.ndim != 3 or not len(windows) or windows.shape[1] < frames or windows.shape[2] != mels:
        raise SourceError(
            f"{path}: log_mel has shape {list(windows.shape)}, but [N, {frames}, {mels}] is needed; draw "
            "other windows with --calibration DIR"
        )
    return np.ascontiguousarray(windows[:, :frames])
