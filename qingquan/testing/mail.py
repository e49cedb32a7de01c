"""A mail server for tests: speaks SMTP (RFC 5321) over a real socket, keeps letters, refuses as told."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Mailbox", "running_mail_server"]


class Mailbox:
    """What arrived. ``answer`` is the server's reply to a letter; it keeps those it answers with 250."""

    def __init__(self) -> None:
        self.letters: list[bytes] = []
        self.answer = "250 OK"


@contextmanager
def running_mail_server() -> Iterator[tuple[Mailbox, int]]:
    """A server on a free port of this machine. Letters to ``nobody@...`` are refused: there is no such mailbox."""
    box = Mailbox()

    class Conversation(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

        def handle(self) -> None:
            self.say("220 test server")
            while command := self.rfile.readline().rstrip(b"\r\n"):
                verb = command[:4].upper()
                if verb == b"QUIT":
                    self.say("221 bye")
                    return
                if verb == b"RCPT" and b"<nobody" in command.lower():
                    self.say("550 no such mailbox")
                elif verb == b"DATA":
                    self.say("354 go on")
                    self.take()
                elif verb in (b"EHLO", b"HELO", b"MAIL", b"RCPT", b"RSET", b"NOOP"):
                    self.say("250 OK")
                else:
                    self.say("500 unknown command")

        def take(self) -> None:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            if box.answer.startswith("250"):
                box.letters.append(b"".join(lines))
            self.say(box.answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Conversation) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield box, server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
