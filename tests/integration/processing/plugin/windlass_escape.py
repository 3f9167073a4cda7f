"""A step that tries to get out, in the way that the file's name tells it: ``escape read etc passwd.txt``.

Each attempt names what it does and swallows nothing: how it ends is for the test to see. Arguments come in the file's
first line, where a name could not hold them.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import subprocess
import threading
from pathlib import Path

from windlass.processing.contract import About, Makes, StepContext, StepResult

PTRACE_ATTACH = 16


class Escape:
    about = About(
        name="escape",
        stage="describe",
        title="Getting out",
        order=91,
        isolated=True,
        mime_types=("text/plain",),
        gives={"escaped": "how far it got"},
        makes=(Makes("escape", "text", ("text/plain",)),),
    )

    def run(self, context: StepContext) -> StepResult:
        name, _, attempt = context.facts["filename"].rpartition(".")[0].partition(" ")
        if name != "escape":
            return StepResult()
        words = context.file.readline().decode().split()
        return StepResult({"escaped": getattr(self, f"do_{attempt}")(context, *words) or "out"})

    def do_read(self, context: StepContext, path: str) -> str:
        return Path(path).read_text(errors="replace")[:20]

    def do_read_parent(self, context: StepContext) -> str:
        return Path(f"/proc/{os.getppid()}/environ").read_text(errors="replace")[:20]

    def do_list(self, context: StepContext, path: str) -> str:
        return " ".join(os.listdir(path))

    def do_write(self, context: StepContext, path: str) -> None:
        Path(path).write_text("out")

    def do_reopen(self, context: StepContext) -> None:
        """Its own file, which is open for reading, for writing."""
        os.open(f"/proc/self/fd/{context.file.fileno()}", os.O_RDWR)

    def do_remove(self, context: StepContext, path: str) -> None:
        os.unlink(path)

    def do_chmod(self, context: StepContext, path: str) -> None:
        os.chmod(path, 0o777)

    def do_tcp(self, context: StepContext, port: str) -> None:
        socket.create_connection(("127.0.0.1", int(port)), timeout=5)

    def do_udp(self, context: StepContext, port: str) -> None:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"out", ("127.0.0.1", int(port)))

    def do_unix(self, context: StepContext, path: str) -> None:
        socket.socket(socket.AF_UNIX).connect(path)

    def do_execute(self, context: StepContext) -> None:
        os.execv("/bin/true", ["true"])

    def do_run(self, context: StepContext) -> None:
        subprocess.run(["/bin/true"], check=False)

    def do_fork(self, context: StepContext) -> None:
        if os.fork() == 0:
            os._exit(0)

    def do_trace(self, context: StepContext) -> None:
        ctypes.CDLL(None).ptrace(PTRACE_ATTACH, os.getppid(), None, None)

    def do_kill_parent(self, context: StepContext) -> None:
        os.kill(os.getppid(), signal.SIGKILL)

    def do_kill_all(self, context: StepContext) -> None:
        os.kill(-1, signal.SIGKILL)

    def do_unshare(self, context: StepContext) -> None:
        ctypes.CDLL(None).unshare(0x10000000)

    def do_raise_limit(self, context: StepContext) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def do_leave_group(self, context: StepContext) -> None:
        os.setpgid(0, os.getpid())

    def do_run_the_file(self, context: StepContext) -> None:
        mmap.mmap(context.file.fileno(), 4, prot=mmap.PROT_READ | mmap.PROT_EXEC)

    def do_flood(self, context: StepContext) -> None:
        assert context.output is not None
        while True:
            context.output.write(bytes(1024 * 1024))

    def do_spin(self, context: StepContext) -> None:
        while True:
            pass

    def do_threads(self, context: StepContext) -> str:
        """No escape: libraries work in threads."""
        done: list[int] = []
        threads = [threading.Thread(target=done.append, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return f"{len(done)} threads"

    def do_abort(self, context: StepContext) -> None:
        os.abort()
