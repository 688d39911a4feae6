"""Drives Jupyter kernels through the real protocol and answers with what each cell did.

Argument: {"kernels": {name: {"spec": "lumbar"} | {"argv": […], "env": {…}}}, "cwd": folder,
           "steps": [{"kernel": name, "code": …, "interrupt_after_s": N?, "timeout_s": N?}]}
Answer:   {"started": {name: seconds to the first answer}, "steps": [{"seconds", "status", "stdout", "stderr",
           "data": {mime: text}, "error": text}]}
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager


class GivenSpec(KernelSpecManager):
    """A kernel that is not installed anywhere."""

    given = None

    def get_kernel_spec(self, kernel_name):
        return self.given


def start(kernel, cwd):
    if "spec" in kernel:
        manager = KernelManager(kernel_name=kernel["spec"])
    else:
        specs = GivenSpec()
        specs.given = KernelSpec(argv=kernel["argv"], env=kernel.get("env", {}), display_name="given", language="rust",
                                 interrupt_mode="message")
        manager = KernelManager(kernel_name="given", kernel_spec_manager=specs)
    begin = time.monotonic()
    # A kernel started by a service sees almost nothing of a user's environment.
    environment = kernel.get("bare_env") or dict(os.environ)
    manager.start_kernel(cwd=cwd, env=environment, stdout=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=kernel.get("timeout_s", 120))
    return manager, client, time.monotonic() - begin


def run(manager, client, step):
    begin = time.monotonic()
    limit = step.get("timeout_s", 300)
    message = client.execute(step["code"], store_history=False)
    timer = None
    if "interrupt_after_s" in step:
        timer = threading.Timer(step["interrupt_after_s"], manager.interrupt_kernel)
        timer.start()
    answer = {"stdout": "", "stderr": "", "data": {}, "error": ""}
    ended = None
    while True:
        left = limit - (time.monotonic() - begin)
        if left <= 0:
            answer["error"] = f"no answer within {limit} s"
            answer["status"] = "timeout"
            break
        try:
            # What a cell says on standard error can come after it has ended: the kernel sends it on its own way.
            reply = client.get_iopub_msg(timeout=0.2 if ended else min(left, 5))
        except queue.Empty:
            if ended:
                break
            if not manager.is_alive():
                answer["error"], answer["status"] = "the kernel died", "dead"
                break
            continue
        if reply["parent_header"].get("msg_id") != message:
            continue
        kind, content = reply["msg_type"], reply["content"]
        if kind == "stream":
            answer[content["name"]] += content["text"]
        elif kind in ("execute_result", "display_data"):
            answer["data"].update(content["data"])
        elif kind == "error":
            answer["error"] += "\n".join(content.get("traceback") or [content.get("evalue", "")])
        elif kind == "status" and content["execution_state"] == "idle":
            ended = time.monotonic()
    if timer:
        timer.cancel()
    if "status" not in answer:
        while True:
            shell = client.get_shell_msg(timeout=30)
            if shell["parent_header"].get("msg_id") == message:
                answer["status"] = shell["content"]["status"]
                break
    answer["seconds"] = (ended or time.monotonic()) - begin
    return answer


def main():
    job = json.loads(sys.argv[1])
    running, started, answers = {}, {}, []
    try:
        for step in job["steps"]:
            name = step["kernel"]
            if name not in running:
                manager, client, seconds = start(job["kernels"][name], job["cwd"])
                running[name], started[name] = (manager, client), seconds
            answers.append(run(*running[name], step))
    finally:
        for manager, client in running.values():
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    print(json.dumps({"started": started, "steps": answers}))


main()
