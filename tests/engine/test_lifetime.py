"""A command's child processes end with it, and no others do."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from conftest import seconds_to_end

SCRIPT = """
import subprocess, sys, time
from cnnlab.engine import lifetime
with lifetime.kill_children_on_exit("stopped"):
    detached = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    print(detached.pid, flush=True)
    sys.stdin.readline()
print("after the block", flush=True)
time.sleep(600)
"""


@pytest.fixture
def command():
    """A command, and a process that it started in a new session, as kernels are."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    started = psutil.Process(int(process.stdout.readline()))
    yield process, started
    for one in (started, process):
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.communicate()


def ended(process, seconds=None):
    until = time.monotonic() + (seconds or seconds_to_end())
    with suppress(psutil.NoSuchProcess):  # it ended between two questions
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_processes_in_other_sessions_end_with_the_command_whatever_ends_it(command, number):
    process, started = command
    os.kill(process.pid, number)
    assert process.wait(seconds_to_end()) == (-number if number == signal.SIGKILL else 128 + number)
    assert ended(started)
    if number != signal.SIGKILL:
        assert process.stderr.read() == b"\nstopped\n"


def test_processes_of_another_command_keep_running(command):
    other = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
    other.kill()
    other.communicate(timeout=60)
    assert not ended(command[1], 0.5)


def test_signals_have_their_usual_effect_again_after_the_block(command):
    process, _ = command
    process.stdin.write(b"continue\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"after the block\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(seconds_to_end()) == -signal.SIGTERM
