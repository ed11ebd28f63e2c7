"""Trains the model: python train.py --tokenizer DIR --held-out FILE OUT_DIR

OUT_DIR gets the BF16 original: config.json, generation_config.json, model.safetensors.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import shutil
import time

os.environ.update(TOKENIZERS_PARALLELISM="false", CUBLAS_WORKSPACE_CONFIG=":4096:8")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import batches  # noqa: E402
import shape  # noqa: E402
from network import Network  # noqa: E402

SEED = 20_261
QUESTION_WEIGHT, BALANCE_WEIGHT = 0.1, 0.01
WARMUP, WEIGHT_DECAY, CLIP = 0.02, 0.1, 1.0


def rate(progress):
    if progress < WARMUP:
        return progress / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))


def optimizer_of(network, peak):
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95), eps=1e-9, fused=next(iter(matrices)).is_cuda)


def head_loss(hidden, head, targets, weights):
    logits = F.linear(hidden, head).float()
    losses = F.cross_entropy(logits, targets, reduction="none")
    hit = (logits.argmax(-1) == targets).float()
    answer = (weights == 1).float()
    return (losses * weights).sum() / weights.sum(), (hit * answer).sum() / answer.sum()


def step(network, loss_of, batch, device, quantized):
    ids, prompt_lengths, lengths = (torch.from_numpy(x).to(device, non_blocking=True) for x in batch)
    ids = ids.long()
    columns = torch.arange(ids.shape[1], device=device)
    valid = (columns < lengths[:, None]).float().unsqueeze(-1)
    predicted = columns[1:]
    weights = torch.where(predicted < prompt_lengths[:, None], QUESTION_WEIGHT, 1.0)
    weights = weights * (predicted < lengths[:, None])
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        hidden, balance = network(ids, valid, quantized)
        loss, accuracy = loss_of(hidden[:, :-1].flatten(0, 1), network.head, ids[:, 1:].flatten(), weights.flatten())
    (loss + BALANCE_WEIGHT * balance).backward()
    return loss.detach(), accuracy.detach(), balance.detach()


def save(network, directory, tokenizer_directory):
    directory.mkdir(parents=True, exist_ok=True)
    shape.write_configs(directory, network.shape)
    tensors = {n: t.detach().to(torch.bfloat16).cpu().contiguous() for n, t in network.tensors()}
    path = directory / "model.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(pathlib.Path(tokenizer_directory) / name, directory / name)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def compile_parts(network):
    """The layers share one compiled function; each padded length gets its own."""
    torch._dynamo.config.cache_size_limit = 64
    for layer in network.layers:
        layer.compile(dynamic=False)
    return torch.compile(head_loss, dynamic=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--held-out", required=True, type=pathlib.Path)
    parser.add_argument("--shards", type=int, default=420, help=f"of {batches.SHARD} problems")
    parser.add_argument("--tokens-per-batch", type=int, default=65536)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--quantized-from", type=float, default=0.85, help="share of the data after which weights and "
                        "activations are rounded to NVFP4 in the forward pass; 1 for never")
    parser.add_argument("--max-steps", type=int, default=10**9, help="stop early (for trials)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    with args.held_out.open() as f:
        held_out = {json.loads(line)["question"] for line in f}
    data = batches.stream(args.tokenizer, SEED, args.shards, args.tokens_per_batch, args.workers, held_out)
    first = next(data)     # the worker processes start before the device is touched
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    network = Network().to(device)
    print(f"{sum(p.numel() for p in network.parameters())} parameters, {args.shards * batches.SHARD} problems", flush=True)
    optimizer = optimizer_of(network, args.rate)
    loss_of = compile_parts(network) if device.type == "cuda" else head_loss
    start, num_tokens, num_steps = time.time(), 0, 0
    while first is not None and num_steps < args.max_steps:
        progress, *batch = first
        for group in optimizer.param_groups:
            group["lr"] = args.rate * rate(progress)
        figures = step(network, loss_of, batch, device, progress >= args.quantized_from)
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        num_steps, num_tokens = num_steps + 1, num_tokens + int(batch[2].sum())
        if num_steps % 100 == 0 or num_steps == args.max_steps or num_steps <= 3:
            loss, accuracy, balance = (x.item() for x in figures)
            print(f"step {num_steps} {progress:.3f} loss {loss:.4f} answer tokens right {accuracy:.5f} "
                  f"balance {balance:.3f} tokens {num_tokens} {time.time() - start:.1f} s", flush=True)
        first = next(data, None)
    digest = save(network, args.out, args.tokenizer)
    print(f"{num_steps} steps, {num_tokens} tokens, {time.time() - start:.1f} s, sha256 {digest}", flush=True)


if __name__ == "__main__":
    main()
