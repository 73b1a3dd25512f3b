"""Made front_end.npz: a sentence of real speech and the log-mel that hama's own ONNX graph computes from it.

    python tests/data/front_end.py ASR_WAVEFORM_FP16_ONNX arctic_a0003_1592748500.wav

The speech is a clip of rhasspy's dataset-voice-kathleen (CC0), resampled to 16 kHz by soxr.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import soundfile
import soxr
from onnx import helper, numpy_helper

LOG_MEL = "/Slice_1_output_0"

model = onnx.load(sys.argv[1])
tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
model.graph.output.append(helper.make_tensor_value_info(LOG_MEL, onnx.TensorProto.FLOAT, None))
sound, rate = soundfile.read(sys.argv[2], dtype="float32", always_2d=True)
samples = np.rint(soxr.resample(sound.mean(1), rate, 16_000) * 32_767).astype(np.int16)
waveform = samples.astype(np.float32)[None] / 32_768
session = onnxruntime.InferenceSession(model.SerializeToString())
feeds = {"waveform": waveform, "waveform_lengths": np.array([len(samples)], np.int64)}
log_mel = session.run([LOG_MEL], feeds)[0][0]
np.savez_compressed(Path(__file__).with_suffix(".npz"), samples=samples, log_mel=log_mel, mel=tensors["mel_fb"])
