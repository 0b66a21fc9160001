"""The types of numpy arrays by element: what every column of the core is made of."""

import numpy as np
from numpy.typing import NDArray

I8 = NDArray[np.int64]
F8 = NDArray[np.float64]
U8 = NDArray[np.uint64]
Bytes = NDArray[np.uint8]
Codes = NDArray[np.uint32]
