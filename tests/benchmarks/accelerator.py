"""Times the encoder on the CPU and on the Coral: `python tests/benchmarks/accelerator.py PLAIN [COMPILED]`.

PLAIN is the int8 model, COMPILED what the Edge TPU compiler made of it. Prints the median and the 99th
percentile of a call. With `--hand-over` the compiled model is also run inside this process, which a crash of
libedgetpu would take down: the difference is what the child process costs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.inference.backends.cpu import CpuAccelerator
from device.inference.edgetpu import compatibility
from device.inference.edgetpu.client import CoralError, open_coral
from device.inference.interpreter import load_interpreter_module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plain", type=Path)
    parser.add_argument("compiled", type=Path, nargs="?")
    parser.add_argument("--library", default=compatibility.LIBRARY)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--hand-over", action="store_true")
    options = parser.parse_args()
    cpu = CpuAccelerator(options.plain, threads=options.threads)
    window = np.zeros(cpu.shapes[0].input, np.int8)
    show(f"CPU, {options.threads} threads", cpu.invoke, window, options.calls)
    if options.compiled is None:
        return
    try:
        started = time.perf_counter()
        with open_coral([options.compiled], options.library) as coral:
            print(f"{'Coral ready after':28} {1e3 * (time.perf_counter() - started):9.1f} ms ({coral.route})")
            show("Coral, child process", coral.invoke, window, options.calls)
    except CoralError as error:
        print(f"no Coral: {error}")
        return
    if options.hand_over:
        show("Coral, this process", in_process(options.compiled, options.library), window, options.calls)


def in_process(model: Path, library: str) -> Callable[[NDArray[np.int8]], Any]:
    """A call that runs the compiled model here."""
    module = load_interpreter_module()
    delegate = module.load_delegate(library, {"device": "usb"})
    interpreter = module.Interpreter(str(model), experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call(window: NDArray[np.int8]) -> Any:
        interpreter.set_tensor(given, window)
        interpreter.invoke()
        return interpreter.get_tensor(made)

    return call


def show(name: str, call: Callable[[NDArray[np.int8]], Any], window: NDArray[np.int8], calls: int) -> None:
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        call(window)
        times.append(1e3 * (time.perf_counter() - started))
    ordered = sorted(times)
    print(f"{name:28} {statistics.median(ordered):9.3f} ms, 99th percentile {ordered[calls * 99 // 100]:.3f} ms")


if __name__ == "__main__":
    main()
