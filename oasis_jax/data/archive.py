"""A zip whose members can be read by several threads in parallel, without extracting them to disk."""
import threading
import zipfile
import zlib

from oasis_jax.data.labels import DataError
from oasis_jax.files import regular

MAX_BYTES = 1 << 28  # limit for one unpacked member: far more than any photo has
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # for others, zipfile does not limit how much it unpacks
_ENCRYPTED = 0x1


class Archive:
    """The members of a zip.

    Args:
        path: local file.
        field: its field of config.data, for messages.

    Attributes:
        members: paths of all members inside the zip; a path that occurs more than once is repeated.

    Raises:
        DataError: the file is missing or is not a zip.
    """

    def __init__(self, path, field="root"):
        self.path = path
        self._lock = threading.Lock()
        try:
            self._zip = zipfile.ZipFile(regular(path))
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise DataError(f"data.{field} {path} cannot be read as a local zip ({error}): replace it or correct data.{field}") from error
        self.members = self._zip.namelist()

    def read(self, member) -> bytes:
        """Returns the unpacked bytes of a member. Raises DataError, naming zip and member, if it is damaged, encrypted or too large."""
        source, info = f"{self.path}: {member}", self._zip.getinfo(member)
        if info.flag_bits & _ENCRYPTED:
            raise DataError(f"{source} is encrypted: zip the photos without a password")
        if info.compress_type not in _METHODS:
            raise DataError(f"{source} is compressed by method {info.compress_type}: store or deflate it")
        if info.file_size > MAX_BYTES:
            raise DataError(f"{source} unpacks to {info.file_size} bytes, more than the {MAX_BYTES} that a photo may have: remove it")
        try:
            with self._lock:  # ZipFile counts its open members without a lock; reading them is locked
                file = self._zip.open(info)
            try:
                return file.read(info.file_size)  # at most the declared size, even if the compressed data hold more
            finally:
                with self._lock:
                    file.close()
        except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{source} cannot be unpacked ({error}): zip the photos again") from error
