"""The networks of `blueprint` as functions of TensorFlow, through tf2onnx, in both layouts."""

import functools
import logging
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import blueprint
import tensorflow as tf
import tf2onnx

logging.disable(logging.WARNING)


def function(plan, weights):
    def compute(value):
        if plan.dtype == "uint8":
            value = (tf.cast(value, tf.float32) / 255 - blueprint.MEAN) / blueprint.STD
        for block, row in zip(plan.blocks, weights[:-1], strict=True):
            convolve = tf.nn.depthwise_conv2d if block.depthwise else tf.nn.conv2d
            strides, dilations = [1, block.stride, block.stride, 1], [block.dilation] * 2
            value = convolve(value, row["kernel"], strides, "SAME", dilations=dilations)
            statistics = [row[name] for name in ("mean", "variance", "beta", "gamma")]
            value = tf.nn.batch_normalization(value, *statistics, blueprint.EPSILON)
            value = tf.nn.relu(value)
        if plan.head:
            value = tf.reduce_mean(value, [1, 2])
            value = tf.matmul(value, weights[-1]["kernel"]) + weights[-1]["bias"]
        return tf.nn.softmax(value) if plan.head == "softmax" else value

    return compute


def export(path, name, moved):
    plan, weights = blueprint.parse(name)
    shape = [None, plan.size, plan.size, plan.channels]
    signature = [tf.TensorSpec(shape, plan.dtype, name="image")]
    compute = tf.function(function(plan, weights), input_signature=signature)
    tf2onnx.convert.from_function(
        compute, signature, inputs_as_nchw=["image:0"] if moved else None, output_path=str(path)
    )


if __name__ == "__main__":
    blueprint.main(
        nhwc=functools.partial(export, moved=False), nchw=functools.partial(export, moved=True)
    )
