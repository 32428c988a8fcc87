"""A channel is closed by its user, once nobody sends on it any more.

paramiko answers the other side's close from its reading thread, while another thread may be about to send data or an
end of file. What is sent after a close goes to a channel that is gone: OpenSSH hangs up, and dropbear, which uses its
numbers again at once, takes it for the next command's. So here the reader only takes note, and `close` answers.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, ClassVar

import paramiko
from paramiko.common import MSG_CHANNEL_CLOSE, OPEN_FAILED_RESOURCE_SHORTAGE, cMSG_CHANNEL_CLOSE, cMSG_CHANNEL_REQUEST


def _take_note(channel: Any, message: paramiko.Message) -> None:
    """Wake threads that wait to send or to receive; what has arrived can still be read."""
    del message
    with channel.lock:
        channel._set_closed()


class OrderlyTransport(paramiko.Transport):
    """A transport whose channels wait for their users before they answer a close.

    Attributes:
        by_way_of: the connection to the jump host that carries this one, None if it goes straight.
    """

    by_way_of: OrderlyTransport | None = None

    def __init__(self, plug: Any) -> None:
        super().__init__(plug)
        self._spare: Any = None
        self._preparing: threading.Thread | None = None
        self._spare_lock = threading.Lock()

    def session(self) -> Any:
        """Return a session for a command, at once if one was prepared; raises what `open_session` does."""
        with self._spare_lock:
            preparing = self._preparing
        if preparing is not None:  # two at once may be one more than the server grants
            preparing.join()
        with self._spare_lock:
            spare, self._spare = self._spare, None
        return self._granted() if spare is None or spare.closed else spare

    def prepare(self) -> None:
        """Open the next command's session meanwhile: it then takes one round trip instead of two."""
        with self._spare_lock:
            if self._preparing is None and self._spare is None:
                self._preparing = threading.Thread(target=self._open_spare, name="ssh-spare", daemon=True)
                self._preparing.start()

    def _granted(self) -> Any:
        """Return a new session.

        Raises:
            paramiko.ChannelException: the server grants no more.
            paramiko.SSHException, OSError, EOFError: the link is gone.
        """
        try:
            return self.open_session()
        except paramiko.ChannelException:
            raise
        except paramiko.SSHException as error:
            if not self.is_active():
                raise
            # of two that are refused at the same moment paramiko gives one thread the reason and the other none
            raise paramiko.ChannelException(OPEN_FAILED_RESOURCE_SHORTAGE, str(error)) from error

    def settle(self) -> None:
        """Wait until the server has dealt with all that was sent: the sessions that were closed are its own again."""
        self.global_request("keepalive@openssh.com", wait=True)

    def _open_spare(self) -> None:
        spare = None
        # the link may be gone, or the server may grant no more: the next command will find out by itself
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            spare = self.open_session()
        with self._spare_lock:
            self._spare, self._preparing = spare, None

    _channel_handler_table: ClassVar[Any] = {
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        MSG_CHANNEL_CLOSE: _take_note,
    }

    def close(self) -> None:
        """Close it, and what carries it."""
        super().close()
        if self.by_way_of is not None:
            self.by_way_of.close()


class OrderlyChannel:
    """A session on which one command runs; several threads may use it, and any of them may close it.

    Args:
        transport: an authenticated one.
    """

    def __init__(self, transport: OrderlyTransport) -> None:
        self._channel: Any = transport.session()
        self._sending = threading.Lock()
        self._answered = False

    def execute(self, line: str) -> None:
        """Ask for a command; its refusal is seen as its end, so that its input need not wait for an answer."""
        wanted = paramiko.Message()
        wanted.add_byte(cMSG_CHANNEL_REQUEST)
        wanted.add_int(self._channel.remote_chanid)
        wanted.add_string("exec")
        wanted.add_boolean(True)
        wanted.add_string(line)
        self._send_message(wanted)

    def send(self, chunk: bytes) -> int:
        """Send some of `chunk` and return how much; raises OSError once the channel is closed."""
        with self._sending:
            return int(self._channel.send(chunk))

    def send_end(self) -> None:
        """Send the end of the input, unless the channel is closed."""
        with self._sending:
            if not self._channel.closed:
                self._channel.shutdown_write()

    def receive(self, size: int) -> bytes:
        """Return what the command printed next, b"" at its end."""
        return bytes(self._channel.recv(size))

    def receive_error(self, size: int) -> bytes:
        """Return what the command printed next to its standard error, b"" at its end."""
        return bytes(self._channel.recv_stderr(size))

    def exit_code(self) -> int:
        """Return the exit code, -1 if the other side gave none."""
        return int(self._channel.recv_exit_status())

    def close(self) -> None:
        """Wake the users of the channel, wait until nobody sends, and close it; may block while the link is stalled."""
        with self._channel.lock:
            self._channel._set_closed()
        with self._sending:
            if self._answered:
                return
            self._answered = True
        last = paramiko.Message()
        last.add_byte(cMSG_CHANNEL_CLOSE)
        last.add_int(self._channel.remote_chanid)
        self._send_message(last)
        self._channel.transport._unlink_channel(self._channel.chanid)

    def _send_message(self, message: paramiko.Message) -> None:
        self._channel.transport._send_user_message(message)
