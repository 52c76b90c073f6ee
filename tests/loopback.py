"""Jobs of several processes on this machine."""
import socket


def places(count):
    """The environment variables with which `count` processes join one job, a dict for each; a single process needs none."""
    if count == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    job = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(count)}
    return [job | {"JAX_PROCESS_ID": str(index)} for index in range(count)]
