"""Logits of network.py, decode.py and transformers on one checkpoint: python compare_transformers.py DIR problems.jsonl"""

import json
import pathlib
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, Qwen3MoeForCausalLM

import tokenizer
from decode import Cache, Model
from network import Network
from shape import SHAPE

# FP32 sums of a few thousand terms, in another order.
TOLERANCE = 2e-3


def trained_network(directory):
    network, stored = Network(), load_file(directory / "model.safetensors")
    with torch.no_grad():
        for name, tensor in network.tensors():     # views of the parameters
            tensor.copy_(stored.pop(name))
    if stored:
        raise ValueError(f"{directory}: more tensors than the model has: {sorted(stored)[:3]}")
    return network


@torch.no_grad()
def main():
    directory, problems = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    row = json.loads(problems.read_text().splitlines()[0])
    text = tokenizer.full_text(row["question"], row["answer"])
    ids = torch.tensor([tokenizer.load(directory).encode(text).ids])
    library = AutoTokenizer.from_pretrained(directory)
    if library(text)["input_ids"] != ids[0].tolist() or library.decode(ids[0].tolist()) != text:
        sys.exit("transformers reads the tokenizer in another way")
    reference = Qwen3MoeForCausalLM.from_pretrained(directory, dtype=torch.float32)(ids).logits
    model = Model(directory)
    decoded = model.logits(ids, torch.arange(ids.shape[1])[None], Cache(model.config, 1, SHAPE.max_positions, "cpu",
                                                                       torch.float32))
    network = trained_network(directory)
    hidden, _ = network(ids, torch.ones(*ids.shape, 1))
    trained = hidden @ network.head.T
    worst = {"decode": (decoded - reference).abs().max().item(), "network": (trained - reference).abs().max().item()}
    print(f"largest logit {reference.abs().max():.3f}; differences {worst}")
    if max(worst.values()) > TOLERANCE:
        sys.exit("the logits differ")


if __name__ == "__main__":
    main()
