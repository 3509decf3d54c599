"""A web server with files like the Penn Treebank's."""

import hashlib
import http.server
import io
import tarfile
import threading

FILES = {f"ptb.{split}.txt": f" the {split} text \n".encode() * 99
         for split in ("train", "valid", "test")}
HASHES = {name: hashlib.sha256(data).hexdigest()
          for name, data in FILES.items()}


class Server(http.server.ThreadingHTTPServer):
  """A web server.

  Attributes:
    pages: path -> content. The answer to None is not HTTP.
    not_found: the text of the status 404.
    lengths: path -> a wrong Content-Length. After such a page the connection
      stays open until `may_close` is set.
    requests: the paths of all requests so far.
    has_sent: is set when the first page has been sent.
  """

  daemon_threads = True

  def __init__(self):
    super().__init__(("127.0.0.1", 0), Handler)
    self.pages, self.lengths, self.requests = {}, {}, []
    self.not_found = "Not Found"
    self.has_sent, self.may_close = threading.Event(), threading.Event()
    self.url = f"http://127.0.0.1:{self.server_port}"
    self.archive, self.folder = f"{self.url}/ptb.tgz", f"{self.url}/data/"


class Handler(http.server.BaseHTTPRequestHandler):

  def do_GET(self):  # noqa: N802
    server = self.server
    server.requests.append(self.path)
    if self.path not in server.pages:
      return self.send_error(404, server.not_found)
    page = server.pages[self.path]
    if page is None:
      return self.wfile.write(b"junk\r\n\r\n")
    self.send_response(200)
    self.send_header("Content-Length", server.lengths.get(self.path, len(page)))
    self.end_headers()
    self.wfile.write(page)
    server.has_sent.set()
    if self.path in server.lengths:
      server.may_close.wait(timeout=10)

  def log_message(self, *args):
    pass


def make_archive(files=FILES, *extra):
  """Returns a .tgz archive like Mikolov's, with further members."""
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
    for name, data in files.items():
      member = tarfile.TarInfo(f"./simple-examples/data/{name}")
      member.size = len(data)
      tar.addfile(member, io.BytesIO(data))
    for member in extra:
      tar.addfile(member)
  return buffer.getvalue()


def make_member(name, kind=tarfile.REGTYPE, target=""):
  member = tarfile.TarInfo(name)
  member.type, member.linkname = kind, target
  return member
