"""A transformer of Moonshine's shape with small random weights."""

from __future__ import annotations

import numpy as np

from models.moonshine import Float, Weights

WIDTH, HEADS = 12, 2


def weights(seed: int = 0) -> Weights:
    random = np.random.default_rng(seed)

    def values(*shape: int) -> Float:
        return (random.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    return Weights(
        conv1=values(WIDTH, 127),
        group_gain=values(WIDTH),
        group_bias=values(WIDTH),
        conv2=values(2 * WIDTH, WIDTH, 7),
        conv2_bias=values(2 * WIDTH),
        conv3=values(WIDTH, 2 * WIDTH, 3),
        conv3_bias=values(WIDTH),
        attention_norm=values(2, WIDTH),
        mlp_norm=values(2, WIDTH),
        final_norm=values(WIDTH),
        inverse_frequencies=np.array([1.0, 0.1], np.float32),
        heads=HEADS,
    )
