"""Processes of `hpo` that are forked from a process that has imported everything.

The imports of `hpo` take a new interpreter three seconds, more than most tests. `Popen` replaces
`subprocess.Popen`: it forks `python -m hpo ...`, which in turn forks its workers. Such a process is
a child of its starter, with the arguments, environment, folder and files that it was given.
Signals, deaths and exit codes are real. Only /proc shows the arguments and the environment of the
server. All other commands start as usual.

The server, `python -m tests.support.forked`, is a child of the process that it forks for. It forks
twice and lets the process between die, whose child the starter then adopts as a subreaper.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import inspect
import json
import os
import pkgutil
import runpy
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from tests.support.databases import empty_storage, keep_tables

STARTERS = ("hpo", "tests.support.faults.steps")
"""Programs that start others, which are forked too."""
MODULES = (*STARTERS, "hpo.worker", "tests.support.program", "tests.support.study_process")
"""Programs that are forked."""
NOT_IMPORTED = ("__main__", "ray_")
"""Parts of the names of modules that run something, or need what few tests need."""
LATE_IMPORTS = (
    "alembic.command",  # the storage's
    "numpy.ma",
    "numpy.random",  # the sampler's
    "torch.fx.experimental.symbolic_shapes",  # torch's own, half a second
)
MAX_BYTES = 200_000
MAX_FILES = 64
FIRST_FREE_FILE = 200
"""Above all file numbers that a process is given."""
PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None)
_SIGNATURE = inspect.signature(subprocess.Popen._execute_child)


class Server:
    """The server that this process asks for children."""

    def __init__(self, requests: socket.socket | None = None) -> None:
        """Speak to a server through a socket; without one, start a server when it is needed."""
        self._requests = requests
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self.path = os.environ.get("PYTHONPATH", "")

    def fork(self, request: dict[str, Any], files: list[int]) -> int:
        """Fork a child of this process; return its process id."""
        with self._lock:
            if self._requests is None:
                self._start()
            LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
            socket.send_fds(self._requests, [json.dumps(request).encode()], files)
            answer = self._requests.recv(100)
            LIBC.prctl(PR_SET_CHILD_SUBREAPER, 0)
        return int(answer)

    def close(self) -> None:
        """End a server that was started."""
        if self._process is not None:
            self._requests.close()
            self._process.wait()

    def _start(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        environment = {**os.environ, "PYTHONPATH": self.path}
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
        theirs.close()


class Popen(subprocess.Popen):
    """A process that is forked by `server`, if it is one of `hpo`."""

    server: Server

    def _execute_child(self, *given: Any) -> None:
        call = _SIGNATURE.bind(self, *given).arguments
        environment = dict(os.environ if call["env"] is None else call["env"])
        program = _program(call["args"])
        path = environment.get("PYTHONPATH", "")
        if program is None or not path.endswith(self.server.path):
            super()._execute_child(*given)
            return
        module, arguments = program
        inputs = {0: call["p2cread"], 1: call["c2pwrite"], 2: call["errwrite"]}
        files = {number: number if own == -1 else own for number, own in inputs.items()}
        files |= {number: number for number in call["pass_fds"]}
        request = {
            "module": module,
            "arguments": arguments,
            "folder": os.fspath(call["cwd"] or Path.cwd()),
            "environment": environment,
            "path": path.removesuffix(self.server.path).split(os.pathsep)[:-1],
            "is_session": call["start_new_session"],
            "files": list(files),
        }
        self.pid = self.server.fork(request, list(files.values()))
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(call[end] for end in ends))


def _program(words: Any) -> tuple[str, list[str]] | None:
    """The module of `MODULES` that a command runs, and its arguments."""
    if isinstance(words, str | bytes) or os.fspath(words[0]) != sys.executable:
        return None
    rest = [os.fspath(word) for word in words[1:] if word != "-P"]
    return (rest[1], rest[2:]) if rest[0] == "-m" and rest[1] in MODULES else None


@contextlib.contextmanager
def forking() -> Iterator[None]:
    """Fork the processes of `hpo` that start inside the context."""
    with contextlib.closing(Server()) as server:
        with mock.patch.object(Popen, "server", server, create=True):
            with mock.patch.object(subprocess, "Popen", Popen):
                yield


def _preload() -> None:
    import hpo

    for module in pkgutil.walk_packages(hpo.__path__, "hpo."):
        if not any(part in module.name for part in NOT_IMPORTED):
            importlib.import_module(module.name)
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    importlib.import_module("sqlalchemy.orm").configure_mappers()  # Optuna's
    keep_tables()
    empty_storage()


def _serve(requests: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each request; return only in the forked processes, with the request."""
    while True:
        content, files, *_ = socket.recv_fds(requests, MAX_BYTES, MAX_FILES)
        if not content:
            os._exit(0)
        reader, writer = os.pipe()
        if between := os.fork():
            for file in (writer, *files):
                os.close(file)
            os.waitpid(between, 0)
            requests.send(os.read(reader, 100))
            os.close(reader)
            continue
        if pid := os.fork():
            os.write(writer, str(pid).encode())
            os._exit(0)
        os.close(reader)
        os.close(writer)
        requests.close()
        return json.loads(content), files


def _install(files: list[int], numbers: list[int]) -> None:
    """Give files the numbers under which the process knows them."""
    free = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE_FILE) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(free, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        buffering = 1 if name == "stderr" else -1
        setattr(sys, name, open(number, mode, buffering, closefd=False))  # noqa: SIM115


def _run(module: str) -> None:
    """Run a module, and end; the teardown of so many modules would take 0.3 s."""
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        code = end.code
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def main() -> None:
    """Serve, and in forked processes run what was asked for."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    _preload()
    gc.collect()
    gc.freeze()
    # Polars has idle threads of its own, of which Python 3.12 warns at a fork.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    while True:
        request, files = _serve(requests)
        if request["module"] not in STARTERS:
            break
        ours, requests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork():  # the server of this process's workers
            requests.close()
            ours = socket.socket(
                fileno=fcntl.fcntl(ours.detach(), fcntl.F_DUPFD_CLOEXEC, FIRST_FREE_FILE)
            )
            Popen.server = Server(ours)
            subprocess.Popen = Popen  # type: ignore[misc]
            break
        ours.close()
        for file in files:
            os.close(file)
    if request["is_session"]:
        os.setsid()
    _install(files, request["files"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:0] = request["path"]
    sys.argv[1:] = request["arguments"]
    _run(request["module"])


if __name__ == "__main__":
    main()
