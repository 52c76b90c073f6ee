"""The same as scenes.py:sa."""
import functools

from configs import scenes

get_config = functools.partial(scenes.get_config, "sa")
