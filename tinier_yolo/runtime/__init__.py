"""Inference: integer programs in NumPy (the specification) and Numba (the fast twin), float networks in OpenCV."""
