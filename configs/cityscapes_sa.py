"""The same as cityscapes.py:sa."""
import functools

from configs import cityscapes

get_config = functools.partial(cityscapes.get_config, "sa")
