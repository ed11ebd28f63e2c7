"""Problems put together from a start, one or two changes and an end, about one kind of thing.

A template is (thing, start, changes, end); each thing gets its own selection of
the possible combinations, so that the list has a few hundred of them.
"""

import hashlib
import itertools

from story import Template

# thing: (plural, container, verb of getting, verb of losing, verb of giving)
COLLECT = ("finds", "loses", "gives")
BUY = ("buys", "throws away", "gives")
BAKE = ("bakes", "burns", "serves")
PICK = ("picks", "drops", "gives")
MAKE = ("makes", "breaks", "gives")
THINGS = [
    ("marbles", "bags", *COLLECT), ("shells", "jars", *COLLECT), ("stamps", "books", *COLLECT),
    ("coins", "boxes", *COLLECT), ("buttons", "tins", *COLLECT), ("feathers", "bundles", *COLLECT),
    ("stickers", "sheets", *BUY), ("crayons", "boxes", *BUY), ("balloons", "packs", *BUY),
    ("pencils", "packs", *BUY), ("bottles", "crates", *BUY), ("cards", "packs", *BUY), ("bulbs", "boxes", *BUY),
    ("cookies", "trays", *BAKE), ("muffins", "tins", *BAKE), ("rolls", "trays", *BAKE), ("pancakes", "stacks", *BAKE),
    ("apples", "baskets", *PICK), ("lemons", "bags", *PICK), ("roses", "bunches", *PICK), ("cherries", "bowls", *PICK),
    ("tomatoes", "crates", *PICK), ("walnuts", "sacks", *PICK),
    ("bracelets", "boxes", *MAKE), ("paper cranes", "strings", *MAKE), ("bricks", "piles", *MAKE),
    ("candles", "boxes", *MAKE), ("toy boats", "shelves", *MAKE),
]

# key: (operations, phrasings, step that binds x, ranges)
STARTS = {
    "have": (0, ["{N} has {a} {things}.", "There are {a} {things} in the room of {N}.", "{N} starts with {a} {things}."],
             "", "a 10-150"),
    "groups": (1, ["{N} has {a} {boxes} with {b} {things} in each.", "{N} owns {a} {boxes} of {b} {things}.",
                   "In each of {a} {boxes} {N} keeps {b} {things}."],
               "{N} has [x=a*b] {things}. ", "a 2-12, b 3-20"),
    "days": (1, ["{N} {gets} {a} {things} a day for {b} days.", "For {b} days, {N} {gets} {a} {things} every day."],
             "In {b} days {N} {gets} [x=a*b] {things}. ", "a 3-30, b 2-9"),
    "times": (1, ["{M} has {a} {things}. {N} has {b} times as many.", "{N} has {b} times as many {things} as {M}, who has {a}."],
              "{N} has [x=a*b] {things}. ", "a 3-40, b 2-6"),
    "more": (1, ["{M} has {a} {things}. {N} has {b} more than {M}.", "{N} has {b} more {things} than {M}, who has {a}."],
             "{N} has [x=a+b] {things}. ", "a 5-90, b 3-60"),
    "fewer": (1, ["{M} has {a} {things}. {N} has {b} fewer than {M}.", "{N} has {b} fewer {things} than {M}. {M} has {a}."],
              "{N} has [x=a-b] {things}. ", "a 15-150, b 3-60"),
    "colors": (1, ["{N} has {a} red {things} and {b} white {things}.", "{a} of the {things} of {N} are big and {b} are small."],
               "{N} has [x=a+b] {things}. ", "a 4-90, b 4-90"),
}
CHANGES = {
    "gain": (1, ["then {N} {gets} {1} more.", "after that {he} {gets} {1} more {things}.", "{M} gives {him} {1} more."],
             "Then {he} has [y=x+1]. ", "1 2-90"),
    "lose": (1, ["{he} {loses} {1} of them.", "then {N} {loses} {1} {things}.", "{he} {gives} {1} of them to {M}."],
             "Then [y=x-1] are left. ", "1 2-80"),
    "gain_groups": (2, ["then {he} {gets} {1} {boxes} of {2} {things} each.", "a neighbor brings {1} {boxes} with {2} {things} each."],
                    "[z=1*2] more come. That makes [y=x+z]. ", "1 2-8, 2 2-15"),
    "give_each": (2, ["{he} {gives} {2} {things} to each of {1} friends.", "then each of {1} friends gets {2} {things} from {N}."],
                  "The friends get [z=1*2]. [y=x-z] are left. ", "1 2-8, 2 2-12"),
    "part": (2, ["then {he} {loses} {1} of them.", "{1} of all the {things} go to {M}.", "{N} {gives} {1} of {his} {things} to {M}."],
             "That part is [z=x/1]. [y=x-z] are left. ", "1 frac"),
    "percent": (2, ["{1} of the {things} get lost.", "{he} {gives} {1} of them to a neighbor."],
                "That is [z=%1 of x]. [y=x-z] are left. ", "1 pct"),
    "double": (1, ["then the number of {things} grows to {1} times as many.", "later {N} has {1} times as many."],
               "Then {he} has [y=x*1]. ", "1 2-4"),
}
ENDS = {
    "left": (0, ["How many {things} does {N} have now?", "How many {things} are there in the end?",
                 "What is the number of {things} that {N} has now?"], "{N} has {x} {things} now.", ""),
    "split": (1, ["{N} puts the {things} into {e} {boxes} with the same number in each. How many {things} are in each?",
                  "{he} shares them equally among {e} children. How many {things} does each child get?"],
              "Each gets [x/e].", "e 2-12"),
    "pack": (1, ["{he} packs them in groups of {e}. How many groups are there?",
                 "If {e} {things} fit on a plate, how many plates does {N} need?"], "That makes [x/e].", "e 2-12"),
    "sell": (1, ["{N} sells the {things} for ${e} each. How many dollars does {he} get?",
                 "How much money does {N} get for all of them at ${e} each?"], "{N} gets [x*e] dollars.", "e 2-12"),
    "goal": (1, ["How many more {things} does {N} need to have {e}?", "{N} wants {e} {things}. How many are missing?"],
             "[e-x] are missing.", "e 50-400/10"),
    "compare": (1, ["{K} has {e} {things}. How many more {things} does {N} have than {K}?",
                    "How many {things} more than {K} does {N} have, if {K} has {e}?"], "The difference is [x-e].", "e 3-90"),
    "together": (1, ["{K} has {e} {things}. How many {things} do {N} and {K} have together?",
                     "How many {things} are there with the {e} {things} of {K}?"], "Together there are [x+e].", "e 3-150"),
}
PER_THING = 22


def combinations():
    sequences = [(c,) for c in CHANGES] + [p for p in itertools.permutations(CHANGES, 2)]
    for start, changes, end in itertools.product(STARTS, sequences, ENDS):
        operations = STARTS[start][0] + sum(CHANGES[c][0] for c in changes) + ENDS[end][0]
        if 2 <= operations <= 4:
            yield start, changes, end


def rename(text, names):
    """Gives the numbers in the text of a part their names in the whole."""
    for old, new in names.items():
        text = text.replace("{%s}" % old, "{%s}" % new)
    return text


def rename_step(step, mapping):
    """The same inside the brackets and braces of a step."""
    out, inside, word = [], False, ""
    for ch in step:
        if ch in "[{":
            inside = True
        if inside and ch.isalnum() and ch.isascii():
            word += ch
            continue
        out.append(mapping.get(word, word) + ch)
        word = ""
        if ch in "]}":
            inside = False
    return "".join(out) + word


def build(thing, start, changes, end):
    plural, container, gets, loses, gives = thing
    setting = (("things", plural), ("boxes", container), ("gets", gets), ("loses", loses), ("gives", gives))
    first = STARTS[start]
    steps, ranges, current = first[2], [first[3]], "x" if first[2] else "a"
    texts = [first[1]]
    for number, key in enumerate(changes):
        part = CHANGES[key]
        letters = {"1": "cd"[number], "2": "fg"[number], "x": current, "y": "uv"[number], "z": "zw"[number]}
        texts.append([rename(t, letters) for t in part[1]])
        steps += rename_step(part[2], letters)
        for item in part[3].split(", "):
            number_name, kind = item.split(" ", 1)
            ranges.append(f"{letters[number_name]} {kind}")
        current = "uv"[number]
    last = ENDS[end]
    texts.append(last[1])
    steps += rename_step(last[2], {"x": current})
    ranges.append(last[3])
    questions = tuple(" ".join(p) for p in itertools.product(*texts))
    name = f"chain/{plural.replace(' ', '_')}/{start}-{'-'.join(changes)}-{end}"
    return Template(name, questions, steps, ", ".join(r for r in ranges if r), setting)


def stories():
    everything = list(combinations())
    for thing in THINGS:
        def order(combination, plural=thing[0]):
            return hashlib.sha256(f"{plural} {combination}".encode()).digest()
        for combination in sorted(everything, key=order)[:PER_THING]:
            yield build(thing, *combination)
