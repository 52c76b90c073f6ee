"""Scores of generated images."""

BY_RUN = ("colour_distance", "miou_by_d", "accuracy_by_d")  # scores that need no other network than those of the run
HIGHER_IS_BETTER = {  # the scores that can choose the best checkpoint
    "colour_distance": False,
    "texture_distance": False,
    "fid": False,
    "kid_x1000": False,
    "fd_vgg16": False,
    "kd_vgg16_x1000": False,
    "miou": True,
    "pixel_accuracy": True,
    "miou_by_d": True,
    "accuracy_by_d": True,
}
