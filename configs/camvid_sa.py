"""The same as camvid.py:sa."""
import functools

from configs import camvid

get_config = functools.partial(camvid.get_config, "sa")
