"""Published networks that judge images: inference only, NHWC float32, weights from the files of their authors."""
