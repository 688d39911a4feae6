"""The peer of benches/gpu.rs: timm's networks in PyTorch, eager, compiled and as CUDA graphs.

`gpu_peer.py DEVICE`; reads one JSON request a line and answers one JSON value a line, {"error": …} if it failed:
  {"task": "reference", "name", "size", "batch", "folder"}
      random weights and what they compute: weights.safetensors, reference.safetensors (input, fp32, bf16)
  {"task": "train" | "infer", "name", "kind": "fp32" | "bf16", "setting", "size", "batch", "steps", "limit_s"}
      seconds a step and peak bytes. Settings: "eager channels_last", "eager contiguous", "compiled channels_last".
      The model is made on its first request. If limit_s is above 0, the process ends when making it takes longer.
  {"task": "graphs", "name", "size", "batches", "steps"}
      seconds eager and as a replayed CUDA graph: [[what, batch, eager, graph], …]
  {"task": "forget"}
      drops all models and cached memory
"""
import json
import signal
import statistics
import sys
import time

import timm
import torch
from safetensors.torch import save_file

DEVICE = torch.device(sys.argv[1])
CUDA = DEVICE.type == "cuda"
KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16}
made = {}

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


def sync():
    if CUDA:
        torch.cuda.synchronize()


def seconds(step, steps):
    sync()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    sync()
    return (time.perf_counter() - start) / steps


def autocast(kind, **options):
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=kind == "bf16", **options)


def inputs(size, batch, layout):
    x = torch.randn(batch, 3, size, size).to(DEVICE, memory_format=layout)
    return x, (torch.arange(batch) % 1000).to(DEVICE)


def training(model, x, target, kind, optimizer, **options):
    parameters = list(model.parameters())

    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast(kind, **options):
            logits = model(x)
        torch.nn.functional.cross_entropy(logits.float(), target).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def make(task, name, kind, setting, size, batch):
    torch.manual_seed(0)
    layout = torch.channels_last if "channels_last" in setting else torch.contiguous_format
    model = timm.create_model(name).to(DEVICE, memory_format=layout)
    x, target = inputs(size, batch, layout)
    if task == "train":
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        run = torch.compile(model.train()) if "compiled" in setting else model.train()
        return training(run, x, target, kind, optimizer)
    model = model.eval().to(KINDS[kind])
    x = x.to(KINDS[kind])
    run = torch.compile(model) if "compiled" in setting else model

    def step():
        with torch.inference_mode():
            run(x)

    return step


def measure(r):
    key = tuple(r[field] for field in ("task", "name", "kind", "setting", "size", "batch"))
    if key not in made:
        if r["limit_s"] > 0:
            signal.alarm(r["limit_s"])
        sync()
        before = torch.cuda.memory_allocated() if CUDA else 0
        step = make(*key)
        step()
        if CUDA:
            torch.cuda.reset_peak_memory_stats()
        step()
        step()
        sync()
        peak = torch.cuda.max_memory_allocated() - before if CUDA else 0
        made[key] = (step, peak)
        signal.alarm(0)
    step, peak = made[key]
    step()
    answer = {"seconds": seconds(step, r["steps"]), "bytes": peak}
    if CUDA and r["limit_s"] > 0:
        torch.cuda.empty_cache()  # it waits while others are measured
    return answer


def reference(r):
    torch.manual_seed(0)
    model = timm.create_model(r["name"])
    # First weights hide mistakes: scales of one, shifts of zero, branches multiplied by 1e-6. Give each its own value,
    # and batch norms the statistics of some data so that activations stay in range.
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1:
                p.uniform_(-0.2, 0.2)
                if name.endswith("weight") or name.endswith("gamma"):
                    p.add_(0.6)
        norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for m in norms:
            m.momentum = 1.0
        model.to(DEVICE).train()(torch.randn(16, 3, r["size"], r["size"]).to(DEVICE))
        for m in norms:
            m.momentum = 0.1
    state = {n: t.cpu().contiguous().clone() for n, t in model.state_dict().items()}
    save_file(state, f"{r['folder']}/weights.safetensors", metadata={"format": "pt"})
    model.eval()
    x = torch.randn(r["batch"], 3, r["size"], r["size"])
    with torch.inference_mode():
        fp32 = model(x.to(DEVICE))
        with autocast("bf16"):
            bf16 = model(x.to(DEVICE))
    out = {"input": x, "fp32": fp32.float().cpu(), "bf16": bf16.float().cpu()}
    save_file({n: t.contiguous().clone() for n, t in out.items()}, f"{r['folder']}/reference.safetensors")
    return len(state)


def captured(step):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


def graphs(r):
    rows = []
    for task in ("infer", "train"):
        for batch in r["batches"]:
            torch.manual_seed(0)
            model = timm.create_model(r["name"]).to(DEVICE, memory_format=torch.channels_last)
            x, target = inputs(r["size"], batch, torch.channels_last)
            if task == "infer":
                model, x = model.eval().bfloat16(), x.bfloat16()

                def step():
                    with torch.inference_mode():
                        model(x)
            else:
                optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-4, fused=True, capturable=True)
                step = training(model, x, target, "bf16", optimizer, cache_enabled=False)
            step()
            graph = captured(step)
            times = [(seconds(step, r["steps"]), seconds(graph.replay, r["steps"])) for _ in range(3)]
            rows.append([task, batch, *(statistics.median(t) for t in zip(*times))])
            del graph, model, x, target, step
            torch.cuda.empty_cache()
    return rows


def answer(r):
    match r["task"]:
        case "reference":
            return reference(r)
        case "graphs":
            return graphs(r)
        case "forget":
            made.clear()
            if CUDA:
                torch.cuda.empty_cache()
            return True
        case _:
            return measure(r)


device = torch.cuda.get_device_name() if CUDA else "CPU"
print(json.dumps(f"{device}, torch {torch.__version__}, timm {timm.__version__}"), flush=True)
for line in sys.stdin:
    try:
        found = answer(json.loads(line))
    except Exception as error:  # the benchmark shows it and goes on
        found = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    print(json.dumps(found), flush=True)
