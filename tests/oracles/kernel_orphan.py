"""Starts a kernel from a process that is then killed, as a JupyterLab that the system kills.

Argument: {"argv": […], "env": {…}, "cwd": folder, "code": cell, "limit_s": N}
Answer:   {"before": number of processes of the kernel, "after": the same, at most `limit_s` after the kill,
           "seconds": until none was left}
"""

import json
import os
import signal
import subprocess
import sys
import time

SERVER = r"""
import json, subprocess, sys, time
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

job = json.loads(sys.argv[1])

class Given(KernelSpecManager):
    def get_kernel_spec(self, kernel_name):
        return KernelSpec(argv=job["argv"], env=job["env"], display_name="given", language="rust",
                          interrupt_mode="message")

manager = KernelManager(kernel_name="given", kernel_spec_manager=Given())
manager.start_kernel(cwd=job["cwd"], stdout=subprocess.DEVNULL)
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=120)
client.execute(job["code"])
time.sleep(3)
print(manager.provisioner.pid, flush=True)
time.sleep(600)
"""


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    if int(file.read().rsplit(")", 1)[1].split()[1]) == pid:
                        found.append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


def main():
    job = json.loads(sys.argv[1])
    server = subprocess.Popen([sys.executable, "-c", SERVER, json.dumps(job)], stdout=subprocess.PIPE, text=True)
    kernel = int(server.stdout.readline())
    processes = [kernel, *children(kernel)]
    before = sum(map(alive, processes))
    server.send_signal(signal.SIGKILL)
    server.wait()
    start = time.monotonic()
    while any(map(alive, processes)) and time.monotonic() - start < job["limit_s"]:
        time.sleep(0.1)
    after = [pid for pid in processes if alive(pid)]
    for pid in after:
        os.kill(pid, signal.SIGKILL)
    print(json.dumps({"before": before, "after": len(after), "seconds": time.monotonic() - start}))


main()
