"""Loads a weight file into timm's model, strictly, and runs it.

Arguments: name, weights, input (safetensors with `input`), in_chans, num_classes, output. Writes `logits` and
returns the number of tensors.
"""
import json
import sys

import networks
import torch
from safetensors.torch import load_file, save_file

a = json.loads(sys.argv[1])
model = networks.create(a["name"], in_chans=a["in_chans"], num_classes=a["num_classes"]).eval()
state = load_file(a["weights"])
model.load_state_dict(state, strict=True)
with torch.no_grad():
    logits = model(load_file(a["input"])["input"])
save_file({"logits": logits.contiguous()}, a["output"])
print(json.dumps({"tensors": len(state)}))
