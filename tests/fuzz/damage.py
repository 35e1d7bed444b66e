"""Ways to damage a file, a JSON value or a setting, each a pure function of a random.Random."""

import json
import math

DEEP = 50_000  # brackets; Python's own parser gives up at a thousandth of them
STRANGE = (
    None,
    True,
    -1,
    0,
    1,
    10**9,
    10**30,
    1.5,
    -1e-300,
    math.nan,
    math.inf,
    "",
    "x",
    "32",
    "../../../etc/passwd",
    "\x00",
    "é\u2028\ud7ff",
    [],
    {},
    [[]],
    {"a": 1},
    "n" * 100_000,
)


def damaged_bytes(random, content):
    """`content` with bits flipped, bytes lost, doubled, or put in; or all of it replaced."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 10))):
        at = random.randrange(len(data)) if data else 0
        length = min(random.choice((1, 4, 8, 100, 10_000)), len(data))
        how = random.choice(("flip", "flip", "cut off", "leave out", "put in", "zero", "double", "replace"))
        if how == "flip" and data:
            data[at] ^= 1 << random.randrange(8)
        elif how == "cut off":
            del data[at:]
        elif how == "leave out":
            del data[at : at + length]
        elif how == "put in":
            data[at:at] = random.randbytes(length or 1)
        elif how == "zero":
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif how == "double":
            data[at:at] = data[at : at + length]
        elif how == "replace":
            data[:] = random.choice((b"", b"\n", b"\x00" * 1000, random.randbytes(1000), b"PK\x03\x04", b"\xff\xfe"))
    return bytes(data)


def damaged_json(random, content):
    """JSON text with a value or key exchanged or taken away, or nested as no parser goes; now and then its bytes."""
    how = random.random()
    if how < 0.1:
        return damaged_bytes(random, content)
    if how < 0.15:
        return (b"[" if random.random() < 0.5 else b'{"a":') * DEEP
    tree = {"top": json.loads(content)}
    holder, key = random.choice(list(places(tree)))
    if how < 0.3 and holder is not tree:
        del holder[key]
    elif how < 0.4 and isinstance(holder, dict) and holder is not tree:
        holder[random.choice(("", "x", "step", "params"))] = holder.pop(key)
    else:
        holder[key] = strange_like(random, holder[key])
    return json.dumps(tree["top"]).encode("utf-8", "surrogatepass")


def places(tree):
    """(holder, key) of each value in nested dicts and lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items):
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from places(value)


def strange_like(random, value):
    """Another value: near to this one, of the same type, or of any."""
    near = random.random()
    if near < 0.3 and isinstance(value, int) and not isinstance(value, bool):
        return value + random.choice((-1, 1, -2 * value, 7))
    if near < 0.2 and isinstance(value, str):
        return str(damaged_bytes(random, value.encode()), "latin-1")
    if near < 0.1 and isinstance(value, list):
        return value * 2
    return random.choice(STRANGE)


def damaged_text(random, text):
    """Bytes of a text file with what text files of the world have in them."""
    content = text.encode()
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(content) + 1)
        content = content[:at] + random.choice(SURPRISES)(random) + content[at:]
    if random.random() < 0.2:
        content = damaged_bytes(random, content)
    return content


SURPRISES = (
    lambda random: random.randbytes(random.choice((1, 3, 1000))),
    lambda random: random.choice(
        (b"\0", b"\x1b[31m", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b"\r", b"\r\n\r\n")
    ),
    lambda random: random.choice((b"a", b"[", b"{", b"((", b"<", b"{{", b"]]")) * random.choice((201, 20_000)),
    lambda random: b"\n" * random.choice((1, 2, 100_000)),
    lambda random: " ".join(chr(random.randrange(0x20, 0xD800)) for _ in range(200)).encode(),
    lambda random: b"{{convert|3|to|5|km}} [[File:a|b]] <ref name='a'>" * random.choice((1, 500)),
    lambda random: b'{"text": "a"}\n{"text": 3}\n{"a":' * random.choice((1, 50)),
    lambda random: b"[MASK] [CLS] ##a [PAD] " * 50,
    lambda random: "\u0915\u093e\u0301\u200d\U0001f469".encode() * 300,
)
