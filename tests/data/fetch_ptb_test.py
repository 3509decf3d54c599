"""Tests of data/fetch_ptb.py against a server on this machine."""

import gzip
import os
import re
import signal
import subprocess
import sys
import tarfile

import fetch_ptb
import pytest

from tests.helpers.ptb_server import FILES, HASHES, make_archive, make_member
from tests.helpers.screens import on_terminal


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


@pytest.mark.parametrize("as_url", [False, True])
@pytest.mark.parametrize("path", ["ptb.tgz", "download (1)", ".", "data",
                                  "simple-examples/data"])
def test_source_may_be_on_this_machine(tmp_path, path, as_url):
  """By its path, or as a file URL, in which a blank is %20."""
  source = tmp_path / "my data"
  (source / path).parent.mkdir(parents=True, exist_ok=True)
  if path in ("ptb.tgz", "download (1)"):
    source /= path
    source.write_bytes(make_archive())
  else:
    (source / path).mkdir(exist_ok=True)
    for name, data in FILES.items():
      (source / path / name).write_bytes(data)
  output = tmp_path / "ptb"
  assert set(fetch(output, source.as_uri() if as_url else str(source))) == set(
      FILES)
  assert read_folder(output) == FILES


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize("source, message", [
    ("{}/none.tgz", "No such file"), ("file://{}/none.tgz", "No such file"),
    ("{}/pipe.tgz", "not a file"), ("file:///%00.tgz", "not a file name"),
    ("{}/none", "No such file"), ("{}", r"has none of .*ptb\.test\.txt"),
    ("ftp://a/b.tgz", "not an http, https or file URL"),
    ("{}/bad.tgz", "not a complete .tgz archive")])
def test_bad_source_on_this_machine_is_reported(tmp_path, source, message):
  os.mkfifo(tmp_path / "pipe.tgz")
  (tmp_path / "bad.tgz").write_bytes(b"bad")
  source = source.format(tmp_path)
  with pytest.raises(fetch_ptb.NoSourceError,
                     match=f"^no source worked: {source}: {message}"):
    fetch(tmp_path / "ptb", source)


@pytest.mark.parametrize("source", ["", " "])
def test_empty_source_is_reported(source, tmp_path):
  with run_script(f"--source={source}", f"--output={tmp_path}") as process:
    _, err = process.communicate(timeout=10)
  assert process.returncode == 2
  assert err == ("fetch_ptb.py: --source: no name; give an archive (.tgz) or a "
                 "folder with the three files, by URL or path\n")


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_server_does_not_control_the_terminal(server, tmp_path, is_terminal):
  """Neither by its answer nor by its URL, at the first source or the last."""
  server.not_found = "gone \x1b[31mred \x9b1m"
  url = f"{server.url}/\x1b[2Jx.tgz"
  command = [sys.executable, fetch_ptb.__file__, f"--source={url}",
             f"--source={url}", f"--output={tmp_path}/ptb"]
  if is_terminal:
    status, text = on_terminal(*command)
    assert not re.search("\x1b|\x9b", text) and "ptb.tgz" not in text
    assert f"Downloading {server.url}/\\x1b[2Jx.tgz" in text
    assert f"trying {server.url}/\\x1b[2Jx.tgz" in text
  else:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    status, text = done.returncode, done.stderr
    assert f"Downloading {url}\n" in text and f"trying {url}\n" in text
  assert "404 Client Error: gone \\x1b[31mred \\x9b1m" in text
  assert status == 1


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_cannot_be_printed_are_escaped(tmp_path):
  output = os.fsencode(tmp_path) + b"/caf\xc3\xa9\xff"
  os.mkdir(output)
  for name, data in FILES.items():
    with open(os.path.join(output, name.encode()), "wb") as file:
      file.write(data)
  done = subprocess.run(
      [sys.executable, "-c", "import fetch_ptb, sys\n"
       f"fetch_ptb.HASHES = {HASHES}\nsys.exit(fetch_ptb.main(sys.argv[1:]))",
       b"--output=" + output], cwd=os.path.dirname(fetch_ptb.__file__),
      env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True)
  assert (done.returncode, done.stderr) == (0, b"")
  assert done.stdout.endswith(
      b"/caf\\xe9\\udcff: all there already, verified\n")


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
