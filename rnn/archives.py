"""Tar archives as streams, within limits, whoever made them.

A few kilobytes can unpack to terabytes, or to headers that take all memory.
So an archive has at most

    500,000 members, 1,000,000,000 bytes in a member, 4,000,000,000 in all
    65,536 bytes in the headers of a member, such as its long name
    1,000 settings in global headers, which apply to all members

and whoever reads a member says how long it may be. Memory holds the headers of
one member, and the member that is read.
"""

import tarfile
from collections.abc import Iterator
from typing import IO

from rnn.errors import UserError

MAX_MEMBERS = 500_000
MAX_MEMBER_BYTES = 10 ** 9
MAX_ARCHIVE_BYTES = 4 * 10 ** 9
MAX_HEADER_BYTES = 1 << 16  # chained, they make 128 calls within each other
MAX_GLOBAL_HEADERS = 1000

_HEADER_BYTES = 512
_BLOCK_BYTES = 1 << 18


class ArchiveError(Exception):
  """This is no tar archive, or it is damaged, or it exceeds a limit."""


def is_archive(stream: IO[bytes]) -> bool:
  """Returns whether a stream starts with the header of a tar archive."""
  block = stream.read(_HEADER_BYTES)
  try:
    tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    return True
  except (tarfile.TarError, ValueError):
    return block == bytes(_HEADER_BYTES)  # an archive without members


class Archive:
  """A tar archive. Iterating over it gives its members, as TarInfo objects.

  The methods and the iteration raise an ArchiveError, and pass on the errors of
  the stream. The iteration ends at the end of the stream.
  """

  def __init__(self, stream: IO[bytes]) -> None:
    """Reads nothing yet.

    Args:
      stream: the archive, no longer compressed.
    """
    self._stream = _Stream(stream)

  def __iter__(self) -> Iterator[tarfile.TarInfo]:
    try:
      archive = tarfile.TarFile(fileobj=self._stream)  # type: ignore[arg-type]
      while member := archive.next():
        self._check(archive, member)
        yield member
        # Otherwise memory would grow with the number of members.
        archive.members.clear()  # type: ignore[attr-defined]
        self._stream.start_member()
    except (tarfile.TarError, ValueError) as error:
      if isinstance(error, UserError):
        raise  # by the stream
      raise ArchiveError(f"not a complete tar archive ({error})") from None
    while self._stream.read_content(_BLOCK_BYTES):
      pass  # compressed data end in a checksum

  def read(self, member: tarfile.TarInfo, most: int) -> bytes:
    """Returns the content of the member that the iteration has given last.

    Args:
      most: the limit of its size, in bytes.
    """
    if member.size > most:
      raise ArchiveError(f"its member {member.name!r} has {member.size:,} "
                         f"bytes; at most {most:,} are read")
    if not member.isreg() or member.issparse():
      raise ArchiveError(f"its member {member.name!r} is not a regular file")
    self._stream.seek(member.offset_data)
    content = self._stream.read_content(member.size)
    if len(content) < member.size:
      raise ArchiveError(f"its member {member.name!r} is not complete "
                         "(unexpected end of data)")
    return content

  def _check(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    if not 0 <= member.size <= MAX_MEMBER_BYTES:
      raise ArchiveError(f"its member {member.name!r} has {member.size:,} "
                         f"bytes; the limit is {MAX_MEMBER_BYTES:,}")
    if self._stream.members > MAX_MEMBERS:
      raise ArchiveError(f"it has more than {MAX_MEMBERS:,} members")
    if len(archive.pax_headers) > MAX_GLOBAL_HEADERS:
      raise ArchiveError(f"before its member {member.name!r} are more than "
                         f"{MAX_GLOBAL_HEADERS:,} settings in global headers")


class _Stream:
  """A stream with a position, and limits on what a TarFile reads of it.

  Attributes:
    members: the number of members whose headers have been read, or are being
      read.
  """

  def __init__(self, stream: IO[bytes]) -> None:
    self._stream, self._position = stream, 0
    self.members, self._header_bytes = 1, 0

  def start_member(self) -> None:
    """Counts the next headers as headers of another member."""
    self.members, self._header_bytes = self.members + 1, 0

  def tell(self) -> int:
    return self._position

  def read(self, size: int) -> bytes:
    """Reads a part of the headers of a member."""
    self._header_bytes += size  # also at the end, where some readers wait
    if size < 0:
      raise ArchiveError(f"the headers of its member number {self.members:,} "
                         "have a negative size")
    if self._header_bytes > MAX_HEADER_BYTES:
      raise ArchiveError(f"the headers of its member number {self.members:,} "
                         f"take more than {MAX_HEADER_BYTES:,} bytes")
    return self.read_content(size)

  def read_content(self, size: int) -> bytes:
    """Reads up to `size` bytes, and fewer at the end of the stream."""
    content = self._stream.read(size)
    self._position += len(content)
    if self._position > MAX_ARCHIVE_BYTES:
      raise ArchiveError(f"it has more than {MAX_ARCHIVE_BYTES:,} bytes, up to "
                         f"its member number {self.members:,}")
    return content

  def seek(self, position: int) -> None:
    """Skips to a position further on, or to the end of the stream."""
    if position < self._position:
      raise tarfile.StreamError("a member starts before the end of another")
    while self._position < position and self.read_content(
        min(position - self._position, _BLOCK_BYTES)):
      pass
