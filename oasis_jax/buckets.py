"""Checks that the server of buckets (gs://) responds before a command uses a bucket: the library would silently retry for minutes."""
import os
import queue
import sys
import threading
import urllib.error
import urllib.request

PATIENCE = 3.0  # seconds until a line says which server the command is waiting for
LIMIT = 30.0  # seconds until the server counts as unreachable: name resolution without a network can take that long


def refuse_unreachable(paths, patience=PATIENCE, limit=LIMIT):
    """Raises ValueError, naming the option, if a path is in a bucket and the server cannot be reached. Any response counts as reachable.

    Args:
        paths: {option: value}; values that are not paths in buckets are ignored.
        patience, limit: seconds.
    """
    option, path = next(((option, path) for option, path in paths.items() if isinstance(path, str) and path.startswith("gs://")), ("", ""))
    if not path:
        return
    server, answer = _server(), queue.SimpleQueue()
    threading.Thread(target=lambda: answer.put(_failure(server, limit)), daemon=True).start()
    try:
        failure = answer.get(timeout=patience)
    except queue.Empty:
        print(f"waiting for {server}, for {option}={path} ...", file=sys.stderr, flush=True)
        try:
            failure = answer.get(timeout=limit - patience)
        except queue.Empty:
            failure = f"no answer for {limit:.0f} s"
    if failure:
        raise ValueError(f"{option}={path} cannot be reached ({server}: {failure}): check the network, or give a path on a disk")


def _server():
    """The address that gcsfs sends its requests to."""
    server = os.environ.get("STORAGE_EMULATOR_HOST", "default")
    if server in ("", "default"):
        return "https://storage.googleapis.com"
    return server if "://" in server else f"http://{server}"


def _failure(server, limit):
    """The reason why a server cannot be reached; "" if it gives any response."""
    try:
        urllib.request.urlopen(server, timeout=limit).close()
    except urllib.error.HTTPError:
        return ""
    except urllib.error.URLError as error:
        return getattr(error.reason, "strerror", None) or str(error.reason)
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    except Exception:  # a response that is not HTTP
        return ""
    return ""
