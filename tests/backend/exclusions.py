"""What is not as the suite has it, each with its reason; tests hold that each entry is true.

Patterns are matched against the whole of `kind/name`, without a trailing `_expanded` or
`_expanded_ver18`, or, for gradients, of that and the input's name.
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
    "node/test_ai_onnx_ml_.*": "classical machine learning, `ai.onnx.ml`: no networks",
    "node/test_(adagrad|adam|momentum|nesterov_momentum).*": "optimisers: steps of training",
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
    "node/test_hardmax_.* x": "piecewise constant: which one is the largest",
    "node/test_onehot_.* (indices|depth)": "piecewise constant: places and their number",
    "node/test_range_.* limit": "piecewise constant: it says how many numbers there are",
    "node/test_clip_inbounds (min|max)": "no value is beyond the bounds",
    "node/test_clip_splitbounds min": "no value is beyond that bound",
    "node/test_clip_min_greater_than_max (x|min)": "every value is the upper bound",
    "node/test_dropout_default(_mask)?_ratio r": "nothing is dropped outside of training",
    "node/test_slice_start_out_of_bounds x": "the result has no numbers",
}
