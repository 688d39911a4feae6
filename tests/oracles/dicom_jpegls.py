"""JPEG-LS by CharLS (pyjpegls).

Input: {"task": "encode", "out": folder} writes codestreams of noisy and smooth images, lossless and near-lossless;
answers [{path, rows, columns, bits}].
Input: {"task": "decode", "list": file} decodes the codestreams whose paths the file lists (JSON); answers, for each,
the values, or null where CharLS refuses or does not find one component.
"""
import json
import sys
from pathlib import Path

import jpeg_ls
import numpy as np


def encode(arguments):
    out = Path(arguments["out"])
    answers = []
    rng = np.random.default_rng(7)
    for bits, kind in ((8, np.uint8), (12, np.uint16), (16, np.uint16)):
        for name in ("smooth", "noise", "flat"):
            for near in (0, 3):
                rows, columns = 24, 20
                y, x = np.mgrid[0:rows, 0:columns]
                top = (1 << bits) - 1
                values = {
                    "smooth": (x * y * top) // (rows * columns),
                    "noise": rng.integers(0, top, (rows, columns), endpoint=True),
                    "flat": np.where(x > 10, top // 3, top // 2),
                }[name].astype(kind)
                path = out / f"{bits}_{name}_{near}.jls"
                path.write_bytes(jpeg_ls.encode_array(values, lossy_error=near))
                answers.append({"path": str(path), "rows": rows, "columns": columns, "bits": bits})
    return answers


def decode(arguments):
    answers = []
    for path in json.loads(Path(arguments["list"]).read_text()):
        try:
            data, info = jpeg_ls.decode_buffer(Path(path).read_bytes())
            kind = np.uint8 if info["bits_per_sample"] <= 8 else np.uint16
            answers.append(np.frombuffer(data, kind).tolist() if info["components"] == 1 else None)
        except Exception:
            answers.append(None)
    return answers


arguments = json.loads(sys.argv[1])
print(json.dumps({"encode": encode, "decode": decode}[arguments["task"]](arguments)))
