"""What the Edge TPU compiler accepts, as data: each rule has an id, a source, and what to change.

In sources, `T` is the documented table (runtime 14), `M` a limit measured on files that Google's compiler
made, `L` the text of real compiler logs. Where the compiler was seen to do otherwise than the table says, the
rule follows the compiler and its source says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from convert.edgetpu.predict import checks
from convert.edgetpu.predict.graph import Op

TABLE = "T: coral.ai/docs/edgetpu/models-intro, supported operations"
TENSORS = "T: coral.ai/docs/edgetpu/models-intro, model requirements"
VERSIONS = (
    "tensorflow/lite/tools/versioning/runtime_version.cc: highest version with a minimum runtime <= 2.6.0; "
    "google-coral/edgetpu#631, #845"
)

# What the compiler's log writes behind an operator.
MAPPED = "Mapped to Edge TPU"
MORE_THAN_ONE = "More than one subgraph is not supported"
NOT_SUPPORTED = "Operation not supported"
VERSION = "Operation version not supported"
DATA_TYPE = "Operation is working on an unsupported data type"
UNSPECIFIED = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"
NOT_CONSTANT = "Filter, bias, or other param is not constant at compile-time"

SUPPORTED: Mapping[str, int] = MappingProxyType(
    {
        "ADD": 4, "AVERAGE_POOL_2D": 3, "CONCATENATION": 3, "CONV_2D": 5, "DEPTHWISE_CONV_2D": 6,
        "EXPAND_DIMS": 1, "FULLY_CONNECTED": 9, "L2_NORMALIZATION": 2, "LOGISTIC": 3, "LSTM": 4,
        "MAXIMUM": 4, "MAX_POOL_2D": 3, "MEAN": 3, "MINIMUM": 4, "MUL": 5, "PACK": 3, "PAD": 4, "PRELU": 1,
        "QUANTIZE": 2, "REDUCE_MAX": 3, "REDUCE_MIN": 3, "RELU": 3, "RELU6": 3, "RELU_N1_TO_1": 1,
        "RESHAPE": 1, "RESIZE_BILINEAR": 4, "RESIZE_NEAREST_NEIGHBOR": 4, "RSQRT": 2, "SLICE": 5,
        "SOFTMAX": 3, "SPACE_TO_DEPTH": 2, "SPLIT": 4, "SQUARED_DIFFERENCE": 2, "SQUEEZE": 2,
        "STRIDED_SLICE": 6, "SUB": 5, "SUM": 2, "TANH": 3, "TILE": 2, "TRANSPOSE": 5, "TRANSPOSE_CONV": 3,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": 3,
    }
)  # fmt: skip
"""The Edge TPU's operators with the highest version that compiler 16.0 reads (LSTM's and RELU_N1_TO_1's from memory).

TILE is mapped in a compiled file, but not documented.
"""

OTHER_VERSIONS: Mapping[str, int] = MappingProxyType(
    {
        "PADV2": 4, "UNPACK": 4, "DEQUANTIZE": 4, "CAST": 1, "GATHER": 5, "EXP": 1, "HARD_SWISH": 1,
        "DEPTH_TO_SPACE": 2, "BATCH_MATMUL": 4, "LEAKY_RELU": 2,
    }
)  # fmt: skip
"""The ceiling of operators that only the CPU runs: one above it still makes the compiler refuse the file."""

FIRST_UNKNOWN_CODE = 150
"""Builtin codes from here on are newer than compiler 16.0: "Op builtin_code out of range: 150" (GELU)."""

LEAST_INPUTS: Mapping[str, int] = MappingProxyType(
    {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3, "PRELU": 2, "SPLIT": 2}
)
"""How many inputs an operator has at least, where it is more than one."""

KNOWN_CUSTOM = frozenset({"CUSTOM:TFLite_Detection_PostProcess", "CUSTOM:PosenetDecoderOp"})
"""Custom operators the compiler's own interpreter knows, left on the CPU in Google's published models."""


def ceiling(name: str) -> int | None:
    """The highest version of operator `name` that compiler 16.0 reads; None if no source gives one."""
    return SUPPORTED.get(name, OTHER_VERSIONS.get(name))


@dataclass(frozen=True)
class Rule:
    """One limit: `broken` names what in an op breaks it, or gives None; `status` is what the log then
    says."""

    id: str
    ops: frozenset[str]
    limit: str
    advice: str
    status: str
    source: str
    broken: Callable[[Op], str | None]


ANY = frozenset(SUPPORTED)
RESIZES = frozenset({"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"})
REDUCTIONS = frozenset({"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"})
CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})
INTEGER_BORDERS = "Convert with integer inputs and outputs (inference_input_type = inference_output_type = int8)."

RULES: tuple[Rule, ...] = (
    Rule(
        id="data-type",
        ops=ANY - {"QUANTIZE"},
        limit="tensors must be int8 or uint8",
        advice=f"Quantize the whole graph. {INTEGER_BORDERS}",
        status=DATA_TYPE,
        source=TENSORS,
        broken=checks.data_type,
    ),
    Rule(
        id="quantize-from-float",
        ops=frozenset({"QUANTIZE"}),
        limit="only int8 and uint8 can be converted into each other",
        advice=INTEGER_BORDERS,
        status=UNSPECIFIED,
        source="M: every pair with a float32 QUANTIZE; L: face_detection_v15.log",
        broken=checks.data_type,
    ),
    Rule(
        id="parameter-type",
        ops=ANY,
        limit="parameters must be int8 or uint8, bias and shapes int32",
        advice="Quantize weights and activations to int8.",
        status=DATA_TYPE,
        source=TENSORS,
        broken=checks.constant_type,
    ),
    Rule(
        id="not-quantized",
        ops=ANY,
        limit="an int8 or uint8 tensor needs one scale and zero point",
        advice="Calibrate with a representative data set, so that every activation gets a scale.",
        status=UNSPECIFIED,
        source=TENSORS,
        broken=checks.unquantized,
    ),
    Rule(
        id="dynamic-shape",
        ops=ANY,
        limit="sizes must be constant at compile time",
        advice="Fix every input dimension, batch 1.",
        status=UNSPECIFIED,
        source=TENSORS,
        broken=checks.dynamic,
    ),
    Rule(
        id="rank",
        ops=ANY,
        limit="only the three innermost dimensions may be larger than 1",
        advice="Use batch size 1.",
        status=RANK,
        source=f"{TENSORS}; google-coral/edgetpu#30, #75",
        broken=checks.rank,
    ),
    Rule(
        id="constant-parameter",
        ops=CONVOLUTIONS | RESIZES | REDUCTIONS | {"FULLY_CONNECTED", "PRELU", "RESHAPE", "PAD"},
        limit="parameters must be constant at compile time",
        advice="Make the filter, bias, size or axis a constant.",
        status=NOT_CONSTANT,
        source=f"{TENSORS}; google-coral/edgetpu#25",
        broken=checks.parameters,
    ),
    Rule(
        id="fused-activation",
        ops=frozenset({"AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION"}),
        limit="no fused activation function",
        advice="Put the activation into an operator of its own.",
        status=UNSPECIFIED,
        source=TABLE,
        broken=checks.fused,
    ),
    Rule(
        id="constant-input",
        ops=frozenset({"CONCATENATION"}),
        limit="with a constant input there must be exactly two inputs and the constant all zeros",
        advice="Compute the constant in the graph, or pad with PAD.",
        status=UNSPECIFIED,
        source=TABLE,
        broken=checks.concatenated_constant,
    ),
    Rule(
        id="dilation",
        ops=CONVOLUTIONS,
        limit="dilation must be the same in x and y",
        advice="Use kernel (1, k) or (k, 1), or the same dilation in both directions.",
        status=UNSPECIFIED,
        source=f"{TABLE}; M: a (3, 1) kernel with dilation (2, 1) is mapped",
        broken=checks.dilation,
    ),
    Rule(
        id="groups",
        ops=frozenset({"CONV_2D"}),
        limit="no grouped convolution",
        advice="Write it as DEPTHWISE_CONV_2D or split it per group.",
        status=VERSION,
        source="a grouped CONV_2D is version 6; google-coral/edgetpu#631",
        broken=checks.groups,
    ),
    Rule(
        id="weights-format",
        ops=frozenset({"FULLY_CONNECTED"}),
        limit="only the default weights format",
        advice="Convert without shuffled weights.",
        status=UNSPECIFIED,
        source=TABLE,
        broken=checks.weights_format,
    ),
    Rule(
        id="one-dimensional-output",
        ops=frozenset({"FULLY_CONNECTED"}),
        limit="the output must be one-dimensional",
        advice="Write it as a 1x1 CONV_2D.",
        status=UNSPECIFIED,
        source=TABLE,
        broken=checks.one_dimensional,
    ),
    Rule(
        id="batch-axis",
        ops=REDUCTIONS | {"PACK", "SPLIT"},
        limit="not in the batch dimension",
        advice="Use another axis.",
        status=UNSPECIFIED,
        source=TABLE,
        broken=checks.batch_axis,
    ),
    Rule(
        id="depth-reduction",
        ops=frozenset({"MEAN"}),
        limit="a reduction over z needs a multiple of 4 channels",
        advice="Pad the channels to a multiple of 4.",
        status=UNSPECIFIED,
        source=TABLE,
        broken=checks.reduced_depth,
    ),
    Rule(
        id="batch-padding",
        ops=frozenset({"PAD"}),
        limit="no padding in the batch dimension",
        advice="Pad other dimensions.",
        status=UNSPECIFIED,
        source=TABLE,
        broken=checks.padded_batch,
    ),
    Rule(
        id="prelu-slope",
        ops=frozenset({"PRELU"}),
        limit="the slope must be one-dimensional",
        advice="With Keras use shared_axes=[1, 2].",
        status=UNSPECIFIED,
        source=TABLE,
        broken=checks.slope,
    ),
    Rule(
        id="resize-growth",
        ops=frozenset({"RESIZE_BILINEAR"}),
        limit="a large growth is left to the CPU to keep its precision",
        advice="Grow in steps of 2, or resize on the CPU.",
        status=UNSPECIFIED,
        source=f"{TABLE}; M: 2 times is mapped, 15 and 33 times refused, between them unknown",
        broken=checks.resize,
    ),
    Rule(
        id="resize-size",
        ops=RESIZES,
        limit="the result must fit the tiles' memory (3 MiB)",
        advice="Resize to a smaller size.",
        status=UNSPECIFIED,
        source=f"{TABLE}, depending on size; google-coral/edgetpu#31, #187; the limit is inferred",
        broken=checks.too_large,
    ),
    Rule(
        id="softmax-size",
        ops=frozenset({"SOFTMAX"}),
        limit=f"at most {checks.SOFTMAX_MAPPED:,} elements",
        advice="Compute the softmax on the CPU.",
        status=UNSPECIFIED,
        source=f"{TABLE} (16,000, one-dimensional); M: 16,384 is mapped; L: a 4-D one in yolov8n_192_v16.log",
        broken=checks.softmax,
    ),
    Rule(
        id="strided-slice",
        ops=frozenset({"STRIDED_SLICE"}),
        limit="all strides 1, no ellipsis mask, no new-axis mask",
        advice="Slice without a stride.",
        status=UNSPECIFIED,
        source=TABLE,
        broken=checks.slice_masks,
    ),
    Rule(
        id="transpose-rank",
        ops=frozenset({"TRANSPOSE"}),
        limit="at most four dimensions",
        advice="Merge dimensions first.",
        status=NOT_SUPPORTED,
        source="google-coral/edgetpu#274; L: 6 four-dimensional ones in yolov8n_192_v16.log",
        broken=checks.transposed,
    ),
)
"""Every rule for a supported operator; the first broken one gives the reason."""
