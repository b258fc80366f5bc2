"""Prediction: recordings found and cut, words recognised and aligned, probabilities, the ONNX export."""
