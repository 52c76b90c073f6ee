"""A folder that cannot be read, even for a user such as root, whom permissions do not stop."""
import os


def close_folder(monkeypatch, name):
    """Makes every folder of this name unreadable during a test."""
    scandir = os.scandir

    def guarded(path):
        if os.path.basename(path) == name:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
