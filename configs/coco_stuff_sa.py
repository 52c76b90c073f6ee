"""The same as coco_stuff.py:sa."""
import functools

from configs import coco_stuff

get_config = functools.partial(coco_stuff.get_config, "sa")
