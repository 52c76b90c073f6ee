"""Published evaluation networks: inference only, NHWC float32, with weights from the files of their authors."""
