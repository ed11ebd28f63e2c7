"""Chooses the tokens: position by position, the candidate whose values keep farthest from every rounding boundary.

Attention is causal, so what a position rounds depends on the tokens up to it alone. Candidates of one position run as
one batch behind the cache of those chosen before.
"""

import numpy as np
import torch

from weights import hashes

# Distances that are enough; beyond them a candidate gains nothing. Sums in FP32 err by about 1e-6 of these units.
ENOUGH = {"nvfp4_element": 1e-4, "nvfp4_block_scale": 1e-4, "fp8_element": 2e-5, "kv_fp8_element": 2e-5,
          "router_gap": 0.03, "router_order": 0.003}
GREEDY_ENOUGH = 0.01
FIRST_ID = 3    # 0 to 2 are the ids of special tokens


class Search:
    """modes: (kinds, fp8_kv) of every golden."""

    def __init__(self, name, reference, modes, length, num_candidates=24):
        self.reference, self.modes, self.length = reference, modes, length
        self.vocabulary = reference.model.config.vocab_size
        draws = hashes(name + ".tokens", length * num_candidates) % np.uint64(self.vocabulary - FIRST_ID)
        self.candidates = FIRST_ID + draws.astype(np.int64).reshape(length, num_candidates)
        self.states = [reference.mode(kinds) for kinds, _ in modes]
        self.caches = [reference.cache(fp8_kv, state) for (_, fp8_kv), state in zip(modes, self.states)]

    def scores(self, ids):
        """Per candidate the smallest distance, as a share of what is enough."""
        score = np.ones(len(ids))
        for state, cache in zip(self.states, self.caches):
            state.smallest, state.routing = {}, []
            with torch.no_grad(), state:
                self.reference.model(torch.from_numpy(ids)[:, None], past_key_values=cache, use_cache=True)
            for name, values in state.smallest.items():
                score = np.minimum(score, values / ENOUGH[name])
        return score

    def best_greedy(self, chosen, ids, score, num_greedy):
        """Among the best candidates of the last prompt position: greedy margin wide, many different tokens."""
        order = np.argsort(-score, kind="stable")[:12]
        worth = []
        for i in order:
            runs = [self.reference.greedy(chosen + [int(ids[i])], num_greedy, kinds, fp8_kv)
                    for kinds, fp8_kv in self.modes]
            margin = min(min(m for _, m in runs) / GREEDY_ENOUGH, 1.0)
            different = min(len(set(out.tolist())) for out, _ in runs)
            worth.append(margin * (1.0 + different) + min(score[i], 1.0))
        return int(order[int(np.argmax(worth))])

    def tokens(self, greedy_at, num_greedy):
        chosen = []
        for position in range(self.length):
            ids = self.candidates[position]
            score = self.scores(ids)
            best = int(np.argmax(score))
            if position == greedy_at - 1:
                best = self.best_greedy(chosen, ids, score, num_greedy)
            chosen.append(int(ids[best]))
            for cache in self.caches:
                cache.batch_select_indices(torch.full((len(ids),), best))
        return np.array(chosen, dtype=np.int32)
