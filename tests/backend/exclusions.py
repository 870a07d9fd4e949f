"""What is not as the suite has it, each with its reason; tests hold that each entry is true.

Patterns are matched against the whole of `kind/name`, without a trailing `_expanded` or
`_expanded_ver18`; for gradients, of that and the input's name, with the mode or without.
"""

#: Cases that count and whose values differ, by pattern.
VALUES = {
    "node/test_resize_downsample_scales_(linear|cubic)_align_corners": (
        "ends are aligned with a length of 2.4 where 2 numbers are, which puts the last one beside"
        " the end; ONNX Runtime and torch align them with those that there are"
    ),
    "node/test_maxunpool_export_with_output_shape": (
        "places are counted in the shape that follows from the kernel, not in `output_shape`; ONNX"
        " Runtime counts in the latter: issue 1398 of onnx"
    ),
}

#: Cases that do not count and are refused, by pattern.
REFUSED = {
    "node/test_ai_onnx_ml_label_encoder_.*": "labels are strings, which torch does not have",
    "node/test_ai_onnx_ml_tree_ensemble_.*": "ensembles of trees are not converted",
    "simple/test_gradient_of_.*": "`Gradient` is of training: torch takes the gradients here",
    "node/test_(string|strnormalizer|regex_full_match|equal_string).*": "torch has no strings",
    "simple/test_strnorm_model_.*": "torch has no strings",
    "node/test_image_decoder_.*": "image files are decoded outside of networks",
}

#: Inputs of floating point that say how large the output is, or where it is sampled: they are read
#: as numbers, and have no gradient.
GEOMETRY = {
    ("Resize", 2): "the scales also say how large the output is",
    ("Upsample", 1): "the scales also say how large the output is",
}

#: Gradients that are zero wherever the function is smooth, by pattern.
ZERO = {
    "(node/test_(ceil|floor|round|sign)(_example)?|simple/test_sign_model) x": "piecewise constant",
    "node/test_gridsample_.*nearest.* Grid": "piecewise constant: which one is the nearest",
    "node/test_melweightmatrix (lower|upper)_edge_hertz": "piecewise constant: rounded to bins",
    "node/test_ai_onnx_ml_binarizer X": "piecewise constant",
    "node/test_(gru|lstm|simple_rnn)_(batchwise|defaults|with_initial_bias) R": (
        "a sequence of one step, from a state of zero"
    ),
    "simple/test_sequence_model1 [XZ]": "the result is another tensor of the sequence",
    "simple/test_sequence_model[23] [XY]": "the result is another tensor of the sequence",
    "node/test_hardmax_.* x": "piecewise constant: which one is the largest",
    "node/test_onehot_.* (indices|depth)": "piecewise constant: places and their number",
    "node/test_range_.* limit": "piecewise constant: it says how many numbers there are",
    "node/test_clip_inbounds (min|max)": "no value is beyond the bounds",
    "node/test_clip_splitbounds min": "no value is beyond that bound",
    "node/test_clip_min_greater_than_max (x|min)": "every value is the upper bound",
    "node/test_dropout_default(_mask)?_ratio r": "nothing is dropped outside of training",
    "node/test_slice_start_out_of_bounds x": "the result has no numbers",
    "node/test_attention_(3d_transpose_verification|bidirectional_window) Q, const": (
        "all keys are alike"
    ),
    "node/test_attention_local_window_ext_cache_float16_mask Q, const": "all keys are alike",
    "node/test_attention_causal_boolmask_nan_robustness (Q|K)": "a query sees one key, or none",
}

#: Cases in earlier opsets for which no other engine is right, by pattern of `label/name`.
VERSIONS = {
    "AveragePool_1/.*": (
        "whether pads count, no attribute said then: the reference counts them, as no later version"
        " does unless told to"
    ),
    "DFT_17/.*": "ONNX Runtime is 3e-4 off in float32",
    "Dropout_1[23]/test_training_dropout(?!_zero).*": "ONNX Runtime draws other numbers",
}
