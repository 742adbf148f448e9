"""GGUF files by the gguf package, for make_gguf.py and make_z_image.py."""
import gguf
import numpy as np
import torch


def numbers(data, kind):
    return torch.from_numpy(np.array(gguf.quants.dequantize(data, kind), np.float32))


def write(file, architecture, tensors):
    writer = gguf.GGUFWriter(file, architecture)
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
