"""Scores of generated images."""

HIGHER_IS_BETTER = {"colour_distance": False, "miou_by_d": True, "accuracy_by_d": True}  # the scores that can choose the best checkpoint
