"""What a file system says of a file that changes when its content may have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# A file touched within this time may be written again without any of its times moving (FAT keeps 2 s).
SETTLED_SECONDS = 2.0


@dataclass(frozen=True)
class Stamp:
    """What a file system says of a file that changes when its content may have: equal stamps, equal bytes.

    Size and modification time can be kept by whoever writes other bytes (rsync, tar, unzip); the time of the last
    change of the file's entry cannot, and neither, where files are replaced, can its number. Both are 0 or constant on
    file systems that lack them, which leaves what there is.

    Attributes
    ----------
    size
        In bytes.
    mtime_ns, ctime_ns
        Of the last modification, and of the last change of the entry (on Windows: of its creation), in ns.
    inode
        Number of the file.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Take the stamp of a file as it is now."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    def settled(self, now_ns: int) -> bool:
        """Tell whether a file that is written after `now_ns` must have another stamp: none of its times is that young.

        A time that lies ahead (a clock that is wrong, a date that was set) says nothing; where all do, the file is
        taken for young.
        """
        past = [time for time in (self.mtime_ns, self.ctime_ns) if time <= now_ns]
        return bool(past) and now_ns - max(past) > SETTLED_SECONDS * 1e9
