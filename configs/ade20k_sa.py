"""The same as ade20k.py:sa."""
import functools

from configs import ade20k

get_config = functools.partial(ade20k.get_config, "sa")
