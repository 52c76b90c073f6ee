"""Evaluation of a checkpoint, or of a folder of images, on a validation split by a named protocol."""
