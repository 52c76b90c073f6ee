"""Whether the server of buckets (gs://) answers. Commands ask before they use one: its library would retry for minutes, in silence."""
import os
import queue
import sys
import threading
import urllib.error
import urllib.request

PATIENCE = 3.0  # seconds until a line says what is waited for
LIMIT = 30.0  # seconds until the server is taken for unreachable: a resolver without a network can take that long


def refuse_unreachable(paths, patience=PATIENCE, limit=LIMIT):
    """Raises ValueError, naming the option, if one of some paths is in a bucket whose server cannot be reached. Any answer of it will do.

    Args:
        paths: {option: path or another value}.
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
    """The address that gcsfs asks."""
    server = os.environ.get("STORAGE_EMULATOR_HOST", "default")
    if server in ("", "default"):
        return "https://storage.googleapis.com"
    return server if "://" in server else f"http://{server}"


def _failure(server, limit):
    """Why a server cannot be reached; "" if it answers, whatever it says."""
    try:
        urllib.request.urlopen(server, timeout=limit).close()
    except urllib.error.HTTPError:
        return ""
    except urllib.error.URLError as error:
        return getattr(error.reason, "strerror", None) or str(error.reason)
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    except Exception:  # an answer that is no HTTP
        return ""
    return ""
