"""From ONNX to torch: the one place that knows onnx2torch. Imports `graph`, `types`, `errors`."""
