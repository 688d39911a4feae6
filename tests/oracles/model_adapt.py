"""timm's adaptation of a first convolution to another number of channels.

Arguments: weights, name (of the tensor), channels (list), output. Writes one tensor for each number of channels.
"""
import json
import sys

import torch
from safetensors.torch import load_file, save_file
from timm.models._manipulate import adapt_input_conv

a = json.loads(sys.argv[1])
rgb = load_file(a["weights"])[a["name"]]
save_file({str(n): adapt_input_conv(n, rgb.clone()).contiguous() for n in a["channels"]}, a["output"])
print(json.dumps({"shape": list(rgb.shape)}))
