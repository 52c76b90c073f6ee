"""A stand-in for Google Cloud Storage on loopback, with one empty bucket; everything in it is lost when the server ends."""
import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

BUCKET = "bucket"


@contextlib.contextmanager
def storage_server():
    """Runs a server in a separate process; yields the environment variables that make every library of a command use it for gs://."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, __file__, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not _answers(url):
            assert server.poll() is None and time.monotonic() < deadline, "the storage server does not answer"
            time.sleep(0.05)
        yield {
            "STORAGE_EMULATOR_HOST": url,  # for gcsfs (pictures, logs) and google-cloud-storage, with which Orbax inspects the bucket
            "TENSORSTORE_GCS_HTTP_URL": url,  # for TensorStore, with which Orbax writes arrays
            "FSSPEC_GCS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # would look for zonal buckets in a service that this server does not provide
            "no_proxy": "127.0.0.1",
        }
    finally:
        server.terminate()
        server.wait()


def _answers(url):
    try:
        with urllib.request.urlopen(f"{url}/storage/v1/b/{BUCKET}"):
            return True
    except urllib.error.URLError:
        return False


def objects(environment):
    """The objects in the bucket of a running server: {name: bytes}."""
    url = f"{environment['STORAGE_EMULATOR_HOST']}/storage/v1/b/{BUCKET}/o"

    def get(query):
        with urllib.request.urlopen(f"{url}{query}") as answer:
            return answer.read()

    names = [item["name"] for item in json.loads(get("")).get("items", ())]
    return {name: get(f"/{urllib.parse.quote(name, safe='')}?alt=media") for name in names}


def serve(port):
    """Runs the server in this process."""
    from gcp_storage_emulator import server
    from gcp_storage_emulator.handlers import objects

    download = objects.download

    def with_generation(request, response, storage):  # TensorStore asks for this header
        download(request, response, storage)
        if response.status.value < 300:
            stored = storage.get_file_obj(request.params["bucket_name"], request.params["object_id"])
            response["x-goog-generation"] = stored["generation"]

    objects.download = with_generation
    server.create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET).run()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
