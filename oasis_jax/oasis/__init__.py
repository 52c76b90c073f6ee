"""OASIS (arXiv 2012.04781): everything that knows label maps, N + 1 classes, LabelMix and conditioning on regions."""
