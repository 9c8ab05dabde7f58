"""Measures supervisors of the same daemons in turn. Reads their commands from a JSON file, and prints a line for each
supervisor and quantity: its name, the quantity, the median, and the lowest value."""

import ctypes
import json
import os
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import time

IN_OPEN = 0x20
PATIENCE = 60
IDLE = 10
TICKS = os.sysconf("SC_CLK_TCK")


class Executions:
    """Reports each execution of a file in a folder, without polling, which would take time from what is measured."""

    def __init__(self, folder):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0 or libc.inotify_add_watch(self.fd, os.fsencode(folder), IN_OPEN) < 0:
            sys.exit(f"cannot watch {folder}: {os.strerror(ctypes.get_errno())}")

    def read(self):
        """Returns the names of the files that were executed since the last call."""
        names = set()
        while True:
            try:
                events = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return names
            while events:
                _, _, _, size = struct.unpack("iIII", events[:16])
                names.add(events[16 : 16 + size].rstrip(b"\0").decode())
                events = events[16 + size :]

    def wait_for(self, names):
        """Waits until all of these files were executed, and returns the time."""
        deadline, missing = time.monotonic() + PATIENCE, set(names)
        while missing:
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                sys.exit(f"not executed within {PATIENCE} s: {sorted(missing)}")
            missing -= self.read()
        return time.monotonic()


def processes(is_match):
    """Returns the pids of the processes that match."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if is_match(f"/proc/{pid}"):
                found.append(int(pid))
        except OSError:
            pass
    return found


def is_daemon(folder):
    return lambda process: os.path.dirname(os.readlink(process + "/exe")) == folder


def has_words(words):
    """Returns whether a process has these words in its command line."""

    def is_match(process):
        with open(process + "/cmdline", "rb") as file:
            line = file.read().decode(errors="replace").split("\0")
        return int(os.path.basename(process)) != os.getpid() and all(word in line for word in words)

    return is_match


def memory(pid, file="status", key="VmRSS"):
    """Returns the memory of a process in MB."""
    with open(f"/proc/{pid}/{file}") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key + ":")) * 1024 / 1e6


def ticks(pid):
    """Returns the CPU time of a process, in ticks."""
    with open(f"/proc/{pid}/stat") as file:
        return sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))


def run(command):
    """Runs a command, and returns how long it took, in milliseconds."""
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return 1000 * (time.monotonic() - begin)


def measure(supervisor, folder, is_last):
    """Starts and stops all daemons, and returns the quantities. Leaves no process behind, even after an error."""
    executions = Executions(folder)
    begin = time.monotonic()
    started = subprocess.Popen(supervisor["start"], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        return measure_started(supervisor, folder, is_last, executions, begin, started)
    finally:
        for pid in processes(has_words(supervisor["supervisor"])) if "supervisor" in supervisor else []:
            os.kill(pid, signal.SIGKILL)
        for pid in processes(is_daemon(folder)):
            os.kill(pid, signal.SIGKILL)
        started.wait(PATIENCE)
        os.close(executions.fd)
        for path in supervisor.get("remove", []):
            shutil.rmtree(path, ignore_errors=True)


def measure_started(supervisor, folder, is_last, executions, begin, started):
    values, names = {}, os.listdir(folder)
    values["start"] = 1000 * (executions.wait_for(names) - begin)
    if supervisor.get("returns"):
        started.wait(PATIENCE)
    # The file of a program is opened a moment before its process has its name.
    time.sleep(1)
    daemons = {os.path.basename(os.readlink(f"/proc/{pid}/exe")): pid for pid in processes(is_daemon(folder))}
    if "supervisor" in supervisor:
        (pid,) = processes(has_words(supervisor["supervisor"]))
        values["memory"] = memory(pid)
        if "waiter" in supervisor:
            waiters = processes(has_words(supervisor["waiter"]))
            values["waiters"] = sum(memory(waiter, "smaps_rollup", "Pss") for waiter in waiters)
        for name in sorted(daemons)[:5]:
            executions.read()
            begin = time.monotonic()
            os.kill(daemons[name], signal.SIGKILL)
            values.setdefault("restart", []).append(1000 * (executions.wait_for([name]) - begin))
        if "status" in supervisor:
            values["status"] = [run(supervisor["status"]) for _ in range(5)]
        if is_last:
            before = ticks(pid)
            time.sleep(IDLE)
            values["idle"] = (ticks(pid) - before) * 1000 / TICKS
        begin = time.monotonic()
        if "stop" in supervisor:
            run(supervisor["stop"])
        else:
            os.kill(pid, signal.SIGTERM)
        while processes(is_daemon(folder)):
            time.sleep(0.005)
        values["stop"] = 1000 * (time.monotonic() - begin)
    return values


def main(rounds, folder, file):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
    with open(file) as lines:
        supervisors = json.load(lines)
    found = {}
    for number in range(int(rounds)):
        for supervisor in supervisors:
            for quantity, value in measure(supervisor, folder, number == int(rounds) - 1).items():
                values = found.setdefault((supervisor["name"], quantity), [])
                values.extend(value if isinstance(value, list) else [value])
    for (name, quantity), values in found.items():
        print(name, quantity, statistics.median(values), min(values))


if __name__ == "__main__":
    main(*sys.argv[1:])
