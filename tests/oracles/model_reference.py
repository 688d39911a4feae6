"""Builds a timm model with random weights and writes its results.

Arguments: name, folder, size (pixels), batch, in_chans, num_classes. Writes weights.safetensors (the state
dict) and reference.safetensors:
  input                    images
  eval/logits, eval/features, eval/pooled, eval/stage/<n>
  train/logits, train/grad/<name>, train/buffer/<name>   one forward and backward in train mode
  adamw/<name>             parameters after one AdamW step with those gradients
and returns the state's names in order, the parameters' names in order, and each first weight's spread.
"""
import json
import sys

import networks
import torch
from safetensors.torch import save_file

a = json.loads(sys.argv[1])
torch.manual_seed(0)
torch.set_num_threads(1)
model = networks.create(a["name"], in_chans=a["in_chans"], num_classes=a["num_classes"])
spread = {n: p.std().item() for n, p in model.named_parameters() if p.numel() > 10_000}

# First weights hide mistakes (scales of one, shifts of zero, branches multiplied by 1e-6). Give each its own
# value, and batch norms the statistics of some data so that activations stay in range.
with torch.no_grad():
    for name, p in model.named_parameters():
        if p.ndim == 1:
            p.uniform_(-0.2, 0.2)
            if name.endswith("weight") or name.endswith("gamma"):
                p.add_(0.6)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in norms:
        m.momentum = 1.0
    model.train()(torch.randn(16, a["in_chans"], a["size"], a["size"]))
    for m in norms:
        m.momentum = 0.1
state = {n: t.clone() for n, t in model.state_dict().items()}
save_file(state, f"{a['folder']}/weights.safetensors", metadata={"format": "pt"})

out = {}
x = torch.randn(a["batch"], a["in_chans"], a["size"], a["size"])
out["input"] = x
model.eval()
with torch.no_grad():
    out["eval/logits"] = model(x)
    out["eval/features"] = model.forward_features(x)
    out["eval/pooled"] = model.forward_head(out["eval/features"], pre_logits=True)
    for n, stage in enumerate(model.forward_intermediates(x, intermediates_only=True)):
        out[f"eval/stage/{n}"] = stage

model.train()
target = torch.arange(a["batch"]) % a["num_classes"]
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
logits = model(x)
out["train/logits"] = logits.detach()
torch.nn.functional.cross_entropy(logits, target).backward()
for name, p in model.named_parameters():
    out[f"train/grad/{name}"] = p.grad
for name, b in model.named_buffers():
    out[f"train/buffer/{name}"] = b
optimizer.step()
for name, p in model.named_parameters():
    out[f"adamw/{name}"] = p.detach()
save_file({n: t.contiguous().clone() for n, t in out.items()}, f"{a['folder']}/reference.safetensors")
print(json.dumps({
    "state": list(state),
    "parameters": [n for n, _ in model.named_parameters()],
    "weights": sum(p.numel() for p in model.parameters()),
    "spread": spread,
    "stages": [[f["module"], f["num_chs"], f["reduction"]] for f in model.feature_info],
}))
