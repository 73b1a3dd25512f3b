"""Driving the compiler: real output is read, every refusal says what to change, nothing is left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat
import sys
import time
from pathlib import Path

import pytest
from edgetpu_packages import CACHED, RUN, PackageSpec, compiled_model
from hypothesis import given
from hypothesis import strategies as st
from needs import SHARED_FOLDER

from convert.edgetpu.__main__ import main
from convert.edgetpu.compiled import compare, compiler, output
from convert.edgetpu.compiled.compiler import Compiler
from convert.edgetpu.errors import CompilerError, CompilerNotFound, CompilerTimeout, ModelRefused
from convert.edgetpu.predict import mapping
from convert.edgetpu.predict.budget import CACHE_BYTES, Estimate
from convert.edgetpu.together import together

HERE = Path(__file__).parents[2]
BLOCK = HERE / "data/edgetpu/separable_block.tflite"
STRANDED = HERE / "data/edgetpu/stranded.tflite"
TRUTH = SHARED_FOLDER / "edgetpu"
needs_truth = pytest.mark.shared
FAKE = Compiler((sys.executable, str(HERE / "support" / "edgetpu_fake_compiler.py")))


def rows(model: Path) -> list[tuple[str, int, str]]:
    table = mapping.predict(model.read_bytes()).table()
    return [(op, count, status) for (op, status), count in sorted(table.items())]


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A compiler that succeeds on the separable block, fully mapped."""
    compiled = tmp_path / "compiled.tflite"
    compiled.write_bytes(compiled_model())
    monkeypatch.setenv("FAKE_COMPILED", str(compiled))
    monkeypatch.setenv("FAKE_ROWS", json.dumps(rows(BLOCK)))
    return monkeypatch


def test_a_run_gives_the_files_the_figures_and_no_differences(scenario: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = FAKE.compile(BLOCK, tmp_path / "out", timeout_s=60, minimum_runtime=13)
    assert done.model == tmp_path / "out" / "separable_block_edgetpu.tflite"
    assert done.log.read_text().startswith("Edge TPU Compiler version 16.0")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [done.log.name, done.model.name]
    assert done.summary.version == "16.0.384591198"
    assert (done.summary.milliseconds, done.summary.subgraphs, done.summary.operations) == (986, 1, 8)
    assert done.summary.cached_bytes == round(3.86 * (1 << 20))
    assert done.complete and done.differences == ()


def test_a_compiler_that_does_otherwise_than_predicted_is_reported_op_by_op(
    scenario: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prediction = mapping.predict(BLOCK.read_bytes())
    mul = next(op for op in prediction.ops if op.op == "MUL")
    left = compiled_model(cpu_ops=("MUL",), cpu_outputs=mul.outputs)
    Path(os.environ["FAKE_COMPILED"]).write_bytes(left)
    changed = [(op, n, "Operation not supported" if op == "MUL" else status) for op, n, status in rows(BLOCK)]
    scenario.setenv("FAKE_ROWS", json.dumps(changed))
    done = FAKE.compile(BLOCK, tmp_path / "out")
    assert not done.complete and done.mapped.count(False) == 1 and not done.mapped[mul.index]
    assert len(done.differences) == 2
    assert f"left on the CPU, against the prediction: op {mul.index} MUL" in done.differences[0]
    assert done.differences[1] == "MUL: the compiler maps 0 and leaves 1, the prediction was 1 and 0"
    assert done.summary.cpu_operations == 1
    (advice,) = done.left()
    assert advice.startswith("1 MUL on the CPU (Operation not supported): replace it")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("not-quantized", "quantize weights and activations"),
        ("op-version", "CONV_2D version 6 is newer than the compiler reads"),
        ("op-code", "operator code 150"),
        ("internal", "search_delegate"),
        ("interpreter", "custom operators"),
        ("large", "192 KiB"),
        ("crash", "search_delegate"),
        ("gibberish", "something nobody has seen before"),
    ],
)
def test_every_refusal_says_in_one_sentence_what_to_change_and_leaves_nothing(
    name: str, says: str, scenario: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scenario.setenv("FAKE_SCENARIO", name)
    with pytest.raises(ModelRefused) as refused:
        FAKE.compile(BLOCK, tmp_path / "out")
    assert says in str(refused.value) and "separable_block.tflite" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_search_delegate_prints_failures_before_its_success(scenario: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert FAKE.compile(BLOCK, tmp_path, search_delegate=True).complete


def test_a_compiler_that_hangs_is_killed_with_its_children(scenario: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scenario.setenv("FAKE_SCENARIO", "hang")
    scenario.setattr(compiler, "GRACE_S", 1)
    scenario.setenv("FAKE_CHILD", str(tmp_path / "child"))
    began = time.monotonic()
    with pytest.raises(CompilerTimeout, match="did not finish within 2 s"):
        FAKE.compile(BLOCK, tmp_path / "out", timeout_s=1)
    assert time.monotonic() - began < 30
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    assert list((tmp_path / "out").iterdir()) == []


def test_mapping_nothing_is_an_error_although_the_compiler_calls_it_success(
    scenario: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scenario.setenv("FAKE_COMPILED", str(STRANDED))
    with pytest.raises(ModelRefused, match="mapped no operator at all; first: op 1 LEAKY_RELU"):
        FAKE.compile(STRANDED, tmp_path)


def test_a_compiled_model_is_not_compiled_again(scenario: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="already compiled"):
        FAKE.compile(Path(os.environ["FAKE_COMPILED"]), tmp_path)


def test_what_is_not_there_or_does_not_start_is_said(tmp_path: Path) -> None:
    program = tmp_path / "edgetpu_compiler"
    with pytest.raises(CompilerError, match="cannot be read"):
        FAKE.compile(tmp_path / "absent.tflite", tmp_path)
    with pytest.raises(CompilerNotFound, match="no executable file"):
        compiler.find(str(program))
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    found = compiler.find(str(program))
    assert found is not None
    with pytest.raises(CompilerNotFound, match="does not start"):
        found.version()


def test_the_compiler_is_found_on_path_then_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    cache = tmp_path / "cache"
    assert compiler.find("none") is None
    assert compiler.find("auto", cache=cache) is None
    inside = cache / "edgetpu_compiler-16.0" / "bin"
    inside.mkdir(parents=True)
    for name in ("ld-linux-x86-64.so.2", "edgetpu_compiler"):
        (inside / name).touch()
    (cache / "edgetpu_compiler-16.0" / "installed").touch()
    found = compiler.find("auto", cache=cache)
    assert found is not None and found.command[1:3] == ("--library-path", str(inside))
    on_path = tmp_path / "bin" / "edgetpu_compiler"
    on_path.parent.mkdir()
    on_path.write_text("#!/bin/sh\necho 'Edge TPU Compiler version 15.0.340273435'\n")
    on_path.chmod(0o755)
    found = compiler.find("auto", cache=cache)
    assert found is not None and found.command == (str(on_path),)
    assert found.version() == "15.0.340273435"


def test_a_program_that_is_no_compiler_is_told_apart(tmp_path: Path) -> None:
    program = tmp_path / "edgetpu_compiler"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(CompilerError, match="hello"):
        Compiler((str(program),)).version()


def test_the_command_line_compiles_compares_checks_and_inspects(
    scenario: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrapper = tmp_path / "edgetpu_compiler"
    wrapper.write_text(f'#!/bin/sh\nexec {" ".join(FAKE.command)} "$@"\n')
    wrapper.chmod(0o755)
    out = str(tmp_path / "out")
    assert main(["compile", str(BLOCK), "--out-dir", out, "--compiler", str(wrapper), "--strict"]) == 0
    assert "8 of 8 operators run on the Edge TPU" in capsys.readouterr().out
    made = str(tmp_path / "out" / "separable_block_edgetpu.tflite")
    assert main(["compare", str(BLOCK), made, "--strict"]) == 0
    assert "8 of 8 operators as predicted" in capsys.readouterr().out
    assert main(["check", str(BLOCK), "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert [op["index"] for op in checked["ops"]] == list(range(8))
    assert {"index", "op", "version", "mapped", "reason"} <= set(checked["ops"][0])
    assert checked["mapped_ops"] == 8 and checked["parameters"]["likely"] > 0
    assert main(["check", str(STRANDED), "--strict"]) == 1
    assert "LEAKY_RELU" in capsys.readouterr().out
    assert main(["inspect", made, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["regions"][0]["cached_bytes"] == 256
    assert main(["inspect", made]) == 0
    assert "EXECUTION_ONLY" in capsys.readouterr().out
    assert main(["inspect", str(BLOCK)]) == 2
    assert main(["check", str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_several_models_are_compiled_in_one_run_and_kept_together(
    scenario: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [tmp_path / f"{name}.tflite" for name in ("first", "second")]
    for model in models:
        shutil.copy(BLOCK, model)
    done = FAKE.compile_together(models, tmp_path / "out")
    assert [one.model.name for one in done] == ["first_edgetpu.tflite", "second_edgetpu.tflite"]
    assert all(one.complete and one.model.is_file() and one.log.is_file() for one in done)
    assert [one.summary.operations for one in done] == [8, 8]
    with pytest.raises(CompilerError, match="different names"):
        FAKE.compile_together([models[0], tmp_path / "elsewhere" / "first.tflite"], tmp_path / "out")


def test_models_that_would_push_each_other_off_the_chip_are_refused(
    scenario: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = []
    for token in (1, 2):
        files.append(tmp_path / f"compiled{token}.tflite")
        files[-1].write_bytes(compiled_model(PackageSpec((RUN, dataclasses.replace(CACHED, token=token)))))
    scenario.setenv("FAKE_COMPILED", os.pathsep.join(map(str, files)))
    models = [tmp_path / f"{name}.tflite" for name in ("first", "second")]
    for model in models:
        shutil.copy(BLOCK, model)
    with pytest.raises(CompilerError, match="2 caching tokens in place of one"):
        FAKE.compile_together(models, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_plan_of_several_models_is_printed_for_people_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(BLOCK), str(STRANDED)]) == 0
    printed = capsys.readouterr().out
    assert "2 models together" in printed and "LEAKY_RELU" in printed
    assert main(["check", "--strict", "--json", str(BLOCK), str(STRANDED)]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert plan["models"].keys() == {str(BLOCK), str(STRANDED)}
    sizes = [model["parameters"]["likely"] for model in plan["models"].values()]
    assert plan["together"]["parameters"]["likely"] == sum(sizes)
    assert plan["together"]["calls"] == 2


def test_a_plan_of_bundles_counts_the_calls_of_five_seconds_of_speech(
    bundle: Path, second_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--strict", str(bundle), str(second_bundle)]) == 0
    printed = capsys.readouterr().out
    assert "19 models together, 5 s of speech" in printed and "uncertain" in printed
    assert main(["check", "--json", str(bundle), str(second_bundle)]) == 0
    plan = json.loads(capsys.readouterr().out)
    encoder, *around = plan["models"].values()
    assert encoder["calls"] == pytest.approx(500 / 240 + 500 / 30)  # committed windows, and those that look ahead
    assert [piece["calls"] for piece in around] == [1] * 18
    once = encoder["usb_bytes"]["low"] * encoder["calls"] + sum(piece["usb_bytes"]["low"] for piece in around)
    assert plan["together"]["usb_bytes"]["low"] == pytest.approx(once)
    assert plan["seconds"] == 5 and plan["together"]["fits_on_chip"] == "uncertain"
    assert main(["check", str(bundle.parent)]) == 2
    assert "no bundle here" in capsys.readouterr().err


def test_calls_multiply_what_crosses_usb_and_what_is_sent_again() -> None:
    alone = mapping.predict(BLOCK.read_bytes()).budget
    large = dataclasses.replace(alone, parameters=Estimate(5e6, 5e6, 5e6, "B"))
    once, often = together([large, large]), together([large, large], [1, 3])
    assert (once.calls, often.calls, often.models) == (2, 4, 2)
    assert often.parameters == once.parameters
    assert often.streamed.likely == pytest.approx(3 * once.streamed.likely)
    assert often.latency_usb3.likely > once.latency_usb3.likely + 2 * alone.latency_usb3.likely


@given(st.lists(st.integers(0, 4 << 20), min_size=1, max_size=6))
def test_what_does_not_fit_the_chip_together_is_streamed(sizes: list[int]) -> None:
    """Of models that fit alone, the excess over the least room, and its time."""
    alone = mapping.predict(BLOCK.read_bytes()).budget
    budgets = [dataclasses.replace(alone, parameters=Estimate(size, size, size, "B")) for size in sizes]
    total = together(budgets)
    excess = max(0, sum(sizes) - CACHE_BYTES[0])
    assert total.parameters.likely == sum(sizes)
    assert total.streamed.likely == pytest.approx(excess)
    assert total.usb_bytes.likely == pytest.approx(len(sizes) * alone.usb_bytes.likely + excess)
    assert (total.latency_usb2.likely > len(sizes) * alone.latency_usb2.likely + 1e-6) == (excess > 100)
    assert (total.fits_on_chip == "no") == (sum(sizes) > CACHE_BYTES[1])


def test_status_advice_covers_every_status_that_a_rule_expects() -> None:
    from convert.edgetpu.predict import rules

    statuses = {rule.status for rule in rules.RULES} | {rules.MORE_THAN_ONE, rules.NOT_SUPPORTED}
    assert statuses <= set(output.STATUS_ADVICE)


WORDS = st.from_regex(r"[A-Z][A-Z0-9_]{0,24}", fullmatch=True)
ROWS = st.lists(st.builds(output.Row, WORDS, st.integers(1, 10**6), st.sampled_from(sorted(output.STATUS_ADVICE))))


@given(ROWS, st.text(alphabet=st.characters(blacklist_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")))
def test_a_printed_table_is_read_back_whatever_stands_around_it(found: list[output.Row], noise: str) -> None:
    table = [f"{row.op:<30} {row.count:<10} {row.status}" for row in found]
    lines = ["Operator                       Count      Status", "", *table, "Compilation succeeded! "]
    text = "\n".join(["noise:" + noise.replace("  ", " "), *lines])
    assert output.parse_rows(text) == tuple(found)


@needs_truth
def test_real_logs_are_read_in_full() -> None:
    totals = {"face_detection_v15": (78, 75), "tcn_v16": (6, 6), "yolov8n_192_v16": (257, 257)}
    for name, (operations, mapped) in totals.items():
        text = (TRUTH / "logs" / f"{name}.log").read_text()
        found = output.parse_rows(text)
        assert sum(row.count for row in found) == operations
        assert sum(row.count for row in found if row.mapped) == mapped
        assert all(row.mapped or row.status in output.STATUS_ADVICE for row in found)


@needs_truth
def test_a_real_run_with_sixteen_failures_before_its_success_is_read() -> None:
    text = (TRUTH / "logs" / "retina_padded_v16_stdout.log").read_text()
    summary = output.parse(text)
    assert summary.version == "16.0.384591198" and output.succeeded(text)
    assert (summary.milliseconds, summary.subgraphs, summary.operations) == (912, 3, 135)
    assert (summary.tpu_operations, summary.cpu_operations) == (132, 3)
    assert summary.cache_left_bytes == round(3.66 * (1 << 20)) and summary.streamed_bytes == 0
    assert sum(summary.table.values()) == 135


@needs_truth
def test_the_prediction_gives_the_table_of_a_real_log() -> None:
    for name, log in [
        ("face_detection_front_128_full_integer_quant", "face_detection_v15"),
        ("quantized_model", "tcn_v16"),
    ]:
        prediction = mapping.predict((TRUTH / "pairs" / f"{name}.tflite").read_bytes())
        real = output.parse_rows((TRUTH / "logs" / f"{log}.log").read_text())
        assert prediction.table() == output.table(real)


@needs_truth
def test_the_compilers_choice_is_recovered_from_its_output() -> None:
    for record in json.loads((TRUTH / "pairs.json").read_text()):
        source = (TRUTH / "pairs" / f"{record['file']}.tflite").read_bytes()
        compiled = (TRUTH / "pairs" / f"{record['file']}_edgetpu.tflite").read_bytes()
        assert list(compare.mapped_ops(source, compiled)) == [op["mapped"] for op in record["ops"]]
