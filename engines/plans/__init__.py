"""TensorRT plans: built from ONNX, kept under what they were built from and for, and loaded only there."""
