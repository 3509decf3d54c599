"""Tests of data/fetch_ptb.py against a server on this machine."""

import gzip
import hashlib
import http.server
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading

import fetch_ptb
import pytest

FILES = {f"ptb.{split}.txt": f" the {split} text \n".encode() * 99
         for split in ("train", "valid", "test")}
HASHES = {name: hashlib.sha256(data).hexdigest()
          for name, data in FILES.items()}


class Server(http.server.ThreadingHTTPServer):
  """A web server.

  Attributes:
    pages: path -> content. The answer to None is not HTTP.
    lengths: path -> a wrong Content-Length. After such a page the connection
      stays open until `may_close` is set.
    requests: the paths of all requests so far.
    has_sent: is set when the first page has been sent.
  """

  daemon_threads = True

  def __init__(self):
    super().__init__(("127.0.0.1", 0), Handler)
    self.pages, self.lengths, self.requests = {}, {}, []
    self.has_sent, self.may_close = threading.Event(), threading.Event()
    self.url = f"http://127.0.0.1:{self.server_port}"
    self.archive, self.folder = f"{self.url}/ptb.tgz", f"{self.url}/data/"


class Handler(http.server.BaseHTTPRequestHandler):

  def do_GET(self):  # noqa: N802
    server = self.server
    server.requests.append(self.path)
    if self.path not in server.pages:
      return self.send_error(404)
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


@pytest.fixture
def server(monkeypatch):
  monkeypatch.setenv("no_proxy", "127.0.0.1")
  with Server() as server:
    server.pages["/ptb.tgz"] = make_archive()
    server.pages |= {f"/data/{name}": data for name, data in FILES.items()}
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.may_close.set()
    server.shutdown()
    thread.join()


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


def fetch(output, *sources):
  return fetch_ptb.fetch(output, sources, HASHES, timeout=5)


def read_folder(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_known_hashes_have_64_digits():
  assert all(len(digest) == 64 and int(digest, 16)
             for digest in fetch_ptb.HASHES.values())
  assert set(fetch_ptb.HASHES) == set(FILES)


def test_known_hashes_match_the_real_files(ptb_folder):
  assert fetch_ptb.fetch(ptb_folder, sources=()) == []


@pytest.mark.parametrize("kind", ["archive", "folder"])
def test_source_yields_the_files_and_nothing_else(server, tmp_path, kind):
  output = tmp_path / "new" / "ptb"
  assert set(fetch(output, getattr(server, kind))) == set(FILES)
  assert read_folder(output) == FILES
  assert os.listdir(output.parent) == ["ptb"]


def test_existing_files_are_not_downloaded_again(server, tmp_path):
  (tmp_path / "ptb.train.txt").write_bytes(FILES["ptb.train.txt"])
  assert set(fetch(tmp_path, server.folder)) == {
      "ptb.valid.txt", "ptb.test.txt"}
  assert "/data/ptb.train.txt" not in server.requests
  server.requests.clear()
  assert fetch(tmp_path, server.folder) == []
  assert not server.requests


def test_different_file_of_the_same_name_is_kept(server, tmp_path):
  path = tmp_path / "ptb.valid.txt"
  path.write_bytes(b"mine")
  with pytest.raises(fetch_ptb.FetchError, match="ptb.valid.txt: exists"):
    fetch(tmp_path, server.archive)
  assert read_folder(tmp_path) == {"ptb.valid.txt": b"mine"}
  assert not server.requests


def break_hash(server):
  server.pages["/ptb.tgz"] = make_archive(FILES | {"ptb.test.txt": b"other"})
  return "ptb.test.txt is not the file of PTB"


def break_length(server):
  server.lengths["/ptb.tgz"] = len(server.pages["/ptb.tgz"]) + 7
  server.may_close.set()
  return "7 more expected"


def break_status(server):
  del server.pages["/ptb.tgz"]
  return "404"


def break_archive(server):
  server.pages["/ptb.tgz"] = server.pages["/ptb.tgz"][:-30]
  return "not a complete .tgz"


def break_format(server):
  server.pages["/ptb.tgz"] = b"<html>moved</html>"
  return "not a complete .tgz"


def break_contents(server):
  server.pages["/ptb.tgz"] = gzip.compress(b"<html>moved</html>" * 99)
  return "not a complete tar archive"


def break_protocol(server):
  server.pages["/ptb.tgz"] = None
  return "junk"


def break_members(server):
  server.pages["/ptb.tgz"] = make_archive({"ptb.train.txt": b"alone"})
  return "has no simple-examples/data/ptb.test.txt"


BREAKS = [break_hash, break_length, break_status, break_archive, break_format,
          break_contents, break_protocol, break_members]


@pytest.mark.parametrize("break_source", BREAKS)
def test_second_source_replaces_a_broken_one(server, tmp_path, capsys,
                                                  break_source):
  reason = break_source(server)
  assert set(fetch(tmp_path, server.archive, server.folder)) == set(FILES)
  assert read_folder(tmp_path) == FILES
  lines = [line for line in capsys.readouterr().err.splitlines()
           if "; trying" in line]
  assert len(lines) == 1 and reason in lines[0]


@pytest.mark.parametrize("break_source", BREAKS)
def test_broken_source_leaves_no_files(server, tmp_path, break_source):
  reason = break_source(server)
  with pytest.raises(fetch_ptb.NoSourceError, match=reason):
    fetch(tmp_path / "ptb", server.archive)
  assert not os.listdir(tmp_path)


def test_wrong_file_in_a_folder_is_refused(server, tmp_path):
  server.pages["/data/ptb.test.txt"] = b"other"
  with pytest.raises(fetch_ptb.NoSourceError, match="ptb.test.txt is not"):
    fetch(tmp_path / "ptb", server.folder)
  assert not os.listdir(tmp_path)


def test_new_folders_are_removed_and_old_ones_kept(tmp_path):
  (tmp_path / "old").mkdir()
  with pytest.raises(fetch_ptb.NoSourceError):
    fetch(tmp_path / "old" / "new" / "er")
  assert os.listdir(tmp_path) == ["old"]
  assert not os.listdir(tmp_path / "old")


@pytest.mark.parametrize("member", [
    make_member("/etc/hostile"),
    make_member("../hostile"),
    make_member("simple-examples/../../hostile"),
    make_member("hostile", tarfile.SYMTYPE, "/etc/passwd"),
    make_member("a/hostile", tarfile.SYMTYPE, "../../passwd"),
    make_member("hostile", tarfile.LNKTYPE, "../passwd"),
], ids=lambda member: f"{member.name}>{member.linkname}")
def test_archive_with_a_hostile_member_is_refused(server, tmp_path, member):
  server.pages["/ptb.tgz"] = make_archive(FILES, member)
  with pytest.raises(fetch_ptb.FetchError, match="refused.*hostile"):
    fetch(tmp_path / "ptb", server.archive)
  assert not os.listdir(tmp_path)


def test_links_within_the_archive_are_harmless(server, tmp_path):
  server.pages["/ptb.tgz"] = make_archive(
      FILES, make_member("a/b", tarfile.SYMTYPE, "../c"))
  fetch(tmp_path, server.archive)
  assert read_folder(tmp_path) == FILES


def test_wanted_member_must_be_a_regular_file(server, tmp_path):
  server.pages["/ptb.tgz"] = make_archive(FILES, make_member(
      "simple-examples/data/ptb.test.txt", tarfile.SYMTYPE, "ptb.train.txt"))
  with pytest.raises(fetch_ptb.FetchError, match="not a regular file"):
    fetch(tmp_path, server.archive)


@pytest.mark.parametrize("limit, value, message", [
    ("_MAX_DOWNLOAD", 99, "more than 99 bytes"),
    ("_MAX_UNPACKED", 99, "more than 99 bytes"),
    ("_MAX_FILE", 99, "ptb.train.txt' has 1,683 bytes; at most 99 are read"),
    ("_MAX_SECONDS", -1, "not finished after"),
])
def test_sizes_and_time_are_limited(server, tmp_path, monkeypatch, limit,
                                         value, message):
  monkeypatch.setattr(fetch_ptb, limit, value)
  with pytest.raises(fetch_ptb.FetchError, match=message):
    fetch(tmp_path, server.archive)


def test_stalled_server_times_out(server, tmp_path):
  server.lengths["/ptb.tgz"] = len(server.pages["/ptb.tgz"]) + 7
  with pytest.raises(fetch_ptb.FetchError, match="timed out"):
    fetch_ptb.fetch(tmp_path, [server.archive], HASHES, timeout=0.1)


@pytest.fixture
def main(monkeypatch):
  """The command line in this process, with FILES in place of PTB."""
  monkeypatch.setattr(fetch_ptb, "HASHES", HASHES)
  monkeypatch.setattr(signal, "signal", lambda *_: None)  # keeps pytest's own
  return lambda *args: fetch_ptb.main([*map(str, args)])


def test_main_reports_the_downloaded_files(server, main, tmp_path, capsys):
  args = "--source", server.folder, "--output", tmp_path
  assert main(*args) == 0
  assert capsys.readouterr().out == (
      f"{tmp_path}: {', '.join(FILES)} downloaded and verified\n")
  assert read_folder(tmp_path) == FILES
  assert main(*args) == 0
  assert capsys.readouterr() == (
      f"{tmp_path}: all there already, verified\n", "")


@pytest.mark.parametrize("is_terminal", [False, True])
def test_progress_bar_is_shown_on_a_terminal(server, main, tmp_path, capsys,
                                             monkeypatch, is_terminal):
  monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
  assert main("--source", server.archive, "--output", tmp_path) == 0
  line, bar = capsys.readouterr().err.split("\n", 1)
  assert line == f"Downloading {server.archive}"
  assert ("ptb.tgz: 100%" in bar and bar.endswith("\n")) == is_terminal
  assert bool(bar) == is_terminal


def test_start_imports_no_packages():
  subprocess.run(
      [sys.executable, "-c", "import fetch_ptb, sys\n"
       "assert not {'pooch', 'requests', 'tqdm'} & set(sys.modules)"],
      cwd=os.path.dirname(fetch_ptb.__file__), check=True, timeout=60)


def test_packages_are_needed_only_to_download(server, main, tmp_path, capsys,
                                              monkeypatch):
  monkeypatch.setitem(sys.modules, "pooch", None)  # an import of it fails
  args = "--source", server.folder, "--output", tmp_path / "ptb"
  assert main(*args) == 1
  err = capsys.readouterr().err
  assert err.count("\n") == 1
  assert "pooch is not installed; run pip install" in err
  assert not os.listdir(tmp_path)
  (tmp_path / "ptb").mkdir()
  for name, data in FILES.items():
    (tmp_path / "ptb" / name).write_bytes(data)
  assert main(*args) == 0


def test_default_output_is_next_to_the_script(main, tmp_path, monkeypatch,
                                             capsys):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(fetch_ptb, "fetch", lambda *_: [])
  assert main() == 0
  folder = os.path.join(os.path.dirname(fetch_ptb.__file__), "ptb")
  assert capsys.readouterr().out.startswith(f"{folder}: ")


@pytest.mark.parametrize("is_pipe, message", [
    (False, "standard output: No space left"), (True, "")])
def test_unwritable_stdout_is_reported_in_one_line(is_pipe, message):
  if is_pipe:
    reader, stdout = os.pipe()
    os.close(reader)
  else:
    stdout = os.open("/dev/full", os.O_WRONLY)
  done = subprocess.run(
      [sys.executable, "-c", "import fetch_ptb, sys\n"
       "fetch_ptb.fetch = lambda *_: []\nsys.exit(fetch_ptb.main([]))"],
      cwd=os.path.dirname(fetch_ptb.__file__), stdout=stdout,
      stderr=subprocess.PIPE, text=True, timeout=60,
      env=os.environ | {"PYTHONUNBUFFERED": ""})
  os.close(stdout)
  assert done.returncode == 1
  assert message in done.stderr and done.stderr.count("\n") == bool(message)


def run_script(*args, **kwargs):
  return subprocess.Popen(
      [sys.executable, fetch_ptb.__file__, *map(str, args)],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)


def test_unreachable_source_prints_advice(tmp_path):
  url = "http://127.0.0.1:1/"  # nothing listens on port 1
  output = tmp_path / "ptb"
  with run_script("--source", url, "--output", output,
                  env=os.environ | {"no_proxy": "127.0.0.1"}) as process:
    _, err = process.communicate(timeout=10)
  assert process.returncode == 1
  assert "Traceback" not in err and "refused" in err
  for advice in (*FILES, fetch_ptb.SOURCES[0], str(output), "data/factbook"):
    assert advice in err
  assert not os.listdir(tmp_path)


@pytest.mark.parametrize("flag, status", [
    ("--sauce", 2), ("--output=/dev/null/ptb", 1)])
def test_error_is_reported_in_one_line(flag, status):
  with run_script(flag) as process:
    _, err = process.communicate(timeout=10)
  assert process.returncode == status
  assert err.count("\n") == 1 and flag.split("=")[0] in err


@pytest.fixture
def interruptible():
  """Makes SIGINT work in a child, even if the tests run in the background."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("signum, status, message", [
    (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "")])
def test_signal_leaves_no_files(server, tmp_path, signum, status, message):
  server.lengths["/ptb.tgz"] = 10 ** 6
  with run_script("--source", server.archive, "--output",
                  tmp_path / "ptb") as process:
    assert server.has_sent.wait(timeout=10)
    process.send_signal(signum)
    _, err = process.communicate(timeout=10)
  assert process.returncode == status
  assert message in err and "Traceback" not in err
  assert not os.listdir(tmp_path)
