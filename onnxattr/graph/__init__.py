"""ONNX graphs: reading, understanding and rewriting them. No torch here."""
