"""Runs notebooks from a fresh kernel, cell by cell, and reports.

The Rust kernel answers "ok" after a panic and after a `?` that returned an error, and Run All would continue. Here
anything on standard error fails a cell, as do an error output and a time above the limit. A cell that is meant to show
an error carries the tag `raises-exception` and must have one.
"""

import asyncio
import json
import queue
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter

JOB = json.loads(sys.argv[1])
# a chart gets narrower with the page instead of being cut
NARROWING = "<style>.jp-RenderedSVG img, .jp-RenderedImage img { max-width: 100%; height: auto; }</style></head>"
# an image of pixels, as lumbar-notebook shows it
IMAGE = re.compile(
    r'<img alt="[^"]*" width="(\d+)" style="max-width:100%;height:auto" src="data:image/png;base64,([A-Za-z0-9+/=]+)">'
)
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def hide(text):
    """Paths of this machine are not stored in outputs. Inner folders come before outer ones."""
    for path, shown in JOB["hidden"]:
        text = text.replace(path, shown)
    return text


def walk(value):
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, list):
        return [walk(item) for item in value]
    if isinstance(value, dict):
        return {key: walk(item) for key, item in value.items()}
    return value


def as_png(output):
    """An HTML image becomes a PNG file with its width as metadata, which every program shows. The kernel cannot send
    metadata."""
    data = output.get("data", {})
    image = IMAGE.fullmatch(data.get("text/html", "").strip())
    if image:
        del data["text/html"]
        data["image/png"] = image[2] + "\n"
        output.setdefault("metadata", {})["image/png"] = {"width": int(image[1])}


def problem(cell):
    """Why this cell has failed, or None."""
    expects = "raises-exception" in cell.metadata.get("tags", [])
    said = [
        ANSI.sub("", output.get("text") or "\n".join(output.get("traceback", [])) or output.get("evalue", ""))
        for output in cell.outputs
        if output.output_type == "error" or (output.output_type == "stream" and output.name == "stderr")
    ]
    if said and not expects:
        return "\n".join(said).strip()[:4000] or "an error without a message"
    if expects and not said:
        return "the cell is tagged raises-exception and raised none"
    return None


async def drain(client, cell, index, wait_s):
    """Reads what the cell wrote to standard error: the kernel sends it separately, and it can arrive after the
    cell has ended. What arrives still later counts for the next cell."""
    while True:
        try:
            message = await client.kc.get_iopub_msg(timeout=wait_s)
        except queue.Empty:
            return
        if message["msg_type"] in ("stream", "error"):
            client.process_message(message, cell, index)


async def run(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)
    client = NotebookClient(
        notebook,
        kernel_name="lumbar",
        resources={"metadata": {"path": str(path.parent)}},
        startup_timeout=120,
        allow_errors=True,
        record_timing=False,
    )
    times, failure, count = [], None, 0
    async with client.async_setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            client.timeout = cell.metadata.get("lumbar", {}).get("limit_s", JOB["limit_s"])
            count += 1
            start, took = time.monotonic(), None
            try:
                await client.async_execute_cell(cell, index)
                took = time.monotonic() - start
                await drain(client, cell, index, 0.1)
                if problem(cell) and "raises-exception" in cell.metadata.get("tags", []):
                    await drain(client, cell, index, 2)
                failure = problem(cell)
            except CellTimeoutError:
                failure = f"the cell took longer than its limit of {client.timeout} s"
            except (CellExecutionError, DeadKernelError) as error:
                failure = ANSI.sub("", str(error))
            times.append((took or time.monotonic() - start, index, cell.source.strip().splitlines()[0]))
            cell.execution_count = count
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = count
            if failure:
                failure = f"cell {count} (`{times[-1][2][:70]}`):\n{failure}"
                break
    return notebook, times, failure


def main():
    out = Path(JOB["out"])
    rows, failures, report = [], [], []
    for name in JOB["notebooks"]:
        path = Path(name)
        print(f"\n== {path.stem}", flush=True)
        start = time.monotonic()
        try:
            notebook, times, failure = asyncio.run(run(path))
        except Exception as error:  # the kernel did not start, or died between cells
            notebook, times, failure = None, [], f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - start
        slowest = sorted(times, reverse=True)[:3]
        for took, _, line in slowest:
            print(f"   {took:6.1f} s  {line[:90]}", flush=True)
        if failure:
            print(f"   FAILED {failure}", flush=True)
            failures.append(path.stem)
        if notebook is not None:
            notebook.cells = [nbformat.from_dict(walk(cell)) for cell in notebook.cells]
            # before images become PNG files: nbconvert has no descriptions for those
            html, _ = HTMLExporter().from_notebook_node(notebook)
            (out / f"{path.stem}.html").write_text(html.replace("</head>", NARROWING, 1))
            for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
                as_png(output)
            nbformat.write(notebook, out / path.name)
            if JOB["in_place"] and not failure:
                temporary = path.with_suffix(".ipynb.new")
                nbformat.write(notebook, temporary)
                temporary.rename(path)
        rows.append((path.stem, seconds, len(times), failure))
        report.append({"notebook": path.stem, "seconds": seconds, "failure": failure,
                       "cells": [{"seconds": took, "cell": index, "line": line} for took, index, line in times]})
    print(f"\n{'notebook':<36} {'cells':>5} {'seconds':>8}")
    for stem, seconds, cells, failure in rows:
        print(f"{stem:<36} {cells:>5} {seconds:>8.1f}{'  FAILED' if failure else ''}")
    (out / "report.json").write_text(json.dumps(
        {"passed": len(rows) - len(failures), "failed": len(failures), "notebooks": report}, indent=1))


main()
