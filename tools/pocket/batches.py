"""Training batches: problems are made and tokenised by worker processes while the device trains."""

import itertools
import multiprocessing
import random

import numpy as np

import problems
import shape
import tokenizer

SHARD = 10_000
SHARDS_PER_CHUNK = 32
LENGTHS = (96, 112, 128, 192)     # rows are padded to the next of these
_state = {}


def start_worker(directory, held_out_questions):
    _state["tokenizer"] = tokenizer.load(directory)
    _state["held_out"] = held_out_questions


def make_shard(seed):
    """(tokens, prompt lengths, lengths) of SHARD problems; the seed decides all of it."""
    prompts, texts = [], []
    generator = problems.Generator(seed)
    while len(texts) < SHARD:
        p = next(generator)
        if p.question not in _state["held_out"]:
            prompts.append(tokenizer.prompt(p.question))
            texts.append(tokenizer.full_text(p.question, p.answer))
    encode = _state["tokenizer"].encode_batch
    prompt_lengths = np.array([len(e.ids) for e in encode(prompts)], np.int32)
    rows = [e.ids + [shape.EOS_ID] for e in encode(texts)]
    lengths = np.array([len(r) for r in rows], np.int32)
    return np.concatenate(rows).astype(np.uint16), prompt_lengths, lengths


def pad(shards):
    """One (ids, prompt length, length) triple for each padded length."""
    tokens, prompt_lengths, lengths = (np.concatenate(x) for x in zip(*shards))
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    low = 0
    for high in LENGTHS:
        rows = np.flatnonzero((lengths > low) & (lengths <= high))
        low = high
        columns = np.arange(high)
        index = np.minimum(starts[rows, None] + columns, tokens.size - 1)
        inside = columns < lengths[rows, None]
        yield np.where(inside, tokens[index], shape.PAD_ID), prompt_lengths[rows], lengths[rows]


def stream(directory, seed, num_shards, tokens_per_batch, workers, held_out_questions):
    """(share of the data used, ids, prompt lengths, lengths); the order depends on the seed only."""
    order = random.Random(seed)
    seeds = range(seed, seed + num_shards)
    context = multiprocessing.get_context("fork")
    with context.Pool(workers, start_worker, (directory, held_out_questions)) as pool:
        results = pool.imap(make_shard, seeds)
        for done in range(0, num_shards, SHARDS_PER_CHUNK):
            shards = list(itertools.islice(results, SHARDS_PER_CHUNK))
            batches = []
            for ids, prompt_lengths, lengths in pad(shards):
                rows = tokens_per_batch // ids.shape[1]
                batches += [(ids[i:i + rows], prompt_lengths[i:i + rows], lengths[i:i + rows])
                            for i in range(0, len(ids) - rows + 1, rows)]
            order.shuffle(batches)
            for i, batch in enumerate(batches):
                yield (done + len(shards) * i / len(batches)) / num_shards, *batch
