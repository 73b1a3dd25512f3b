"""Makes the small TFLite models beside it: `python tests/data/edgetpu/make.py` (needs TensorFlow).

They are random networks of a few kilobytes, committed so that the tests need no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

Block = Callable[[tf.Tensor], tf.Tensor | tuple[tf.Tensor, ...]]
CHANNELS = 8


def weights(*shape: int) -> tf.Tensor:
    generator = np.random.default_rng(int(np.prod(shape)))
    return tf.constant(generator.normal(scale=0.3, size=shape).astype(np.float32))


def convert(name: str, block: Block, shape: tuple[int, ...], integer: bool = True) -> None:
    signature = tf.TensorSpec(shape, tf.float32, name="window")
    function = tf.function(block).get_concrete_function(signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    generator = np.random.default_rng(7)
    converter.representative_dataset = lambda: ([generator.normal(size=shape).astype(np.float32)] for _ in range(8))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if integer:
        converter.inference_input_type = converter.inference_output_type = tf.int8
    Path(__file__).with_name(f"{name}.tflite").write_bytes(converter.convert())


def separable_block(window: tf.Tensor) -> tf.Tensor:
    """Dilated 1x5 depthwise, pointwise, squeeze-and-excite and a residual, like one block of the encoder."""
    deep = tf.nn.depthwise_conv2d(window, weights(1, 5, CHANNELS, 1), [1, 1, 1, 1], "SAME", dilations=[1, 2])
    wide = tf.nn.relu(tf.nn.conv2d(deep, weights(1, 1, CHANNELS, CHANNELS), 1, "SAME") + weights(CHANNELS))
    mean = tf.reduce_mean(wide, axis=[1, 2], keepdims=True)
    gate = tf.nn.relu(tf.nn.conv2d(mean, weights(1, 1, CHANNELS, 4), 1, "SAME"))
    gate = tf.sigmoid(tf.nn.conv2d(gate, weights(1, 1, 4, CHANNELS), 1, "SAME"))
    return tf.nn.relu(wide * gate + window)


def stranded(window: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """One branch meets an operator the Edge TPU lacks, the other does not."""
    first = tf.nn.conv2d(window, weights(1, 3, CHANNELS, CHANNELS), 1, "SAME")
    leaky = tf.nn.leaky_relu(first, 0.1)
    return tf.nn.conv2d(leaky, weights(1, 1, CHANNELS, 4), 1, "SAME"), tf.sigmoid(first)


def main() -> None:
    convert("separable_block", separable_block, (1, 1, 32, CHANNELS))
    convert("float_border", separable_block, (1, 1, 32, CHANNELS), integer=False)
    convert("stranded", stranded, (1, 1, 32, CHANNELS))


if __name__ == "__main__":
    main()
