"""Writes the goldens of one checkpoint and what was checked about them (parity.json)."""

import copy
import json
from importlib.metadata import version

import numpy as np
import torch

import prompt
import reference

LENGTH, GREEDY_AT, NUM_GREEDY, NUM_HIDDEN = 200, 65, 16, 17
PREFIXES = (1, 3, 15, 16, 17, 63, 64, 65)
PREFIX_TOLERANCE = 1e-5     # of max |logit|: sums of another length run in another order
DOUBLE_TOLERANCE = 2e-5     # FP32 against float64: no flipped code anywhere
ROUTER_GAP = 1e-4
SENSITIVITY = 1e-3          # ten times what a parity test lets pass
PACKAGES = ("compressed-tensors", "llmcompressor", "numpy", "nvidia-modelopt", "safetensors", "torch", "transformers")


def relative(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def require(condition, message):
    if not condition:
        raise AssertionError(message)


def cosines(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def save(directory, name, array):
    """.npy 1.0, C order, little-endian."""
    with open(directory / f"{name}.npy", "wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return f"{name}.npy"


def bf16_run(model, tokens, kinds, fp8_kv, golden):
    """transformers' own BF16 run of the same mode: how near a BF16 engine can come."""
    rounded = reference.Reference(copy.deepcopy(model.model).to(torch.bfloat16), model.inputs, model.kv)
    logits = rounded.run(tokens, kinds, fp8_kv, measure=False).logits
    top = np.sort(golden, axis=-1)
    wide = (top[:, -1] - top[:, -2]) > 0.1 * golden.std()
    same = logits.argmax(-1) == golden.argmax(-1)
    each = cosines(logits, golden)
    return {"min_cosine": float(each.min()), "positions_below_0.999": int((each < 0.999).sum()),
            "overall_cosine": float(cosines(logits.ravel(), golden.ravel())),
            "argmax_differs_at_margin_above_0.1_std": int((wide & ~same).sum())}


def prefixes(model, mode, tokens, run):
    worst = 0.0
    for length in PREFIXES:
        short = model.run(tokens[:length], mode.kinds, mode.fp8_kv, measure=False).logits
        worst = max(worst, float(np.abs(short - run.logits[:length]).max() / np.abs(run.logits).max()))
    require(worst <= PREFIX_TOLERANCE, f"{mode.logits}: a prefix departs by {worst}")
    return worst


def write_mode(directory, model, mode, tokens):
    run = model.run(tokens, mode.kinds, mode.fp8_kv)
    double = model.run_double(tokens, mode.kinds, mode.fp8_kv)
    # The weights went through float64 and came back: the run repeats bit by bit.
    again = model.run(tokens, mode.kinds, mode.fp8_kv, measure=False)
    require(np.array_equal(run.logits, again.logits), f"{mode.logits}: two runs differ")
    greedy, margin = model.greedy(tokens[:GREEDY_AT], NUM_GREEDY, mode.kinds, mode.fp8_kv)
    entry = {"logits": save(directory, mode.logits, run.logits),
             "hidden": save(directory, "hidden" + mode.suffix, run.hidden[:, :NUM_HIDDEN]),
             "greedy": save(directory, "greedy" + mode.suffix, greedy)}
    if run.routing is not None:
        entry["routing"] = save(directory, "routing" + mode.suffix, run.routing)
        require(np.array_equal(run.routing, double.routing), f"{mode.logits}: routing differs in float64")
        require(run.smallest["router_gap"].min() > ROUTER_GAP, f"{mode.logits}: router gap")
    departure = relative(run.logits, double.logits)
    require(departure <= DOUBLE_TOLERANCE, f"{mode.logits}: float64 departs by {departure}")
    return entry | {
        "note": mode.note, "max_abs_logit": float(np.abs(run.logits).max()),
        "logit_std": float(run.logits.std()), "greedy_top2_margin": margin,
        "fp32_against_float64": departure, "prefixes": prefixes(model, mode, tokens, run),
        "smallest_distance": {k: float(v.min()) for k, v in sorted(run.smallest.items())},
        "bf16_run": bf16_run(model, tokens, mode.kinds, mode.fp8_kv, run.logits)}


def write(directory, parity):
    model = reference.load(directory)
    config = model.model.config
    search = prompt.Search(parity.name, model, [(m.kinds, m.fp8_kv) for m in parity.modes], LENGTH,
                           parity.num_candidates)
    tokens = search.tokens(GREEDY_AT, NUM_GREEDY)
    save(directory, "tokens", tokens)
    text = {
        "name": parity.name, "architecture": config.architectures[0], "scheme": parity.scheme,
        "variants": parity.notes, "config_spelling": "transformers 4, by hand" if parity.transformers_4
        else "transformers 5, as written", "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size, "num_hidden_layers": config.num_hidden_layers, "tokens": "tokens.npy",
        "prompt_of_greedy": GREEDY_AT, "moe_layers": moe_layers(model), "modes": {}}
    for mode in parity.modes:
        text["modes"][mode.logits] = write_mode(directory, model, mode, tokens)
    text["logits_change_by"] = sensitivities(directory, parity, tokens)
    text["versions"] = {p: version(p) for p in PACKAGES}
    (directory / "parity.json").write_text(json.dumps(text, indent=1) + "\n")
    return text


def sensitivities(directory, parity, tokens):
    """How far the first golden is from other readings of the same files, in units of max |logit|."""
    first = np.load(directory / f"{parity.modes[0].logits}.npy")
    found = {}
    for label, changes in parity.without.items():
        found[label] = relative(reference.load(directory, **changes).run(tokens, measure=False).logits, first)
    for mode in parity.modes[1:]:
        found[mode.logits] = relative(np.load(directory / f"{mode.logits}.npy"), first)
    for label, change in found.items():
        require(change > SENSITIVITY, f"{parity.name}: {label} changes the logits by {change} only")
    return found


def moe_layers(model):
    return [i for i, layer in enumerate(model.model.model.layers) if hasattr(layer.mlp, "experts")]
