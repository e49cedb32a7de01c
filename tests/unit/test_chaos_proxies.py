"""Proxies that stand in for a network: what goes through, what a cut holds, what is broken off afterwards."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from qingquan.services.bench.chaos.proxies import Proxies


@pytest.fixture
def echo() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection:
                while chunk := connection.recv(1 << 16):
                    connection.sendall(chunk)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def asked(connection: socket.socket, content: bytes) -> bytes:
    connection.sendall(content)
    answer = b""
    while len(answer) < len(content):
        answer += connection.recv(1 << 16)
    return answer


def test_a_cut_is_silence_and_its_end_breaks_off_what_was_under_way(echo: int) -> None:
    with closing(Proxies()) as proxies:
        port = proxies.way("devices", "node", echo)
        assert proxies.way("devices", "node", echo) == port != proxies.way("other", "node", echo)
        with socket.create_connection(("127.0.0.1", port), 5) as before:
            before.settimeout(5)
            content = bytes(range(256)) * 4000
            sender = threading.Thread(target=before.sendall, args=(content,))
            sender.start()
            got = b""
            while len(got) < len(content):
                got += before.recv(1 << 16)
            sender.join()
            assert got == content
            proxies.cut("node")
            before.sendall(b"lost on the way")
            before.settimeout(0.3)
            with pytest.raises(TimeoutError):
                before.recv(1)
            proxies.heal("node")
            before.settimeout(5)
            with suppress(ConnectionResetError):
                assert before.recv(1) == b""
        with socket.create_connection(("127.0.0.1", port), 5) as after:
            assert asked(after, b"again") == b"again"


def test_who_is_cut_off_reaches_nobody_while_others_do(echo: int) -> None:
    with closing(Proxies()) as proxies:
        ours, theirs = proxies.way("a", "node", echo), proxies.way("b", "node", echo)
        proxies.cut("a")
        with socket.create_connection(("127.0.0.1", ours), 5) as cut:
            cut.sendall(b"x")
            cut.settimeout(0.3)
            with pytest.raises(TimeoutError):
                cut.recv(1)
        with socket.create_connection(("127.0.0.1", theirs), 5) as free:
            assert asked(free, b"here") == b"here"
