"""Rows of operators that need no rule, and of those that relevance does not pass.

What is (piecewise) linear and homogeneous in its signal is not only said to be: the tests of this
table try Euler's identity, Σ z · ∂y/∂z = y, on cases of every operator.
"""

from __future__ import annotations

from typing import Any

from onnxattr.attribution.rules.parts import keeping
from onnxattr.attribution.rules.table import ALL, Function, Site, row
from onnxattr.errors import SupportError

#: By the positions that bear relevance. What chooses, or says where numbers go, does not.
_LINEAR: dict[tuple[int, ...] | None, str] = {
    ALL: "Add Concat ConcatFromSequence Entrance Max Mean Min Mod Outputs SequenceConstruct Sub "
    "Sum ai.onnx.ml.FeatureVectorizer com.microsoft.BiasAdd",
    # One number or image at a time, and what moves numbers about.
    (0,): "Abs AffineGrid AveragePool Cast CastLike CenterCropPad Col2Im Compress CumSum DFT "
    "DepthToSpace Dropout Expand Flatten Gather GatherElements GatherND GlobalAveragePool "
    "GlobalLpPool GlobalMaxPool GridSample Identity JoinFirst LeakyRelu LpPool MaxPool MaxRoiPool "
    "MaxUnpool Neg NegativeLogLikelihoodLoss Optional OptionalGetElement PRelu ReduceL1 ReduceL2 "
    "ReduceMax ReduceMean ReduceMin ReduceSum Relu RepeatBatch Reshape Resize ReverseSequence "
    "RoiAlign RotaryEmbedding STFT SequenceAt SequenceErase Slice SpaceToDepth Split SplitFirst "
    "SplitToSequence Squeeze ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample "
    ".Affine .Crop .ImageScaler .Scale .ThresholdedRelu ai.onnx.ml.ArrayFeatureExtractor "
    "ai.onnx.ml.Imputer ai.onnx.ml.Scaler com.microsoft.ExpandDims com.microsoft.GatherND "
    "com.microsoft.GridSample com.microsoft.Irfft com.microsoft.NhwcMaxPool com.microsoft.Rfft "
    "com.microsoft.RotaryEmbedding com.microsoft.Trilu com.microsoft.Unique",
    (0, 1): "SequenceInsert TensorScatter",
    (0, 2): "Pad com.microsoft.Pad",
    (0, 1, 2): "com.microsoft.BiasDropout",
    (1, 2): "Where",
    (1, 2, 3, 4): "com.microsoft.GemmaRotaryEmbedding",
    (2,): "OneHot",
}

#: Products with stored weights, of which a composite chooses the rule, by the name it has there.
_LAYERS = {"Conv": "Conv", "ConvTranspose": "ConvTranspose", "FusedLinear": "Gemm"}

#: Their weights, like the offsets and the mask of the first, are held whatever the composite.
_WEIGHTED: dict[str, tuple[int, ...]] = {
    "DeformConv": (0, 3),
    "com.microsoft.ConvTransposeWithDynamicPads": (0, 3),
    "com.microsoft.MatMulNBits": (0, 5),
}

#: What these give depends on no number but in steps: it is a bias. The reciprocal is a divisor.
_STILL = (
    "And ArgMax ArgMin Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor "
    "BlackmanWindow Ceil Constant ConstantOfShape Equal EyeLike Floor Greater GreaterOrEqual "
    "HammingWindow HannWindow Hardmax IsInf IsNaN Less LessOrEqual MelWeightMatrix Multinomial "
    "NonMaxSuppression NonZero Not OptionalHasElement Or Parameter RandomNormal RandomNormalLike "
    "RandomUniform RandomUniformLike Range Reciprocal Round SequenceEmpty SequenceLength Shape "
    "Sign Size TfIdfVectorizer Xor .GivenTensorFill ai.onnx.ml.Binarizer ai.onnx.ml.LabelEncoder "
    "ai.onnx.ml.OneHotEncoder com.microsoft.EmbedLayerNormalization com.microsoft.IsAllFinite "
    "com.microsoft.MulInteger com.microsoft.QEmbedLayerNormalization com.microsoft.Range "
    "com.microsoft.ReduceSumInteger"
)

_QUANTISED = "it computes with quantised numbers: its rules would be those of its float form"
_CONTROL = "its body runs as often as the numbers say: no rule reaches into it"
_MODEL = "it is a whole model of its own, of which there is no layer-wise relevance"
_ENDLESS = "it is infinite at zero, from where relevance is counted"

#: Why methods of relevance refuse the others.
_REFUSED = {
    _QUANTISED: "ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv "
    "QLinearMatMul QuantizeLinear com.microsoft.DequantizeLinear com.microsoft.DynamicQuantizeLSTM "
    "com.microsoft.DynamicQuantizeMatMul com.microsoft.MatMulInteger16 "
    "com.microsoft.MatMulIntegerToFloat com.microsoft.QAttention com.microsoft.QGemm "
    "com.microsoft.QLinearAdd com.microsoft.QLinearAveragePool com.microsoft.QLinearConcat "
    "com.microsoft.QLinearConv com.microsoft.QLinearGlobalAveragePool "
    "com.microsoft.QLinearLeakyRelu com.microsoft.QLinearMul com.microsoft.QLinearReduceMean "
    "com.microsoft.QLinearSigmoid com.microsoft.QLinearSoftmax com.microsoft.QLinearWhere "
    "com.microsoft.QuantizeLinear",
    _CONTROL: "If Loop Scan SequenceMap ai.onnx.preview.FlexAttention",
    _MODEL: "ai.onnx.ml.LinearClassifier ai.onnx.ml.LinearRegressor ai.onnx.ml.SVMClassifier "
    "ai.onnx.ml.SVMRegressor",
    _ENDLESS: "Acosh Log ReduceLogSum",
    "it is a loss, or a step of training": "SoftmaxCrossEntropyLoss "
    "ai.onnx.preview.training.Adagrad ai.onnx.preview.training.Adam "
    "ai.onnx.preview.training.Momentum",
    "its numbers are products of different degrees": "CumProd LinearAttention",
    "it is neither linear nor a function of one number": "com.microsoft.CDist "
    "com.microsoft.Inverse",
    "it keeps its keys and values in a buffer": "com.microsoft.DecoderMaskedMultiHeadAttention",
}

#: Sums of exponentials. By the true gradient, which is Taylor's first order at z, what is left,
#: y − Σ z · ∂y/∂z, is a bias (Achtibat et al. 2024, proposition 3.1).
_TANGENT = "LogSoftmax ReduceLogSumExp Softmax"


def tangent(site: Site) -> Function:
    """Returns the operator with its true gradient to its first input."""

    def compute(*arguments: Any) -> Any:
        return site.function(*keeping(arguments, (0,)))

    return compute


def _scattered(site: Site) -> Function:
    """Linear, unless it multiplies what is there by what comes."""
    if site.call.attributes.get("reduction") == "mul":
        raise SupportError("it multiplies numbers that it scatters")

    def compute(x: Any, indices: Any, updates: Any) -> Any:
        return site.function(x, indices, updates)

    return compute


for _signal, _names in _LINEAR.items():
    row(*_names.split(), signal=_signal)
for _name, _layer in _LAYERS.items():
    row(_name, signal=(0, 2), layer=_layer)
for _name, _positions in _WEIGHTED.items():
    row(_name, signal=_positions)
for _reason, _names in _REFUSED.items():
    row(*_names.split(), refuse=_reason)
row(*_STILL.split(), signal=())
row(*_TANGENT.split(), rule=tangent)
row("Scatter", "ScatterElements", "ScatterND", signal=(0, 2), rule=_scattered)
