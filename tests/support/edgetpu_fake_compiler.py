#!/usr/bin/env python3
"""Stands in for edgetpu_compiler: its options, the lines it prints, the files it writes, the ways it refuses.

What it does is told by FAKE_SCENARIO; what it "compiles" is the file FAKE_COMPILED with the table FAKE_ROWS,
a JSON list of [operator, count, status]. Several models become the files between colons there, in turn. Line by
line the output follows real logs of compiler 16.0.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

VERSION = "Edge TPU Compiler version 16.0.384591198"
TIMER = "Started a compilation timeout timer of {} seconds."
IN_TIME = "Compilation child process completed within timeout period."
NOTE = (
    "Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the "
    "model will instead run on the CPU, which is slower. If possible, consider updating your model to use "
    "only operations supported by the Edge TPU. For details, visit g.co/coral/model-reqs."
)
REFUSALS = {
    "not-quantized": ["Invalid model: {model}", "Model not quantized"],
    "op-version": [
        "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '6'. An older version of this builtin "
        "might be supported. Are you using an old TFLite binary with a newer model?",
        "ERROR: Registration failed.",
        "",
        "Invalid model: {model}",
        "Model could not be parsed",
    ],
    "op-code": ["ERROR: Op builtin_code out of range: 150. Are you using old TFLite binary with newer model?",
                "Invalid model: {model}", "Model could not be parsed"],
    "internal": ["Internal compiler error. Aborting! "],
    "interpreter": ["Compilation failed: Model failed in Tflite interpreter. Please ensure model can be "
                    "loaded/run in Tflite interpreter."],
    "large": ["Compilation failed due to large activation tensors in model."],
    "crash": [IN_TIME, "Compilation failed! "],
    "gibberish": ["something nobody has seen before"],
}  # fmt: skip


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("-v", "--version", action="store_true")
    parser.add_argument("-o", "--out_dir", default=".")
    parser.add_argument("-s", "--show_operations", action="store_true")
    parser.add_argument("-m", "--min_runtime_version", type=int)
    parser.add_argument("-d", "--search_delegate", action="store_true")
    parser.add_argument("-t", "--timeout_sec", type=int, default=180)
    parser.add_argument("models", nargs="*", type=Path)
    return parser.parse_args()


def main() -> int:
    chosen = options()
    print(VERSION)
    if chosen.version:
        return 0
    scenario = os.environ.get("FAKE_SCENARIO", "success")
    model = chosen.models[0]
    if chosen.search_delegate:
        print("Searching for valid delegate with step 1\nTry to compile segment with 9 ops")
        print(f"{TIMER.format(chosen.timeout_sec)}\n{IN_TIME}\nCompilation failed! ")
        print("Try to compile segment with 8 ops\nIntermediate tensors: Identity")
    print(TIMER.format(chosen.timeout_sec), flush=True)
    if scenario == "hang":
        child = os.fork()
        if child:
            Path(os.environ["FAKE_CHILD"]).write_text(str(child))
        time.sleep(3600)
    if scenario in REFUSALS:
        print("\n".join(REFUSALS[scenario]).format(model=model))
        return 1
    for index, model in enumerate(chosen.models):
        write(chosen, model, index)
    print(f"{IN_TIME}\nCompilation succeeded! ")
    return 0


def write(chosen: argparse.Namespace, model: Path, index: int) -> None:
    rows = json.loads(os.environ["FAKE_ROWS"])
    made = Path(chosen.out_dir, f"{model.stem}_edgetpu.tflite")
    log = made.with_suffix(".log")
    compiled = os.environ["FAKE_COMPILED"].split(os.pathsep)
    shutil.copy(compiled[index % len(compiled)], made)
    table = ["Operator                       Count      Status", ""]
    table += [f"{op:<30} {count:<10} {status}" for op, count, status in rows]
    log.write_text("\n".join([VERSION, f"Input: {model}", f"Output: {made}", "", *table, ""]))
    mapped = sum(count for _, count, status in rows if status == "Mapped to Edge TPU")
    total = sum(count for _, count, _ in rows)
    if not index:
        print(f"\nModel{'s' * (len(chosen.models) > 1)} compiled successfully in 986 ms.\n")
    print(f"Input model: {model}\nInput size: 2.88MiB\nOutput model: {made}\nOutput size: 3.31MiB")
    print("On-chip memory used for caching model parameters: 3.86MiB")
    print("On-chip memory remaining for caching model parameters: 3.83MiB")
    print("Off-chip memory used for streaming uncached model parameters: 0.00B")
    print(f"Number of Edge TPU subgraphs: 1\nTotal number of operations: {total}\nOperation log: {log}\n")
    if mapped < total:
        print(f"{NOTE}\nNumber of operations that will run on Edge TPU: {mapped}")
        print(f"Number of operations that will run on CPU: {total - mapped}\n")
    if chosen.show_operations:
        print("\n".join(table))


if __name__ == "__main__":
    sys.exit(main())
