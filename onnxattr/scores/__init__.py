"""Reads tables of transfer and of similarities from files. Imports `types`, `errors`, `arrays`."""

from onnxattr.scores.read import load_scores

__all__ = ["load_scores"]
