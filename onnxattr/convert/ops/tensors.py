"""Stored tensors and data types, from ONNX's to torch's, and the devices that tensors live on."""

import warnings
from collections.abc import Iterable
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper

from onnxattr.errors import SupportError

#: torch's type of each of ONNX's; those of four bits and less live in one byte a number.
DTYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.BOOL: torch.bool,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT8: torch.uint8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.COMPLEX64: torch.complex64,
    TensorProto.COMPLEX128: torch.complex128,
    TensorProto.FLOAT8E4M3FN: torch.float8_e4m3fn,
    TensorProto.FLOAT8E4M3FNUZ: torch.float8_e4m3fnuz,
    TensorProto.FLOAT8E5M2: torch.float8_e5m2,
    TensorProto.FLOAT8E5M2FNUZ: torch.float8_e5m2fnuz,
    TensorProto.FLOAT8E8M0: torch.float8_e8m0fnu,
    TensorProto.INT4: torch.int8,
    TensorProto.UINT4: torch.uint8,
    TensorProto.INT2: torch.int8,
    TensorProto.UINT2: torch.uint8,
}

#: Types that numpy knows through ml_dtypes: the bits are read as an integer of the same size.
_BITS = {
    np.dtype(ml_dtypes.bfloat16): (np.int16, torch.bfloat16),
    np.dtype(ml_dtypes.float8_e4m3fn): (np.uint8, torch.float8_e4m3fn),
    np.dtype(ml_dtypes.float8_e4m3fnuz): (np.uint8, torch.float8_e4m3fnuz),
    np.dtype(ml_dtypes.float8_e5m2): (np.uint8, torch.float8_e5m2),
    np.dtype(ml_dtypes.float8_e5m2fnuz): (np.uint8, torch.float8_e5m2fnuz),
    np.dtype(ml_dtypes.float8_e8m0fnu): (np.uint8, torch.float8_e8m0fnu),
}

#: Numbers of less than a byte.
_PACKED = {
    np.dtype(ml_dtypes.int4): np.int8,
    np.dtype(ml_dtypes.uint4): np.uint8,
    np.dtype(ml_dtypes.int2): np.int8,
    np.dtype(ml_dtypes.uint2): np.uint8,
    np.dtype(ml_dtypes.float4_e2m1fn): np.float32,
}


def dtype_of(kind: int) -> torch.dtype:
    """Returns torch's type of one of ONNX's.

    Raises:
        SupportError: It has none: strings.
    """
    try:
        return DTYPES[kind]
    except KeyError:
        raise SupportError(f"tensors of type {TensorProto.DataType.Name(kind)}") from None


def to_torch(tensor: onnx.TensorProto) -> torch.Tensor:
    """Returns a stored tensor.

    Raises:
        SupportError: torch has no such type.
    """
    return from_numpy(numpy_helper.to_array(tensor))


def from_numpy(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """Returns a numpy array as a tensor, without a copy where the types agree.

    Raises:
        SupportError: torch has no such type.
    """
    array = np.asarray(array)
    if array.dtype in _PACKED:
        array = array.astype(_PACKED[array.dtype])
    bits, dtype = _BITS.get(array.dtype, (None, None))
    with warnings.catch_warnings():
        # It warns of memory that cannot be written; nothing writes into a stored tensor.
        warnings.simplefilter("ignore")
        try:
            if bits is not None and dtype is not None:
                flat = np.ascontiguousarray(array).view(bits).reshape(array.shape)
                return torch.from_numpy(flat).view(dtype)
            return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
        except TypeError:
            raise SupportError(f"tensors of type {array.dtype}") from None


def device_of(values: Iterable[Any]) -> torch.device | None:
    """Returns where the first tensor among values lives, or in sequences among them."""
    for value in values:
        if isinstance(value, torch.Tensor):
            return value.device
        if isinstance(value, list) and value:
            return device_of(value)
    return None


def moved(value: Any, device: torch.device | None) -> Any:
    """Returns a tensor, a sequence or an absent value on a device; where it is if that is None."""
    if isinstance(value, list):
        return [moved(item, device) for item in value]
    return value if value is None or device is None else value.to(device)
