"""E-mail over SMTP: a report channel, never the alarm of record.

Hosts want TLS on port 465 and an authorization code for a password. 5xx is final, 4xx may come again. A connection lost
after the text was handed over leaves open whether the server took it.
"""

import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from alerts.channels.aliyun import out_id
from alerts.channels.base import ErrorClass, Outcome, accepted, refused, unknown
from alerts.channels.http import TOTAL_TIMEOUT_S
from alerts.channels.plain import plain_lines
from qingquan.domain.incidents import Message

__all__ = ["NAME", "Email", "letter"]

NAME = "email"


class Email:
    """Channel over one mailbox."""

    name = NAME
    can_be_asked = False
    gives_receipts = False
    reaches = "person"

    def __init__(
        self, host: str, port: int, security: str, sender: str, *, user: str = "", password: str = "",
        context: ssl.SSLContext | None = None, timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._host, self._port, self._security, self._sender = host, port, security, sender
        self._user, self._password, self._timeout_s = user, password, timeout_s
        self._context = context or ssl.create_default_context()

    def send(self, message: Message) -> Outcome:
        """Hand over one letter."""
        try:
            server = self._connected()
        except smtplib.SMTPResponseException as error:
            return _refusal(error, ErrorClass.ACCOUNT)
        except (OSError, smtplib.SMTPException) as error:
            return refused(ErrorClass.TRANSIENT, detail=type(error).__name__)
        try:
            server.send_message(letter(message, self._sender))
        except smtplib.SMTPRecipientsRefused as error:
            code, _ = next(iter(error.recipients.values()))
            return refused(ErrorClass.TRANSIENT if code < 500 else ErrorClass.NUMBER, code=str(code))
        except smtplib.SMTPSenderRefused as error:
            return _refusal(error, ErrorClass.ACCOUNT)
        except smtplib.SMTPResponseException as error:
            return _refusal(error, ErrorClass.CONTENT)
        except (OSError, smtplib.SMTPException) as error:
            return unknown(type(error).__name__)
        except (ValueError, UnicodeError) as error:
            return refused(ErrorClass.NUMBER, detail=str(error).splitlines()[0])
        finally:
            server.close()
        return accepted(f"<{out_id(message)}@qingquan>")

    def send_fallback(self, message: Message) -> Outcome | None:  # noqa: ARG002
        """A letter has no plainer form."""
        return None

    def ask(self, message: Message) -> Outcome:  # noqa: ARG002
        """Mail servers answer no such question."""
        return unknown("a mail server cannot be asked")

    def close(self) -> None:
        """Nothing is kept open between letters."""

    def _connected(self) -> smtplib.SMTP:
        server: smtplib.SMTP
        if self._security == "tls":
            server = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=self._context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        try:
            if self._security == "starttls":
                server.starttls(context=self._context)
            if self._user:
                server.login(self._user, self._password)
        except BaseException:
            server.close()
            raise
        return server


def letter(message: Message, sender: str) -> EmailMessage:
    """The message as a letter that no robot answers; its first line is the subject."""
    mail = EmailMessage(policy=SMTP)
    lines = plain_lines(message.body) or [""]
    mail["From"], mail["To"], mail["Subject"] = sender, message.receiver, lines[0]
    mail["Date"], mail["Message-ID"] = formatdate(), f"<{out_id(message)}@qingquan>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join(lines) + "\n")
    return mail


def _refusal(error: smtplib.SMTPResponseException, permanent: ErrorClass) -> Outcome:
    return refused(ErrorClass.TRANSIENT if error.smtp_code < 500 else permanent, code=str(error.smtp_code))
