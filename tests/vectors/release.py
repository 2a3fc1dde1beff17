#!/usr/bin/env python3
"""Writes release.json from docs/certificates.md alone: hashlib, no code of the project.

    python3 release.py            prints the vectors
    python3 release.py --check    compares them with release.json beside this file, exit code 1 if they differ
    python3 release.py --write    writes release.json
"""

import hashlib
import json
import pathlib
import sys


def u8(n): return n.to_bytes(1, "big")
def u16(n): return n.to_bytes(2, "big")
def u32(n): return n.to_bytes(4, "big")
def u64(n): return n.to_bytes(8, "big")
def hexed(b): return "0x" + b.hex()


def H(tag, *items):
    framed = b"".join(u32(len(x)) + x for x in (b"FAIRVEIL-V1-" + tag.encode(), *items))
    return hashlib.sha256(framed).digest()


def sample(name, n=32):
    """Reproducible bytes for ids and transactions."""
    return hashlib.shake_256(name.encode()).digest(n)


# ---- failed codes -------------------------------------------------------------------------------

CODES = ["aead", "rho", "length", "padding", "encoding", "legs", "nonce_used", "unfunded",
         "unknown_rollup", "rollup_paused", "leg_invalid", "leg_failed", "state_unavailable", "capacity"]
INVALID = ["size", "type", "encoding", "unprotected", "chain_id", "nonce", "fee", "gas_limit", "init_code",
           "intrinsic_gas", "authorization", "high_s", "signature", "nonce_too_low", "nonce_too_high", "balance",
           "base_fee", "sender_is_contract", "refused"]
FAULT = ["reverted", "halted"]


def failed_bytes(failed):
    if isinstance(failed, str):
        return u8(CODES.index(failed) + 1)
    (code, fields), = failed.items()
    number = u8(CODES.index(code) + 1)
    if "rollup" in fields:
        return number + u64(fields["rollup"])
    whys = INVALID if code == "leg_invalid" else FAULT
    return number + u16(fields["leg"]) + u16(fields["tx"]) + u8(whys.index(fields["why"]) + 1)


def every_failed():
    yield from CODES[:8]
    for code in ("unknown_rollup", "rollup_paused", "state_unavailable", "capacity"):
        yield {code: {"rollup": 0x0102030405060708}}
    for why in INVALID:
        yield {"leg_invalid": {"leg": 1, "tx": 258, "why": why}}
    for why in FAULT:
        yield {"leg_failed": {"leg": 65535, "tx": 0, "why": why}}


# ---- tree ---------------------------------------------------------------------------------------

def leg_digest(chain_id, transactions):
    return H("RELEASE-LEG", u64(chain_id), *transactions)


def position(height, index):
    return u64(height) + u32(index)


WITH_LEGS = ("released", "released execute", "carried", "carried execute")


def outcome_bytes(outcome):
    if outcome == "expired":
        return b"\x03"
    if outcome in ("carried", "carried execute"):
        return b"\x04" + u8(outcome != "carried")
    if "failed" in outcome:
        return b"\x02" + failed_bytes(outcome["failed"])
    return b"\x01" + u8(outcome != "released")


def leaf_node(leaf, namespaces):
    legs, released = leaf["legs"], str(leaf["outcome"]).startswith("released")
    items = [u64(chain) + (u64(block[0]) + u64(block[1]) if released else b"") + leg_digest(chain, txs)
             for chain, txs, block in legs]
    digest = H("RELEASE-LEAF", leaf["id"], position(*leaf["position"]), outcome_bytes(leaf["outcome"]), *items)
    return digest, sum(1 << namespaces.index(chain) for chain, _, _ in legs) if released else 0


def above(left, right):
    return H("RELEASE-NODE", left[0], u64(left[1]), right[0], u64(right[1])), left[1] | right[1]


def levels_of(nodes):
    levels = [nodes]
    while len(levels[-1]) > 1:
        level = levels[-1]
        pairs = [level[i:i + 2] for i in range(0, len(level), 2)]
        levels.append([above(*pair) if len(pair) == 2 else pair[0] for pair in pairs])
    return levels


def top_of(levels):
    return levels[-1][0] if levels[-1] else (H("RELEASE-EMPTY"), 0)


def tree_root(count, top, namespaces):
    return H("RELEASE-TREE", u32(count), top[0], u64(top[1]), b"".join(map(u64, namespaces)))


def path_of(levels, index):
    path = []
    for level in levels:
        if (index ^ 1) < len(level):
            path.append(level[index ^ 1])
        index //= 2
    return path


def batch_parts(levels, leaves, bit):
    def walk(level, index):
        if level > 0 and 2 * index + 1 >= len(levels[level - 1]):
            return walk(level - 1, 2 * index)
        node = levels[level][index]
        if not node[1] & bit:
            return [{"outside": node_json(node)}]
        if level == 0:
            return [{"leaf": leaf_json(leaves[index])}]
        return ["inside"] + walk(level - 1, 2 * index) + walk(level - 1, 2 * index + 1)
    if not leaves:
        return [{"outside": node_json(top_of(levels))}]
    return walk(len(levels) - 1, 0)


def node_json(node):
    return {"digest": hexed(node[0]), "namespaces": node[1]}


def leaf_json(leaf):
    outcome = leaf["outcome"]
    if outcome in WITH_LEGS:
        legs = [{"chain_id": chain, "digest": hexed(leg_digest(chain, txs))} for chain, txs, _ in leaf["legs"]]
        code, policy = outcome.split()[0], "execute" if outcome.endswith("execute") else "include"
        if code == "released":
            for leg, (_, _, block) in zip(legs, leaf["legs"]):
                leg["block"] = {"number": block[0], "time_ms": block[1]}
        outcome = {code: {"policy": policy, "legs": legs}}
    height, index = leaf["position"]
    return {"id": hexed(leaf["id"]), "position": {"height": height, "index": index}, "outcome": outcome}


NAMESPACES = [10, 901, 902, 903, 2**40 + 7]


def make_leaves(count, seed):
    """Leaves of every outcome; the first few waited since height 6."""
    outcomes = ["released", {"failed": "aead"}, "released", "expired", "released execute", "carried", "carried execute",
                {"failed": {"leg_invalid": {"leg": 0, "tx": 3, "why": "high_s"}}}, "released",
                {"failed": {"capacity": {"rollup": 902}}}]
    chains = [[901], [901, 902], [10, 903, 2**40 + 7], NAMESPACES, [902]]
    leaves, released = [], 0
    for i in range(count):
        outcome, legs = outcomes[i % len(outcomes)], []
        if outcome in WITH_LEGS:
            for chain in chains[released % len(chains)]:
                txs = [sample(f"{seed} tx {i} {chain} {k}", 3 + 40 * k) for k in range(1 + (i + chain) % 3)]
                legs.append((chain, txs, (chain % 1000 + i, 1_700_000_000_000 + 250 * i)))
            released += 1
        place = (6, 40 + i) if i < 2 else (7, i - 2)
        leaves.append({"id": sample(f"{seed} id {i}"), "position": place, "outcome": outcome, "legs": legs})
    return leaves


def tree_case(count):
    leaves = make_leaves(count, f"tree {count}")
    nodes = [leaf_node(leaf, NAMESPACES) for leaf in leaves]
    levels = levels_of(nodes)
    top = top_of(levels)
    return {
        "namespaces": NAMESPACES,
        "leaves": [{
            "leaf": leaf_json(leaf),
            "legs": [{"chain_id": chain, "transactions": [hexed(tx) for tx in txs],
                      "digest": hexed(leg_digest(chain, txs))} for chain, txs, _ in leaf["legs"]],
            "outcome_bytes": hexed(outcome_bytes(leaf["outcome"])),
            "node": node_json(node),
            "path": [node_json(n) for n in path_of(levels, i)],
        } for i, (leaf, node) in enumerate(zip(leaves, nodes))],
        "top": node_json(top),
        "root": hexed(tree_root(count, top, NAMESPACES)),
        "batch_parts": [{"chain_id": chain, "parts": batch_parts(levels, leaves, 1 << bit)}
                        for bit, chain in enumerate(NAMESPACES)],
    }


# ---- release root, blocks -----------------------------------------------------------------------

def source_bytes(state):
    if not state:
        return b""
    kind, *fields = state
    if kind == "embedded":
        return u8(1) + fields[0] + u64(fields[1])
    return u8(2) + b"".join(map(u64, fields))


def source_json(state):
    if not state:
        return None
    kind, *fields = state
    if kind == "embedded":
        return {kind: {"genesis": hexed(fields[0]), "base_fee": fields[1]}}
    return {kind: dict(zip(("max_age_ms", "elasticity", "denominator"), fields))}


def registry_cases():
    def case(*rollups):
        items, shown = [], []
        for chain, name, times, gas, size, set_code, paused, state in rollups:
            items += [u64(chain), name.encode(), u64(gas), u64(size), u8(set_code) + u8(paused),
                      b"".join(map(u64, times)) if times else b"", source_bytes(state)]
            shown.append({
                "chain_id": chain, "name": name,
                "blocks": times and {"genesis_ms": times[0], "interval_ms": times[1]},
                "gas_limit": gas, "byte_limit": size, "allows_set_code": bool(set_code), "paused": bool(paused),
                "state": source_json(state),
            })
        return {"rollups": shown, "digest": hexed(H("REGISTRY", *items))}
    yield case((901, "one", None, 30_000_000, 2**20, 0, 0, None))
    yield case((10, "fast", (1_700_000_000_000, 250), 5, 6, 1, 0, ("embedded", sample("genesis 10"), 7)),
               (77, "shared", (1_600_000_000_000, 2_000), 9, 8, 0, 0, ("followed", 30_000, 6, 250)),
               (2**40 + 7, "slow", (1_600_000_000_000, 2_000), 2**63, 1, 0, 1, None))


def state_cases():
    for count in (0, 1, 3):
        states = {chain: sample(f"state {count} {chain}") for chain in (10, 901, 2**40 + 7)[:count]}
        digest = H("RELEASE-STATE", *(u64(chain) + state for chain, state in states.items()))
        yield {"states": {str(chain): hexed(state) for chain, state in states.items()}, "digest": hexed(digest)}


def anchor(chain, number):
    hashes = sample(f"hash {chain} {number}"), sample(f"state root {chain} {number}")
    numbers = 1_700_000_000 + number, 7 * number, 30_000_000, 21_000 * number
    digest = H("STATE-ANCHOR", u64(chain), u64(number), *hashes, *map(u64, numbers))
    names = ("timestamp_s", "base_fee", "gas_limit", "gas_used")
    shown = {"chain_id": chain, "number": number, "hash": hexed(hashes[0]), "state_root": hexed(hashes[1])}
    return {**shown, **dict(zip(names, numbers))}, digest


def view_cases():
    for views in ((), ((77, None),), ((10, 5), (77, None), (2**40 + 7, 2**33))):
        shown, items = [], []
        for chain, number in views:
            named, digest = anchor(chain, number) if number else (None, b"")
            shown.append({"chain_id": chain, "anchor": named})
            items.append(u64(chain) + digest)
        yield {"views": shown, "digest": hexed(H("RELEASE-VIEWS", *items))}


def root_cases():
    network = sample("network")
    genesis = H("RELEASE-GENESIS", network)
    previous = genesis
    for height in (1, 2, 2**33):
        block, tree, registry, state, views = (sample(f"{what} {height}") for what in ("block", "tree", "registry", "state", "views"))
        slot = {1: None, 2: 0, 2**33: 2**34 + 5}[height]
        time_ms = 1_700_000_000_000 + height
        root = H("RELEASE-ROOT", network, u64(height), block, u64(time_ms), previous,
                 b"" if slot is None else u64(slot), tree, registry, state, views)
        yield {
            "header": {"network_id": hexed(network), "height": height, "block": hexed(block), "time_ms": time_ms,
                       "previous": hexed(previous), "slot": slot, "tree_root": hexed(tree), "registry": hexed(registry),
                       "state_digest": hexed(state), "views": hexed(views)},
            "genesis": hexed(genesis), "root": hexed(root),
        }
        previous = root


def varint(n):
    out = b""
    while n >= 0x80:
        out += u8(n & 0x7f | 0x80)
        n >>= 7
    return out + u8(n)


PLACEMENTS = ["Open", "Expired", "NonceUsed", "Unfunded"]


def block_cases():
    network = sample("network")
    for number, (epoch, start, height, view, parent_view) in enumerate([(1, 0, 1, 1, 0), (3, 400, 500, 2**20, 2**14 - 1), (300, 2**62, 2**63, 2**64 - 1, 128)]):
        evidence, system, state = (sample(f"{what} digest {number}") for what in ("evidence", "system", "state"))
        releases = [(height // 2 + i, sample(f"release {number} {i}")) for i in range(2 * number)]
        body = H("BLOCK-BODY", evidence, b"".join(u64(h) + r for h, r in releases), system)
        cohorts = [[(sample(f"emitted {number} {c} {i}"), (c + i) % 4) for i in range(1 + c % 3)] for c in range(3 * number)]
        result = H("RESULT-ROOT", u64(height), state, *[b"".join(i + u8(p) for i, p in cohort) for cohort in cohorts])
        parent, leader = sample(f"parent {number}"), sample(f"leader {number}")
        time_ms = 1_700_000_000_000 + number
        block = H("BLOCK", u8(2), network, u64(epoch), u64(start), u64(height), parent, leader, u64(view), u64(parent_view),
                  u64(time_ms), result, body)
        namespace = b"FAIRVEIL-V1-CONSENSUS" + network + b"_FINALIZE"
        message = (varint(len(namespace)) + namespace + varint(epoch) + varint(view) + varint(parent_view) + block)
        yield {
            "evidence_digest": hexed(evidence), "system_digest": hexed(system), "state_digest": hexed(state),
            "releases": [{"height": h, "root": hexed(r)} for h, r in releases],
            "emission": {"height": height, "cohorts": [[{"id": hexed(i), "placement": PLACEMENTS[p]} for i, p in cohort]
                                                        for cohort in cohorts]},
            "header": {"version": 2, "network_id": hexed(network), "epoch": epoch, "epoch_start": start, "height": height,
                       "parent": hexed(parent), "leader": hexed(leader), "view": view, "parent_view": parent_view,
                       "time_ms": time_ms, "result_root": hexed(result), "body_digest": hexed(body)},
            "block": hexed(block), "finalize_message": hexed(message),
        }


def vectors():
    return {
        "about": [
            "Written by release.py from docs/certificates.md. Every value must match exactly.",
            "failed: the bytes of every failed code. trees: leaves with their nodes and bundle paths, and the parts of the batch proof of every namespace.",
            "registries, states, views, roots: registry digest; state digest; views digest; release root and first previous.",
            "blocks: body digest, result root, block digest and the bytes that a finalization signs.",
        ],
        "failed": [{"failed": failed, "bytes": hexed(failed_bytes(failed))} for failed in every_failed()],
        "trees": [tree_case(count) for count in (0, 1, 2, 3, 5, 8, 11, 21)],
        "registries": list(registry_cases()),
        "states": list(state_cases()),
        "views": list(view_cases()),
        "roots": list(root_cases()),
        "blocks": list(block_cases()),
    }


def main():
    text = json.dumps(vectors(), indent=1) + "\n"
    file = pathlib.Path(__file__).with_name("release.json")
    if sys.argv[1:] == ["--write"]:
        file.write_text(text)
    elif sys.argv[1:] == ["--check"]:
        if file.read_text() != text:
            sys.exit("release.json is not what this script writes")
        print("release.json: as written by this script")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
