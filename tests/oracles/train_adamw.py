"""`torch.optim.AdamW` with `clip_grad_norm_` and an averaged model on a small problem; torch's schedules.

Argument: {"steps": n, "lr": x, "weight_decay": x, "clip_norm": x, "ema_decay": x}. Answer: gradient lengths,
the weights after the last step and their average, and the factors of OneCycleLR and of LinearLR followed by
CosineAnnealingLR for 40 steps.
"""
import json
import sys

import torch

a = json.loads(sys.argv[1])
wave = lambda *shape: (torch.arange(torch.Size(shape).numel(), dtype=torch.float32) * 0.7).sin().reshape(shape)
kernel, bias, head = (torch.nn.Parameter(wave(*s)) for s in [(4, 3, 5, 5), (4,), (2, 4)])
x = (torch.arange(2 * 3 * 8 * 8, dtype=torch.float32) * 0.3).cos().reshape(2, 3, 8, 8)
optimizer = torch.optim.AdamW([
    {"params": [kernel, head], "weight_decay": a["weight_decay"]},
    {"params": [bias], "weight_decay": 0.0},
], lr=a["lr"], foreach=False)
average = [p.detach().clone() for p in (kernel, bias, head)]
norms = []
for step in range(a["steps"]):
    optimizer.zero_grad()
    y = torch.nn.functional.conv2d(x, kernel, bias).mean(dim=(2, 3))
    ((y @ head.T - 1) ** 2).sum().backward()
    norms.append(torch.nn.utils.clip_grad_norm_([kernel, bias, head], a["clip_norm"]).item())
    optimizer.step()
    t = step + 1
    decay = min(a["ema_decay"], (1 + t) / (10 + t))
    for mean, p in zip(average, (kernel, bias, head)):
        mean.mul_(decay).add_(p.detach(), alpha=1 - decay)


def factors(make, steps=40):
    holder = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    schedule, found = make(holder), []
    for _ in range(steps):
        found.append(holder.param_groups[0]["lr"])
        holder.step()
        schedule.step()
    return found


lr = torch.optim.lr_scheduler
flat = lambda tensors: [value for tensor in tensors for value in tensor.detach().flatten().tolist()]
print(json.dumps({
    "norms": norms,
    "weights": flat([kernel, bias, head]),
    "average": flat(average),
    "one_cycle": factors(lambda o: lr.OneCycleLR(o, max_lr=1.0, total_steps=41, pct_start=0.3, div_factor=25,
                                                 final_div_factor=1e4)),
    "warmup_cosine": factors(lambda o: lr.SequentialLR(o, [
        lr.LinearLR(o, start_factor=0.04, total_iters=4),
        lr.CosineAnnealingLR(o, T_max=36, eta_min=0.01)], milestones=[4])),
}))
