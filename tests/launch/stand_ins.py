"""Stand-ins for the commands of a cloud or a cluster: each records its arguments, so that what a launcher runs can be compared."""
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
TRAIN = ["--config=configs/scenes.py", "--workdir=gs://bucket/runs/a b", "--config.data.root=it's $HOME", "--config.data.image_size=16,32"]
RECORD = """#!{python} -IS
import json, os, pathlib, subprocess, sys
with open({calls!r}, "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + chr(10))
"""


class StandIns:
    """A folder of commands that come first in PATH.

    Args:
        folder: path of the folder, which is created.
        commands: {name: Python source, which is run after the call was recorded}.
    """

    def __init__(self, folder, **commands):
        self.folder, self._calls = folder, folder / "calls"
        folder.mkdir()
        for name, source in commands.items():
            self.add(folder / name, source)

    def add(self, file, source=""):
        """Adds a command at the path `file`."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(RECORD.format(python=sys.executable, calls=str(self._calls)) + source)
        file.chmod(0o755)

    def environment(self, **variables):
        return os.environ | {"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(self.folder)} | variables

    def run(self, *arguments, **variables):
        """Runs a command; returns the finished process."""
        arguments, environment = list(map(str, arguments)), self.environment(**variables)
        return subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)

    def calls(self):
        """Returns the calls since the last call of this method, [[name, argument, ...]]."""
        calls = [json.loads(line) for line in self._calls.read_text().splitlines()] if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return calls
