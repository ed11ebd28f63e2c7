"""Holds our reading of safetensors files against the Rust package's, on mutated files.

    compare_safetensors.py path/to/safetensors_verdict [--count 120000] [--seed 1]

Both must accept or refuse each file, and see the same tensors in those that they accept. The one exception: we refuse
duplicate keys, which the package lets pass; that there is one is confirmed by Python's own JSON reader.
"""
import argparse
import json
import random
import struct
import subprocess
import sys

DTYPES = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
          "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
          "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64}
NAMES = ["a", "model.layers.0.weight", "", "é", "x y", 'q"uote', "back\\slash", "\U0001f600", "data_offsets", "dtype",
         "__metadata", "n\nl", "__metadata__x", "\x7f", "0"]


class Raw(str):
    """JSON text to be written as it is."""


def write_json(value, rng):
    """JSON with the spelling that `rng` picks: white space and escapes."""
    style = rng.random()
    gap = (lambda: "") if style < 0.7 else (lambda: rng.choice(["", " ", "\n", "\t", "\r", "  "]))

    def text(s):
        if isinstance(s, Raw):
            return str(s)
        out = json.dumps(s, ensure_ascii=rng.random() < 0.5)
        if rng.random() < 0.03 and len(s):
            i = rng.randrange(len(s))
            out = '"' + json.dumps(s[:i])[1:-1] + "".join(f"\\u{ord(c):04x}" if ord(c) < 65536 else c for c in s[i]) + \
                json.dumps(s[i + 1:])[1:-1] + '"'
        return out

    def go(v):
        if isinstance(v, Pairs):
            return "{" + gap() + ("," + gap()).join(text(k) + gap() + ":" + gap() + go(x) for k, x in v.pairs) + gap() + "}"
        if isinstance(v, list):
            return "[" + gap() + ("," + gap()).join(go(x) + gap() for x in v) + "]"
        if isinstance(v, str):
            return text(v)
        return json.dumps(v)
    return gap() + go(value) + gap()


class Pairs:
    """A JSON object that may have a key twice."""

    def __init__(self, pairs):
        self.pairs = [list(p) for p in pairs]


def seed_model(rng):
    """A correct header (Pairs) and the size of its data."""
    names = rng.sample(NAMES, rng.randrange(0, 5))
    pairs, offset = [], 0
    for name in names:
        dtype = rng.choice(list(DTYPES))
        shape = [rng.choice([0, 1, 2, 3, 4, 8]) for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 10]))]
        bits = DTYPES[dtype]
        for dim in shape:
            bits *= dim
        if bits % 8:
            shape, bits = shape + [4], bits * 4
        size = bits // 8
        if size > 4096:
            shape, size = [8], DTYPES[dtype]
        info = Pairs([("dtype", dtype), ("shape", shape), ("data_offsets", [offset, offset + size])])
        if rng.random() < 0.2:
            rng.shuffle(info.pairs)
        pairs.append((name, info))
        offset += size
    if rng.random() < 0.2:
        rng.shuffle(pairs)
    if rng.random() < 0.5:
        pairs.insert(0, ("__metadata__", Pairs([("format", "pt")])))
    return Pairs(pairs), offset


def pack(text, data):
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data


NUMBERS = [Raw(n) for n in (
    "0", "1", "2", "7", "8", "9", "-1", "-0", "0.0", "1.0", "8.0", "1e0", "8e0", "1E+1", "1e-1", "01", "00", "+1", ".5",
    "1.", "1e", "1e+", "-", "--1", "0x10", "1_0", "NaN", "Infinity", "-Infinity", "1e308", "1e309", "-1e309", "1e999999999999",
    "0e999999999999", "1e-999999999999", "0.0e400", "123456789012345678901234567890e-30", "4294967295", "4294967296",
    "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", "1" + "0" * 310,
    "1" + "0" * 308, "1099511627776", "4611686018427387904", "2305843009213693952", "1 2", "1,", "", "1/**/", "1x", "1\x00")]
VALUES = NUMBERS + [Raw(v) for v in (
    "null", "true", "false", "nul", "nulll", "True", "None", '""', '"8"', '"F32"', '"f32"', '"F128"', '"F32 "', '"\\u0046\\u0033\\u0032"',
    '"F8_E4M3FN"', '"\\ud800"', '"\\udc00"', '"\\ud83d\\ude00"', '"\\ud83d\\ud83d"', '"\\ud83dx"', '"\\x41"', '"\\u00"', '"\\u00g0"',
    '"\x01"', '"\\/\\b\\f\\n\\r\\t\\"\\\\"', '"unclosed', "'F32'", "[]", "{}", "[1]", "[0,8]", "[0,8,8]", "[[0,8]]", "[0,8", "[0,8]]", "[0 8]",
    "[,0]", "[0,]", "[null]", "[true]", '["0","8"]', "[0.0,8.0]", "[-0,8]", '{"F32":null}', '{"F32":{}}', '{"F32":[]}', '{"F32":1}',
    '{"U8":null,"U8":null}', '{"a":1}', '{"a":"b":"c"}', '{"a"}', '{"a":}', '{a:1}', '{1:1}', '{"a":1,}', '{"a" "b"}', '["F32",[2],[0,8]]',
    '["U8",[8],[0,8]]', '["U8",[],[0,1],0]', '["U8",[0],[0,0]]', '["U8",[0]]', '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}',
    '{"x":[{"y":"\\ud800"}]}', '{"x":1e400}', '[1e400]', '"a":"b"', '["a":"b"]', '{"dtype":"U8","shape":[8],"data_offsets":[0,8],"x":{"y":1e999}}')]


def containers(value, depth=0):
    found = [(value, depth)]
    for child in [x for _, x in value.pairs] if isinstance(value, Pairs) else value if isinstance(value, list) else []:
        if isinstance(child, (Pairs, list)):
            found += containers(child, depth + 1)
    return found


def nested(rng):
    depth = rng.choice([1, 2, 60, 120, 123, 124, 125, 126, 127, 128, 129, 200, 1000])
    return Raw("[" * depth + "]" * depth) if rng.random() < 0.5 else Raw('{"x":' * depth + "1" + "}" * depth)


def mutate_structure(model, rng):
    value, _ = rng.choice(containers(model))
    items = value.pairs if isinstance(value, Pairs) else value
    action = rng.randrange(9)
    if action == 0 and items:
        items.pop(rng.randrange(len(items)))
    elif action == 1 and items:
        items.insert(rng.randrange(len(items) + 1), json_copy(rng.choice(items)))
    elif action == 2:
        fresh = nested(rng) if rng.random() < 0.15 else rng.choice(VALUES)
        key = rng.choice(["extra", "dtype", "shape", "data_offsets", "__metadata__", Raw('"\\u0064type"'), Raw('"sh\\u0061pe"'),
                          Raw('"__met\\u0061data__"'), Raw('"\\ud800"'), Raw("x"), "DTYPE", "a"])
        items.insert(rng.randrange(len(items) + 1), [key, fresh] if isinstance(value, Pairs) else fresh)
    elif action == 3 and items:
        i = rng.randrange(len(items))
        fresh = nested(rng) if rng.random() < 0.1 else rng.choice(VALUES)
        if isinstance(value, Pairs):
            items[i][1] = fresh
        else:
            items[i] = fresh
    elif action == 4 and items:
        i = rng.randrange(len(items))
        old = items[i][1] if isinstance(value, Pairs) else items[i]
        if isinstance(old, int) and not isinstance(old, bool):
            fresh = old + rng.choice([-8, -2, -1, 1, 2, 8, 1 << 32, 1 << 61, 1 << 62, 1 << 63, (1 << 64) - old])
            if isinstance(value, Pairs):
                items[i][1] = fresh
            else:
                items[i] = fresh
    elif action == 5 and len(items) > 1:
        i, j = rng.randrange(len(items)), rng.randrange(len(items))
        items[i], items[j] = items[j], items[i]
    elif action == 6 and items and isinstance(value, Pairs):
        items[rng.randrange(len(items))][0] = rng.choice(NAMES + ["dtype", "shape", "data_offsets", "__metadata__"])
    elif action == 7:
        shapes = [v for p, _ in containers(model) if isinstance(p, Pairs) for k, v in p.pairs if k == "shape" and isinstance(v, list)]
        if shapes:
            rng.choice(shapes)[:] = rng.choice([[1 << 62, 4], [1 << 62, 4, 0], [0, 1 << 62, 4], [1 << 63, 2], [(1 << 64) - 1],
                                                [1 << 61], [3], [1], [1] * 40, [2] * 64, [0] * 3, [2] * 63 + [0]])
    elif action == 8:
        ranges = [v for p, _ in containers(model) if isinstance(p, Pairs) for k, v in p.pairs if k == "data_offsets" and isinstance(v, list)]
        if ranges:
            rng.choice(ranges)[:] = rng.choice([[0, 0], [8, 0], [0, 8], [1, 9], [0, (1 << 64) - 1], [(1 << 64) - 8, (1 << 64) - 1], [4, 4]])


def json_copy(value):
    if isinstance(value, Pairs):
        return Pairs([(k, json_copy(v)) for k, v in value.pairs])
    return [json_copy(v) for v in value] if isinstance(value, list) else value


def mutate_text(text, rng):
    snippets = ['"', "\\", ",", ":", "{", "}", "[", "]", " ", "\x00", "\x1f", "\x0c", "\ufeff", "\u00a0", "//", "null", "\ud800", "0", "-", "1e5"]
    at = rng.randrange(len(text) + 1)
    action = rng.randrange(4)
    if action == 0:
        return text[:at] + rng.choice(snippets) + text[at:]
    if action == 1:
        return text[:at] + text[at + rng.randrange(1, 4):]
    if action == 2:
        return text[:at] + rng.choice(snippets) + text[at + 1:]
    end = rng.randrange(at, len(text) + 1)
    return text[:at] + text[at:end] * 2 + text[end:]


def mutate_bytes(blob, rng):
    blob = bytearray(blob)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(blob)) if blob else 0
        action = rng.randrange(8)
        if action == 0 and blob:
            blob[at] ^= 1 << rng.randrange(8)
        elif action == 1 and blob:
            blob[at] = rng.choice([0, 9, 10, 13, 32, 34, 44, 58, 91, 92, 93, 123, 125, 127, 128, 192, 237, 255, rng.randrange(256)])
        elif action == 2:
            del blob[at:at + rng.randrange(1, 9)]
        elif action == 3:
            blob[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 5)))
        elif action == 4:
            del blob[rng.randrange(len(blob) + 1):]
        elif action == 5:
            blob += bytes(rng.randrange(1, 17))
        elif action == 6 and len(blob) >= 8:
            length = struct.unpack("<Q", blob[:8])[0]
            fresh = rng.choice([0, 1, 7, length - 1, length + 1, length + 8, len(blob), len(blob) - 8, len(blob) - 7, 100_000_000,
                                100_000_001, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1, (1 << 64) - 8])
            blob[:8] = struct.pack("<Q", fresh % (1 << 64))
        elif action == 7 and len(blob) >= 8:
            # One byte more or less of padding, the length kept in step.
            length = struct.unpack("<Q", blob[:8])[0]
            if length + 8 <= len(blob):
                blob[8 + length:8 + length] = rng.choice([b" ", b"\n", b"\x00", b"\x0b", b"}", b"\xc2\xa0"])
                blob[:8] = struct.pack("<Q", length + 1 if blob[8 + length] != 0xc2 else length + 2)
    return bytes(blob)


def candidate(rng):
    model, size = seed_model(rng)
    kind = rng.random()
    if kind < 0.6:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            mutate_structure(model, rng)
    text = write_json(model, rng)
    if 0.6 <= kind < 0.75:
        for _ in range(rng.choice([1, 1, 2])):
            text = mutate_text(text, rng)
    if rng.random() < 0.3:
        text += " " * (-len(text) % 8)
    blob = pack(text, bytes(size))
    return mutate_bytes(blob, rng) if 0.75 <= kind < 0.98 else blob


def has_duplicate(blob):
    """Whether the header has a name, or a key of its __metadata__, twice."""
    length = struct.unpack("<Q", blob[:8])[0]

    def seen(pairs):
        return Pairs(pairs)
    top = json.loads(blob[8:8 + length].decode(), object_pairs_hook=seen)
    lists = [top] + [v for k, v in top.pairs if k == "__metadata__" and isinstance(v, Pairs)]
    return any(len({k for k, _ in p.pairs}) < len(p.pairs) for p in lists)


def package_verdict(deserialize, error_type, blob):
    try:
        return sorted(deserialize(blob), key=lambda item: item[0]), ""
    except error_type as error:
        return None, str(error)


def same_tensors(ours, theirs, blob):
    seen = []
    for word in ours.split()[1:]:
        name, dtype, shape, begin, end = word.split(":")
        seen.append((bytes.fromhex(name).decode(), dtype, [int(d) for d in shape.split(",") if d], blob[int(begin):int(end)]))
    expected = [(name, info["dtype"], list(info["shape"]), bytes(info["data"])) for name, info in theirs]
    return sorted(seen) == sorted(expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verdict_program")
    parser.add_argument("--count", type=int, default=120_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:
        print("skipped: the Python package safetensors is not installed")
        return 77

    rng = random.Random(options.seed)
    passed = failed = accepted = duplicates = 0
    while passed + failed < options.count:
        blobs = [candidate(rng) for _ in range(min(10_000, options.count - passed - failed))]
        stream = b"".join(struct.pack("<I", len(b)) + b for b in blobs)
        done = subprocess.run([options.verdict_program], input=stream, stdout=subprocess.PIPE, check=True)
        lines = done.stdout.decode("utf-8", "replace").split("\n")[:-1]
        if len(lines) != len(blobs):
            print(f"{len(blobs)} candidates, {len(lines)} answers")
            return 1
        for blob, line in zip(blobs, lines):
            theirs, their_error = package_verdict(deserialize, SafetensorError, blob)
            if line.startswith("ok"):
                good = theirs is not None and same_tensors(line, theirs, blob)
                accepted += good
            else:
                good = theirs is None
                if not good and "twice" in line:
                    good = has_duplicate(blob)
                    duplicates += good
            passed += good
            failed += not good
            if not good and failed <= 20:
                print(f"file    {blob!r}\n  ours    {line}\n  package {'accepts' if theirs is not None else their_error}")
    print(f"accepted by both {accepted}, refused by both {passed - accepted - duplicates}, "
          f"duplicate keys refused by us alone {duplicates}")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
