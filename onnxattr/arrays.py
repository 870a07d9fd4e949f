"""Names for the array types that the layers exchange. Imports numpy only."""

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
UInt8 = npt.NDArray[np.uint8]

#: Probes: uint8 images, float32 arrays, or int64 token ids.
Probing = npt.NDArray[np.generic]
