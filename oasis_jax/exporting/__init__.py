"""Export of models to files that other programs run: ONNX and StableHLO."""
