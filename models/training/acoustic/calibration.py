"""Make the committed calibration windows from openly licensed speech.

    python -m models.training.acoustic.calibration --speech DIR [DIR ...] [--model base]

Writes models/<model>/calibration.npz: `log_mel` float16 [N, frames, mels], N / directories windows from each directory.
`speech.toml` beside this file names the speech that the committed windows were made from. They check what quantization
costs where no recorded speech is installed, and set the activation ranges of models whose weights bring none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from convert import fetch
from convert.onnx import front_end, graph
from convert.quantization import calibration
from models import manifest
from models.bundle import sha256

WINDOWS = 20
FRAMES = 512  # of a window; a model with shorter ones takes the beginning


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", nargs="+", type=Path, required=True, help="directories of recordings")
    parser.add_argument("--model", default="base")
    arguments = parser.parse_args()
    chosen = manifest.load(arguments.model)
    arrays = front_end.arrays(chosen, graph.tensors(graph.load(fetch.fetch(chosen))))
    share = WINDOWS // len(arguments.speech)
    drawn = [
        calibration.calibration(folder, chosen.front_end, max(FRAMES, chosen.window.frames), arrays, share)
        for folder in arguments.speech
    ]
    target = chosen.file("calibration.npz")
    np.savez_compressed(target, log_mel=np.concatenate(drawn))
    print(f"{target}: {share * len(drawn)} windows, SHA-256 {sha256(target)}")


if __name__ == "__main__":
    main()
