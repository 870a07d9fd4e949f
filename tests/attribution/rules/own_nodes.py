"""Nodes of operators of which the ONNX backend suite has no case: our own, ONNX Runtime's, retired.

Each is the operator with its arguments in ONNX's order, and its attributes.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Own:
    """A node.

    Attributes:
        operator: The key of its row.
        arguments: Tensors and numbers; None for a blank one.
        attributes: By name.
        outputs: How many it lists.
    """

    operator: str
    arguments: list[Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Numbers of either sign, in float64."""
    return torch.from_numpy(np.random.default_rng([seed, *shape]).normal(size=shape))


def whole(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


X, IMAGE, TOKENS = drawn(2, 3, 4), drawn(2, 4, 5, 5), drawn(2, 3, 8)
LAST = drawn(2, 5, 5, 4)
ROW, ROWS = drawn(8, seed=1), drawn(8, seed=2)
HEADS = drawn(2, 2, 3, 4)
KEYS, VALUES = drawn(2, 2, 4, 5), drawn(2, 2, 5, 4)
ANGLES = drawn(6, 2)
PARTS = [drawn(2, 2, 3, 4, seed=i) for i in range(4)]
OTHER_TOKENS = [drawn(2, 5, 8), drawn(2, 5, 8, seed=1)]
BYTES = torch.arange(64, dtype=torch.uint8)
SKIPS = [TOKENS, drawn(2, 3, 8, seed=3), ROW, ROWS, drawn(8, seed=3)]
MICROSOFT = [
    Own("Attention", [TOKENS, drawn(8, 24), drawn(24)], {"num_heads": 2}, 2),
    Own("Attention", [TOKENS, drawn(8, 24), None, None, drawn(2, 2, 2, 5, 4)], {"num_heads": 2}),
    Own("Attention", [TOKENS, drawn(8, 20)], {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]}),
    Own("BiasAdd", [X, drawn(4), drawn(2, 3, 4, seed=1)]),
    Own("BiasDropout", [X, drawn(4), drawn(2, 3, 4, seed=1), torch.tensor(0.5)]),
    Own("BiasGelu", [X, drawn(4)]),
    Own("BiasSoftmax", [X, drawn(2, 3, 4, seed=1)], {"axis": 2, "is_inner_broadcast": 0}),
    Own("BiasSplitGelu", [X, drawn(4)]),
    Own("ComplexMul", [drawn(3, 2), drawn(3, 2, seed=1)]),
    Own("ComplexMulConj", [drawn(3, 2), drawn(3, 2, seed=1)]),
    Own(
        "ConvTransposeWithDynamicPads",
        [IMAGE, drawn(4, 3, 3, 3), [1, 1, 1, 1], drawn(3)],
        {"strides": [2, 2]},
    ),
    Own("ExpandDims", [X, [1]]),
    Own("FastGelu", [X, drawn(4)]),
    Own("FastGelu", [X]),
    Own("FusedConv", [IMAGE, drawn(3, 4, 3, 3), drawn(3)], {"activation": "Relu"}),
    Own("FusedConv", [IMAGE, drawn(3, 4, 3, 3), drawn(3)], {"activation": "Sigmoid"}),
    Own(
        "FusedConv",
        [IMAGE, drawn(3, 4, 3, 3), drawn(3), drawn(2, 3, 3, 3)],
        {"activation": "HardSigmoid", "activation_params": [0.2, 0.5]},
    ),
    Own("FusedGemm", [drawn(2, 3), drawn(3, 4), drawn(4)], {"activation": "Tanh"}),
    Own(
        "FusedGemm",
        [drawn(2, 3), drawn(4, 3)],
        {"activation": "LeakyRelu", "activation_alpha": 0.1, "transB": 1, "alpha": 2.0},
    ),
    Own("FusedMatMul", [X, drawn(2, 5, 4)], {"transB": 1, "alpha": 0.5}),
    Own(
        "FusedMatMulActivation",
        [X, drawn(2, 4, 5)],
        {"activation": "Clip", "activation_alpha": -1.0, "activation_beta": 2.0},
    ),
    Own("GatherND", [X, torch.tensor([[0, 1], [1, 2]])]),
    Own("Gelu", [X]),
    Own("GemmaRotaryEmbedding", [drawn(2, 3, 4), *PARTS], {}, 2),
    Own("GridSample", [IMAGE, drawn(2, 3, 3, 2) / 2]),
    Own("GroupNorm", [LAST, drawn(4), drawn(4, seed=1)], {"groups": 2, "activation": 1}),
    Own(
        "GroupNorm",
        [IMAGE, drawn(4), drawn(4, seed=1)],
        {"groups": 2, "activation": 0, "channels_last": 0},
    ),
    Own(
        "GroupQueryAttention",
        [TOKENS, drawn(2, 3, 4, seed=1), drawn(2, 3, 4, seed=2), None, None, whole(2, 2), whole(3)],
        {"num_heads": 4, "kv_num_heads": 2},
    ),
    Own("Irfft", [drawn(2, 5, 2)]),
    Own("LayerNormalization", [TOKENS, ROW, ROWS], {}, 3),
    Own("LayerNormalization", [TOKENS, ROW]),
    Own(
        "MatMulNBits",
        [drawn(2, 32), BYTES.reshape(4, 1, 16), drawn(4), None, None, drawn(4)],
        {"K": 32, "N": 4, "block_size": 32},
    ),
    Own("MultiHeadAttention", [TOKENS, *OTHER_TOKENS, drawn(24)], {"num_heads": 2}),
    Own(
        "MultiHeadAttention",
        [TOKENS, drawn(2, 5, 8), drawn(2, 5, 8, seed=1), None, None, drawn(2, 2, 3, 5)],
        {"num_heads": 2},
    ),
    Own("NhwcConv", [LAST, drawn(3, 4, 3, 3), drawn(3)]),
    Own("NhwcFusedConv", [LAST, drawn(3, 4, 3, 3), drawn(3)], {"activation": "Relu"}),
    Own("NhwcMaxPool", [LAST], {"kernel_shape": [2, 2]}),
    Own("Pad", [X, [0, 1, 0, 0, 0, 1], torch.tensor(0.7)]),
    Own("QuickGelu", [X]),
    Own("Rfft", [X]),
    Own("RotaryEmbedding", [HEADS, torch.tensor([[0, 1, 2]] * 2), ANGLES.cos(), ANGLES.sin()]),
    Own("SimplifiedLayerNormalization", [TOKENS, ROW], {}, 2),
    Own(
        "SkipGroupNorm",
        [LAST, drawn(4), drawn(4, seed=1), drawn(2, 4), drawn(4, seed=2)],
        {"groups": 2, "activation": 0},
        2,
    ),
    Own("SkipLayerNormalization", SKIPS, {}, 4),
    Own("SkipLayerNormalization", SKIPS[:3]),
    Own("SkipSimplifiedLayerNormalization", [*SKIPS[:3], ROWS], {}, 4),
    Own("TransposeMatMul", [X, drawn(2, 5, 4)], {"transB": 1}),
    Own("Trilu", [X]),
    Own("Unique", [drawn(7)], {}, 3),
]  # fmt: skip
OTHERS = [
    Own(".Affine", [X], {"alpha": 2.0, "beta": 0.3}),
    Own(".Crop", [IMAGE], {"border": [1, 0, 1, 1]}),
    Own(".ImageScaler", [IMAGE], {"bias": [0.1, 0.2, 0.3, 0.4], "scale": 0.5}),
    Own(".LayerNormalization", [TOKENS, ROW, ROWS], {}, 3),
    Own(".ParametricSoftplus", [X], {"alpha": 0.7, "beta": 1.5}),
    Own(".Scale", [X], {"scale": 3.0}),
    Own(".ScaledTanh", [X], {"alpha": 0.7, "beta": 1.5}),
    Own(".SimplifiedLayerNormalization", [TOKENS, ROW], {}, 2),
    Own(".ThresholdedRelu", [X], {"alpha": 0.5}),
    Own("Cast", [X], {"to": 11}),
    Own("FusedAttention", [HEADS, KEYS, VALUES], {"scale": 0.5}),
    Own("FusedAttention", [HEADS, KEYS, VALUES, drawn(2, 1, 3, 5)], {"scale": 0.5}),
    Own(
        "FusedAttention",
        [HEADS, KEYS, VALUES, None, drawn(2, 1, 3, 5) > -0.5],
        {"scale": 0.5, "empty": "zero"},
    ),
    Own("FusedGelu", [X]),
    Own("FusedGelu", [X], {"approximate": "tanh"}),
    Own("FusedLayerNormalization", [TOKENS, ROW, ROWS]),
    Own("FusedLayerNormalization", [IMAGE, drawn(4, 1, 1), drawn(4, 1, 1, seed=1)], {"axes": [1]}),
    Own("FusedLayerNormalization", [IMAGE, drawn(1, 5), drawn(5, 1)], {"axes": [-1, -2]}),
    Own("FusedLinear", [X, drawn(4, 5), drawn(5)]),
    Own("JoinFirst", [IMAGE], {"axes": 2}),
    Own("RepeatBatch", [drawn(1, 3), drawn(4, 2)]),
    Own("Trilu", [X]),
    Own("ConcatFromSequence", [[X, X]], {"axis": 1}),
    Own("SequenceAt", [[X, X + 1], torch.tensor(1)]),
    Own("SequenceConstruct", [X, X + 1]),
    Own("SequenceErase", [[X, X + 1], torch.tensor(0)]),
    Own("SequenceInsert", [[X, X + 1], X + 2, torch.tensor(1)]),
    Own("SplitFirst", [drawn(6, 2)], {"sizes": [2, 3]}),
    Own("ai.onnx.ml.FeatureVectorizer", [drawn(3, 2), drawn(3, 1)], {"inputdimensions": [2, 1]}),
    Own("ai.onnx.ml.Normalizer", [drawn(3, 4)], {"norm": "L2"}),
    Own("ai.onnx.ml.Normalizer", [drawn(3, 4)], {"norm": "L1"}),
    Own("ai.onnx.ml.Normalizer", [drawn(3, 4)], {"norm": "MAX"}),
]  # fmt: skip
ALL = [
    *(Own(f"com.microsoft.{o.operator}", o.arguments, o.attributes, o.outputs) for o in MICROSOFT),
    *OTHERS,
]
