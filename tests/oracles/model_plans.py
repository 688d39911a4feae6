"""Names and shapes of timm's state for many architectures, without computing anything.

Arguments: names. Returns {name: [[tensor, shape], …]}.
"""
import json
import sys

import networks
import torch

a = json.loads(sys.argv[1])
with torch.device("meta"):
    print(json.dumps({
        name: [[n, list(t.shape)] for n, t in networks.create(name).state_dict().items()] for name in a["names"]
    }))
