"""Fixtures of the tests of data/."""

import threading

import pytest

from tests.helpers.ptb_server import FILES, Server, make_archive


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
