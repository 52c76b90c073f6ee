"""Evaluation of a checkpoint, or of a folder of images, against a validation split, by a named protocol."""
