"""Windows to posteriors: the int8 encoder on the accelerator, the float head on the CPU."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.inference.accelerator import Accelerator
from device.inference.onnx_model import ALL, CPU, OnnxModel
from models.bundle import WANTED, Bundle, FrontEnd, Tensor


def quantize(x: NDArray[np.float32], tensor: Tensor) -> NDArray[np.int8]:
    """Real values to int8 as `tensor` says, saturating.

    >>> quantize(np.array([-1.0, 0.0, 99.0], np.float32), Tensor((3,), "int8", scale=0.5, zero_point=10))
    array([  8,  10, 127], dtype=int8)
    """
    scaled = np.rint(x / np.float32(tensor.scale)) + np.float32(tensor.zero_point)
    clipped: NDArray[np.int8] = np.clip(scaled, -128, 127).astype(np.int8)
    return clipped


def dequantize(q: NDArray[np.int8], tensor: Tensor) -> NDArray[np.float32]:
    """int8 to real values as `tensor` says."""
    return (q.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)


def normalized(mel: NDArray[np.float32], front_end: FrontEnd) -> NDArray[np.float32]:
    """Log-mel of any shape as the encoder takes it: not below the floor, less the mean, over the scale."""
    floored = np.maximum(mel, np.float32(front_end.feature_floor))
    x: NDArray[np.float32] = (floored - np.float32(front_end.mean)) / np.float32(front_end.scale)
    return x


class Acoustic(Protocol):
    """Windows to posteriors, in two steps, whatever computes them."""

    def hidden(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel [frames, mels] to hidden frames [frames / stride, width], float32."""

    def head(self, hidden: NDArray[np.float32], wanted: slice) -> NDArray[np.float32]:
        """Hidden frames [frames / stride, width] to log posteriors [wanted, tokens] of the frames that are `wanted`."""


class Encoder:
    """Log-mel windows in, log posteriors out.

    >>> encoder = Encoder(bundle, accelerator)                                        # doctest: +SKIP
    >>> encoder.hidden(np.full((480, 80), -16, np.float32)).shape                     # doctest: +SKIP
    (240, 256)
    """

    def __init__(self, bundle: Bundle, accelerator: Accelerator, threads: int = 1, provider: str = CPU) -> None:
        """`provider`, one of ONNX Runtime's execution providers, runs the head."""
        d = bundle.description
        self.accelerator = accelerator
        self._front_end: FrontEnd = d.front_end
        self._input, self._output = d.encoder_input, d.encoder_output
        self._head = OnnxModel(bundle.path("head"), threads, provider, WANTED)

    def hidden(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """The encoder alone: log-mel [frames, mels] to hidden frames [frames / stride, width], float32."""
        x = normalized(mel, self._front_end).reshape(self._input.shape)
        if self._input.dtype == "float32":  # a bundle that convert made to compare with
            hidden: NDArray[np.float32] = self.accelerator.invoke(x)  # type: ignore[arg-type, assignment]
        else:
            hidden = dequantize(self.accelerator.invoke(quantize(x, self._input)), self._output)
        return hidden.reshape(self._output.shape[-2:])

    def head(self, hidden: NDArray[np.float32], wanted: slice = ALL) -> NDArray[np.float32]:
        """The head alone: all hidden frames [frames / stride, width] to log posteriors [wanted, tokens].

        The fewer frames are `wanted`, the less is computed, if the bundle's head takes WANTED.
        """
        log_probs: NDArray[np.float32] = self._head(hidden.T[None], wanted)[0]
        return log_probs
