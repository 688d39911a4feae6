"""The peer of benches/model.rs: timm's EfficientNet-B0 in PyTorch eager.

Reads one JSON request a line, answers the seconds a step took, one JSON value a line:
  {"task": "train" | "infer", "size": …, "batch": …, "setting": …, "steps": …}
Settings of training: layout × optimizer; of inference: layout. Models and inputs are made once a setting.
"""
import json
import sys
import time

import timm
import torch

torch.set_num_threads(int(sys.argv[1]))
DEVICE = torch.device(sys.argv[2])
AMP = sys.argv[3] == "bf16"
NAME = sys.argv[4]
made = {}


def sync():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def make(task, size, batch, setting):
    torch.manual_seed(0)
    layout = torch.channels_last if "channels_last" in setting else torch.contiguous_format
    model = timm.create_model(NAME).to(DEVICE, memory_format=layout)
    x = torch.randn(batch, 3, size, size).to(DEVICE, memory_format=layout)
    target = (torch.arange(batch) % 1000).to(DEVICE)
    if task == "infer":
        model.eval()

        def step():
            with torch.inference_mode(), torch.autocast(DEVICE.type, torch.bfloat16, enabled=AMP):
                model(x)

        return step
    model.train()
    how = {"fused": True} if "fused" in setting else {"foreach": True}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, **how)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=AMP):
            loss = torch.nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()

    return step


print(json.dumps({"torch": torch.__version__, "timm": timm.__version__}), flush=True)
for line in sys.stdin:
    r = json.loads(line)
    if r["task"] == "memory":
        peak = torch.cuda.max_memory_allocated() if DEVICE.type == "cuda" else 0
        made.clear()
        if DEVICE.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        print(json.dumps(peak), flush=True)
        continue
    key = (r["task"], r["size"], r["batch"], r["setting"])
    if key not in made:
        made.clear()
        made[key] = make(*key)
        made[key]()
        made[key]()
    sync()
    start = time.perf_counter()
    for _ in range(r["steps"]):
        made[key]()
    sync()
    print(json.dumps((time.perf_counter() - start) / r["steps"]), flush=True)
