"""Predicts, op by op, what Google's compiler puts on the Edge TPU, and names the rule where it does not."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from convert.edgetpu.predict import checks, coverage, rules
from convert.edgetpu.predict.budget import Budget, estimate
from convert.edgetpu.predict.graph import COMPILED_OP, Graph, Op, builtin_code, read

PARTITION = "google-coral/edgetpu#30; M: deeplabv3, movenet and posenet pairs"


class AlreadyCompiled(ValueError):
    """The file is the compiler's output, so there is nothing left to predict."""


@dataclass(frozen=True)
class OpVerdict:
    """Whether one op runs on the Edge TPU; `rule`, `reason`, `advice` and `source` are empty where it does.

    `status` is what the compiler's log is expected to say. `inputs` and `outputs` are tensor names. `unseen` names
    what about a mapped op no compiled file shows, so that only the documented table speaks for it.
    """

    index: int
    op: str
    version: int
    mapped: bool
    status: str
    rule: str = ""
    reason: str = ""
    advice: str = ""
    source: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    unseen: str = ""

    def __str__(self) -> str:
        where = f"op {self.index} {self.op} v{self.version} (-> {', '.join(self.outputs)})"
        return f"{where}: runs on the Edge TPU" if self.mapped else f"{where}: {self.reason} [{self.rule}]"


@dataclass(frozen=True)
class Prediction:
    """Every op's verdict in file order, why the compiler would refuse the file at all, and what it costs."""

    ops: tuple[OpVerdict, ...]
    refusals: tuple[str, ...]
    budget: Budget

    @property
    def mapped(self) -> int:
        return sum(op.mapped for op in self.ops)

    @property
    def unmapped(self) -> tuple[OpVerdict, ...]:
        return tuple(op for op in self.ops if not op.mapped)

    @property
    def complete(self) -> bool:
        """Every op runs on the Edge TPU."""
        return bool(self.ops) and not self.unmapped

    def table(self) -> Counter[tuple[str, str]]:
        """Count of ops by (operator, status), as the compiler's own table has it."""
        return Counter((op.op, op.status) for op in self.ops)


@dataclass(frozen=True)
class _Finding:
    rule: str
    reason: str
    advice: str
    status: str
    source: str


def predict(model: bytes) -> Prediction:
    """Predict the mapping of the TFLite file `model`.

    >>> from pathlib import Path
    >>> prediction = predict(Path("tests/data/edgetpu/separable_block.tflite").read_bytes())
    >>> prediction.complete
    True

    Raises MalformedFile if it is not a TFLite file, AlreadyCompiled if it holds an Edge TPU executable.
    """
    return predict_graph(read(model))


def predict_graph(graph: Graph) -> Prediction:
    """Predict the mapping of an already read graph."""
    if any(op.name == f"CUSTOM:{COMPILED_OP}" for op in graph.ops):
        raise AlreadyCompiled(
            "the file is already compiled: give the model that went into the compiler, "
            "or read this one with `python -m convert.edgetpu inspect`"
        )
    findings = {op.index: finding for op in graph.ops if (finding := _check(op)) is not None}
    refusals = tuple(_refusals(graph))
    if refusals:
        region: frozenset[int] = frozenset()
        refused = _refused_with(refusals[0])
        findings = {op.index: findings.get(op.index, refused) for op in graph.ops}
    else:
        head, region = head_and_region(graph.ops, frozenset(findings))
        causes = frozenset(findings) - head
        stranded = [op for op in graph.ops if op.index not in region and op.index not in findings]
        findings |= {op.index: _cpu_fallback(op, graph.ops, causes) for op in stranded}
    verdicts = tuple(_verdict(op, findings.get(op.index)) for op in graph.ops)
    return Prediction(verdicts, refusals, estimate(graph, region))


def head_and_region(ops: Sequence[Op], unsupported: frozenset[int]) -> tuple[frozenset[int], frozenset[int]]:
    """The ops that run on the CPU before the Edge TPU, and the ops of the one region that it runs.

    Ops are taken in turns, supported and unsupported, as the delegate's partition takes them (`turns`). The first
    supported turn is the region: a head that stays on the CPU does no harm, a parallel branch stays mapped, and
    what depends on a later unsupported op is stranded.
    """
    head: frozenset[int] = frozenset()
    for supported, taken in turns(ops, unsupported):
        if supported:
            return head, taken
        head |= taken
    return head, frozenset()


def turns(ops: Sequence[Op], unsupported: frozenset[int]) -> Iterator[tuple[bool, frozenset[int]]]:
    """Whether supported, and which ops, turn by turn; a turn goes on until nothing ready of its kind is left.

    TensorFlow Lite, graph_info.cc, PartitionGraphIntoIndependentNodeSubsets.
    """
    producers = {tensor.index: op.index for op in ops for tensor in op.outputs}
    done: set[int] = set()
    waiting = list(ops)

    def ready(op: Op) -> bool:
        needed = (producers.get(tensor.index) for tensor in op.activations)
        return all(producer is None or producer in done for producer in needed)

    while waiting:
        first = next((op for op in waiting if ready(op)), None)
        if first is None:
            return  # a file whose ops wait for each other
        supported = first.index not in unsupported
        before = len(done)
        taken: set[int] = set()
        while before != len(done) or not taken:
            before = len(done)
            for op in waiting:
                if op.index not in done and (op.index not in unsupported) == supported and ready(op):
                    taken.add(op.index)
                    done.add(op.index)
        yield supported, frozenset(taken)
        waiting = [op for op in waiting if op.index not in done]


def _check(op: Op) -> _Finding | None:
    ceiling = rules.ceiling(op.name)
    if ceiling is not None and op.version > ceiling:
        return _Finding(
            "op-version",
            f"version {op.version} is newer than compiler 16.0 reads (at most {ceiling})",
            "Convert with TensorFlow 2.15 or older, or rewrite the op so that an older version suffices.",
            rules.VERSION,
            rules.VERSIONS,
        )
    if op.name not in rules.SUPPORTED:
        return _Finding(
            "unsupported-op",
            f"the Edge TPU has no {op.name}",
            _replacement(op.name),
            rules.DATA_TYPE if checks.data_type(op) else rules.NOT_SUPPORTED,
            rules.TABLE,
        )
    if not op.outputs or len(op.present) < rules.LEAST_INPUTS.get(op.name, 1):
        reason = "it has too few inputs or no output"
        return _Finding("malformed-op", reason, "Convert again.", rules.NOT_SUPPORTED, rules.TENSORS)
    for rule in rules.RULES:
        if op.name in rule.ops and (detail := rule.broken(op)) is not None:
            return _Finding(rule.id, f"{rule.limit}, but {detail}", rule.advice, rule.status, rule.source)
    return None


def _replacement(name: str) -> str:
    advice = "Replace it by supported operators, or run it on the CPU behind the encoder."
    if name.startswith("CUSTOM:") and name not in rules.KNOWN_CUSTOM:
        advice += " The compiler refuses a file whose custom operator it does not know."
    return advice


def _refusals(graph: Graph) -> Iterator[str]:
    """What the compiler would print before it stops without mapping anything."""
    for op in graph.ops:
        ceiling = rules.ceiling(op.name)
        if ceiling is not None and op.version > ceiling:
            yield f"Didn't find op for builtin opcode '{op.name}' version '{op.version}' (op {op.index})"
        elif builtin_code(op.name) >= rules.FIRST_UNKNOWN_CODE:
            yield f"Op builtin_code out of range: {builtin_code(op.name)} ({op.name}, op {op.index})"
    if graph.ops and not any(tensor.dtype in ("INT8", "UINT8") for tensor in graph.tensors):
        yield "Model not quantized"


def _refused_with(refusal: str) -> _Finding:
    reason = f"the compiler refuses the whole file: {refusal}"
    return _Finding("refused-file", reason, "Remove the cause.", "", rules.VERSIONS)


def _cpu_fallback(op: Op, ops: Sequence[Op], causes: frozenset[int]) -> _Finding:
    """Names the nearest op among `causes` that `op` depends on."""
    producers = {tensor.index: producer for producer in ops for tensor in producer.outputs}
    seen, queue, cause = {op.index}, deque([op]), op
    while queue and cause is op:
        current = queue.popleft()
        if current.index in causes:
            cause = current
        for tensor in current.activations:
            producer = producers.get(tensor.index)
            if producer is not None and producer.index not in seen:
                seen.add(producer.index)
                queue.append(producer)
    return _Finding(
        "stranded",
        f"supported, but it lies behind op {cause.index} {cause.name} on the CPU; only one region is mapped",
        f"Make op {cause.index} run on the Edge TPU, or cut the model before it.",
        rules.MORE_THAN_ONE,
        PARTITION,
    )


def _verdict(op: Op, finding: _Finding | None) -> OpVerdict:
    inputs = tuple(tensor.name for tensor in op.present)
    outputs = tuple(tensor.name for tensor in op.outputs)
    if finding is None:
        mapped = OpVerdict(op.index, op.name, op.version, True, rules.MAPPED, inputs=inputs, outputs=outputs)
        return replace(mapped, unseen=coverage.remark(op))
    said = (finding.status, finding.rule, finding.reason, finding.advice, finding.source)
    return OpVerdict(op.index, op.name, op.version, False, *said, inputs, outputs)
