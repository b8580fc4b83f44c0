# A server process for tests and scripts: started, waited for, stopped, and never left behind.
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ._async_client import AsyncClient
from ._client import Client
from ._errors import RequestTimeoutError, ServerError

_KEPT_LINES = 500
# Ends the server's process group when the pipe to it closes, which also happens when we are killed.
_WATCH = 'read -r _ && exit; kill -TERM "-$0"; sleep 5; kill -KILL "-$0"'


def _default_command() -> list[str]:
    named = os.environ.get("WRINKLEFREE_COMMAND")
    if named:
        return shlex.split(named)
    installed = shutil.which("wrinklefree")
    return [installed] if installed else ["npx", "--yes", "wrinklefree"]


class InferenceServer:
    """Manages `wrinklefree serve`.

    model: a file, folder or name that the server takes; default: the built-in model.
    port: 0 takes a free one; `url` tells which.
    args: further flags of `wrinklefree serve`.
    command: how to run wrinklefree; default: $WRINKLEFREE_COMMAND, else what is installed.
    timeout: seconds that the server has to get ready.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        context_size: int | None = None,
        threads: int | None = None,
        args: Sequence[str] = (),
        command: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 120.0,
    ) -> None:
        flags = ["serve", "--host", host, "--port", str(port)]
        if model is not None:
            flags += ["--model", str(model)]
        if context_size is not None:
            flags += ["--ctx-size", str(context_size)]
        if threads is not None:
            flags += ["--threads", str(threads)]
        self._command = [*(command or _default_command()), *flags, *args]
        self._env = {**os.environ, "NO_COLOR": "1", **(env or {})}
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._drain: threading.Thread | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Where the server listens; raises RuntimeError before `start`."""
        if self._url is None:
            raise RuntimeError("the server is not running: call start() first")
        return self._url

    @property
    def pid(self) -> int | None:
        """The process's id, also its group's; None when it does not run."""
        return self._process.pid if self._process else None

    @property
    def output(self) -> str:
        """The last lines that the server printed."""
        return "".join(list(self._lines))

    def client(self, **options: Any) -> Client:
        """A client of this server."""
        return Client.from_url(self.url, **options)

    def async_client(self, **options: Any) -> AsyncClient:
        """An async client of this server."""
        return AsyncClient.from_url(self.url, **options)

    def start(self) -> Self:
        """Starts the server and waits until it is ready; raises ServerError with its output if it ends."""
        if self._process is not None:
            return self
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=self._env,
            start_new_session=True,
        )
        self._process = process
        self._lines.clear()
        self._drain = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._drain.start()
        try:
            if os.name == "posix":
                self._watch = subprocess.Popen(
                    ["sh", "-c", _WATCH, str(process.pid)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            self._wait(process)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, timeout: float = 10.0) -> None:
        """Stops the server and everything it started; answers in work have `timeout` seconds to finish."""
        process, self._process, self._url = self._process, None, None
        if process is None:
            return
        _signal(process, signal.SIGTERM)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()
        if self._watch and self._watch.stdin:
            try:
                self._watch.stdin.write(b"done\n")
                self._watch.stdin.close()
            except BrokenPipeError:
                pass
            self._watch.wait()
            self._watch = None
        if self._drain:
            self._drain.join(timeout=5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _read(self, process: subprocess.Popen[str]) -> None:
        """Takes all that the server prints: a full pipe would stop it."""
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._lines.append(line)
                found = re.match(r"WrinkleFree \S+ on (https?://\S+)", line)
                if found and self._process is process:
                    self._url = found[1]

    def _wait(self, process: subprocess.Popen[str]) -> None:
        end = time.monotonic() + self._timeout
        while time.monotonic() < end:
            if process.poll() is not None:
                if self._drain:
                    self._drain.join(timeout=5)
                raise ServerError(f"the server ended with {process.returncode}:\n{self.output}")
            if self._url is not None:
                with Client(self._url) as client:
                    if client.health() == "ok":
                        return
            time.sleep(0.05)
        raise RequestTimeoutError(f"not ready after {self._timeout} s:\n{self.output}")


def _signal(process: subprocess.Popen[str], number: int) -> None:
    """Signals the whole process group, also when its leader has ended already."""
    try:
        if os.name == "posix":
            os.killpg(process.pid, number)
        elif process.poll() is None:
            process.terminate()
    except (ProcessLookupError, PermissionError):
        pass
