"""`hpo dashboard`: its address, refused settings, TLS and Ctrl-C."""

import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpo.config.errors import HpoError, InputError
from hpo.dashboard.application import ServerSettings
from hpo.dashboard.server import listening, serve
from hpo.storage.engine import open_storage
from tests.support import machine
from tests.support.dashboard import ask, served
from tests.support.program import PROGRAM


def nothing(environ, start):
    """A WSGI application."""
    start("200 OK", [("Content-Type", "text/plain")])
    return [environ["wsgi.url_scheme"].encode()]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    machine.OPENSSL.or_skip()
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    out = ["-out", str(paths[0]), "-keyout", str(paths[1])]
    command = ["openssl", "req", "-x509", *curve, *names, *out]
    subprocess.run(command, check=True, capture_output=True)
    return paths


def begin(**settings) -> None:
    serve("sqlite:///none.db", None, ServerSettings(**settings))


def test_many_readers_are_served_at_once():
    all_of_them = threading.Barrier(8, timeout=60)

    def slow(environ, start):
        all_of_them.wait()
        return nothing(environ, start)

    answers = []
    with served(slow) as port:
        threads = [threading.Thread(target=lambda: answers.append(ask(port))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [response.status for response, _ in answers] == [200] * 8


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
@pytest.mark.parametrize("password", [None, ""])
def test_beyond_loopback_a_password_is_required(host, password):
    with pytest.raises(InputError, match=r"--password-file .* HPO_DASHBOARD_PASSWORD"):
        begin(host=host, port=0, password=password)


@pytest.mark.parametrize("host", ["no such host", "", "a" * 70, "256.0.0.1"])
def test_what_is_no_host(host):
    with pytest.raises(InputError, match=f'--host must be an address .* but got "{host}"'):
        begin(host=host, port=0)


def test_an_address_of_another_machine():
    with pytest.raises(InputError, match=r"cannot listen on port 0 of 192\.0\.2\.1"):
        with listening(nothing, "192.0.2.1", 0):
            pass


def test_a_missing_database_is_not_created(tmp_path):
    path = tmp_path / "none.db"
    with pytest.raises(HpoError, match=r"none\.db"):
        serve(f"sqlite:///{path}", None, ServerSettings(port=0))
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_gets_one_sentence():
    with served(nothing) as port, pytest.raises(InputError) as caught:
        with listening(nothing, "127.0.0.1", port):
            pass
    assert str(caught.value) == (
        f"cannot listen on port {port} of 127.0.0.1: address already in use; "
        "choose another with --port"
    )


def test_what_is_no_certificate(certificate, tmp_path):
    own, key = certificate
    other = tmp_path / "none.pem"
    with pytest.raises(InputError, match="need each other"):
        begin(certificate=own)
    with pytest.raises(InputError, match=r"--tls-cert .*none.pem: cannot be read \(No such file"):
        begin(certificate=other, key=key)
    other.write_text("no certificate")
    for pair in ((other, key), (own, other), (key, own)):
        with pytest.raises(InputError, match=r"must be a PEM certificate and its unencrypted"):
            begin(certificate=pair[0], key=pair[1])


def test_an_encrypted_key_is_refused_and_asked_no_password_for(certificate, tmp_path):
    locked = tmp_path / "locked.pem"
    command = ["openssl", "ec", "-in", str(certificate[1]), "-out", str(locked), "-aes256"]
    subprocess.run([*command, "-passout", "pass:sesame"], check=True, capture_output=True)
    with pytest.raises(InputError, match="unencrypted private key"):
        begin(certificate=certificate[0], key=locked)


@contextmanager
def running(tmp_path: Path, *options: object) -> Iterator[subprocess.Popen[str]]:
    """Run the command for a new storage, with a password in its environment."""
    url = f"sqlite:///{tmp_path / 'hpo.db'}"
    open_storage(url).close()
    command = [sys.executable, "-m", "hpo", "dashboard", "--port", "0", "--storage", url]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("HPO_")}
    with subprocess.Popen(
        [*command, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "HPO_DASHBOARD_PASSWORD": "sesame", "LISTEN_PID": "1"},
        cwd=tmp_path,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def stop(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)  # an idle connection may take 20 s
    assert process.returncode == 0
    return said


@pytest.mark.slow
def test_the_command_serves_by_tls_until_interrupted(tmp_path, certificate):
    with running(tmp_path, "--tls-cert", certificate[0], "--tls-key", certificate[1]) as process:
        port = int(re.search(r"https://127\.0\.0\.1:(\d+)/", process.stdout.readline())[1])
        idle = socket.create_connection(("127.0.0.1", port))  # without a handshake
        context = ssl.create_default_context(cafile=certificate[0])
        connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=context)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/login", "password=sesame", form)
        response = connection.getresponse()
        assert response.status == 303
        cookie = response.headers["Set-Cookie"]
        assert cookie.startswith(f"__Host-hpo-{port}=")
        assert cookie.endswith("; HttpOnly; SameSite=Lax; Secure")
        connection.close()
        with pytest.raises(http.client.HTTPException):
            ask(port)  # without TLS
        idle.close()
        assert stop(process) == ("", "")


@pytest.mark.slow
def test_the_command_warns_once_of_what_travels_in_the_open(tmp_path):
    with running(tmp_path, "--host", "0.0.0.0") as process:
        port = int(re.search(r"http://0\.0\.0\.0:(\d+)/", process.stdout.readline())[1])
        assert ask(port)[0].status == 401
        said = stop(process)[1]
    assert said.startswith("hpo: without --tls-cert the password and all pages are sent")
    assert said.count("\n") == 1
    assert "sesame" not in said


INTERRUPTED = """
import faulthandler, os, signal, sys, threading
from hpo.dashboard import application, server

class Condition(threading.Condition):  # sends Ctrl-C once, while it is locked
    has_come = False

    def __exit__(self, *error):
        if not self.has_come:
            self.has_come = True
            os.kill(os.getpid(), signal.SIGINT)
        return super().__exit__(*error)

class Server(server._Server):
    def prepare(self):
        super().prepare()
        self.requests._queue.not_full = Condition(self.requests._queue.mutex)

faulthandler.dump_traceback_later(40, exit=True)
server._Server = Server
server.serve(sys.argv[1], None, application.ServerSettings(port=0))
"""


@pytest.mark.slow
def test_an_interrupt_while_the_server_holds_a_lock_ends_it(tmp_path):
    url = f"sqlite:///{tmp_path / 'hpo.db'}"
    open_storage(url).close()
    command = [*PROGRAM, INTERRUPTED, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        port = int(re.search(rb":(\d+)/", process.stdout.readline())[1])
        socket.create_connection(("127.0.0.1", port)).close()
        said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 0, said


EARLY = """
import os, signal, sys
from hpo.dashboard import application, server

class Server(server._Server):
    def prepare(self):
        super().prepare()
        os.kill(os.getpid(), signal.SIGINT)

server._Server = Server
server.serve(sys.argv[1], None, application.ServerSettings(port=0))
"""


@pytest.mark.slow
def test_an_interrupt_before_the_server_is_ready_ends_it(tmp_path):
    url = f"sqlite:///{tmp_path / 'hpo.db'}"
    open_storage(url).close()
    done = subprocess.run([*PROGRAM, EARLY, url], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
