"""A run for the tests of the studio."""
import pytest

from tests.tiny_run import save_run, tiny_config


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a run of a tiny model with spatial awareness."""
    workdir = tmp_path_factory.mktemp("run")
    save_run(workdir, tiny_config(spatial_awareness=True))
    return workdir
