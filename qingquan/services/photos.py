"""Photos as evidence, in the data folder under the digest of their bytes: what is there is what was sent, and only once."""

import os
import re
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from qingquan.domain.answers import Photo

__all__ = ["PhotoFolder", "media_type_of"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


def media_type_of(content: bytes) -> str:
    """What the bytes themselves say they are: JPEG, PNG or WebP; empty for anything else, whatever it is called."""
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return ""


class PhotoFolder:
    """Photos by digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, content: bytes) -> Photo:
        """Write a photo down for good before it is spoken of. Raises `OSError` when there is no room."""
        photo = Photo(sha256(content).hexdigest(), media_type_of(content), len(content))
        path = self._path(photo.digest)
        if path.exists():
            return photo
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{photo.digest}.{uuid4().hex}.part")
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise
        return photo

    def read(self, digest: str) -> bytes | None:
        """The bytes of a photo; ``None`` if it is not there, or no longer what it was."""
        if not _DIGEST.fullmatch(digest):
            return None
        try:
            content = self._path(digest).read_bytes()
        except OSError:
            return None
        return content if sha256(content).hexdigest() == digest else None

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest
