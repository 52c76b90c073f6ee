"""The costs of a program's instructions on one chip: arithmetic, memory traffic, and bytes sent to other chips."""
import collections
import dataclasses
import re

from oasis_jax.planning.arithmetic import flops
from oasis_jax.planning.hlo import Instruction, Program
from oasis_jax.updates import INTERVAL

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute", "all-to-all", "ragged-all-to-all")
# Instructions that move no bytes, or whose bytes are counted for another instruction.
FREE = {
    "after-all", "async-done", "async-update", "bitcast", "constant", "copy-done", "get-tuple-element", "iota", "opt-barrier", "parameter",
    "partition-id", "replica-id", "tuple", *(f"{name}-done" for name in COLLECTIVES),
}
# Instructions that only move values: a fusion of nothing else is a copy, or a prefetch for another instruction.
MOVES = FREE | {
    "async-start", "broadcast", "concatenate", "copy", "copy-start", "dynamic-slice", "dynamic-update-slice", "fusion", "gather", "pad",
    "reshape", "reverse", "slice", "transpose",
}
PRODUCTS, SUMS, COPIES, ELEMENTWISE = "convolutions, products", "sums", "copies, prefetches", "elementwise"  # kinds of instructions
FREE_TARGETS = re.compile(r'custom_call_target="\w*(ConcatBitcast|SliceBitcast|AllocateBuffer)')


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of an instruction in an average step.

    Attributes:
        op_name: path of scopes of the instruction, or of its nearest neighbour that has one.
        flops: operations of convolutions and matrix products.
        traffic: bytes read from and written to the chip's main memory.
        times: how often it runs in an average step.
        sent: {kind of collective: bytes of its result}, each time it runs.
        kind: PRODUCTS, SUMS, COPIES, ELEMENTWISE or a kind of collective. A fusion with a product or a sum is of that kind.
    """

    op_name: str
    flops: float
    traffic: float
    times: float
    sent: dict[str, float]
    kind: str = ELEMENTWISE


def costs(program: Program) -> list[Cost]:
    """The Costs of a program's instructions in an average step; loops and branches are resolved."""
    return list(_Walk(program).computation(program.entry, 1.0))


class _Walk:
    def __init__(self, program):
        self.computations = program.computations
        self.users = {}

    def computation(self, name, times):
        """The Costs of a computation that runs `times` times in a step."""
        body = self.computations[name]
        for instruction in body.values():
            if instruction.opcode == "while":
                yield from self.computation(instruction.called("body")[0], times * self.trips(instruction))
            elif instruction.opcode == "conditional":
                yield from self.branches(instruction, times)
            elif instruction.opcode == "call":
                yield from self.computation(instruction.called("to_apply")[0], times)
            else:
                counted, sent = self.flops(instruction, body), self.sent(instruction)
                moved = 0 if counts_nothing(instruction) else self.traffic(instruction, body)
                if counted or sent or moved:
                    purpose, kind = self.purpose(instruction, name), self.kind(instruction, counted, sent)
                    yield Cost(purpose, times * counted, times * moved, times, sent, kind)

    def trips(self, loop):
        """Trip count of a loop: the compiler's own count, or the limit of its counter, which starts at 0; 1 if neither is known."""
        if count := re.search(r'known_trip_count"?:{"n":"(\d+)"', loop.attributes):
            return int(count[1])
        condition = self.computations[loop.called("condition")[0]]
        compared = next((part for part in condition.values() if part.root and "direction=LT" in part.attributes), None)
        limit = condition.get(compared.operands[-1]) if compared else None
        return int(limit.arguments) if limit is not None and limit.arguments.isdecimal() and limit.opcode == "constant" else 1

    def branches(self, instruction, times):
        """Costs of the most expensive branch as often as the scope says, else of the cheapest; without such a scope, of the cheapest."""
        called = [instruction.called(name) for name in ("branch_computations", "false_computation", "true_computation")]
        names = called[0] or called[1] + called[2]
        ordered = sorted((list(self.computation(name, 1.0)) for name in names), key=lambda found: sum(c.traffic + c.flops for c in found))
        interval = re.search(rf"{INTERVAL}(\d+)", instruction.op_name)
        often = 1 / int(interval[1]) if interval else 0.0
        for found, share in ((ordered[0], 1 - often), (ordered[-1], often)):
            for cost in found if share else ():
                factor = times * share
                scaled = {field: factor * getattr(cost, field) for field in ("flops", "traffic", "times")}
                yield dataclasses.replace(cost, **scaled)

    def flops(self, instruction, body):
        """Arithmetic of an instruction, including the instructions that it fuses."""
        inner = self.fused(instruction)
        if inner is not None:
            return sum(self.flops(part, inner) for part in inner.values())
        operands = [body[name].results[0] for name in instruction.operands if name in body and body[name].results]
        return flops(instruction, operands)

    def sent(self, instruction):
        """{kind of collective: bytes} of an instruction, including the instructions that it fuses."""
        inner, found = self.fused(instruction), collections.Counter()
        for part in inner.values() if inner is not None else ():
            found.update(self.sent(part))
        kind = instruction.opcode.removesuffix("-start")
        if kind in COLLECTIVES:
            found[kind] += _result_bytes(instruction)
        return dict(found)

    def kind(self, instruction, counted, sent):
        """The `Cost.kind` of an instruction with `counted` operations that sends `sent`."""
        if counted or sent:
            return PRODUCTS if counted else next(iter(sent))
        opcodes = self.opcodes(instruction)
        if opcodes & {"reduce", "reduce-window"}:
            return SUMS
        return COPIES if opcodes <= MOVES else ELEMENTWISE

    def opcodes(self, instruction):
        """The opcodes of an instruction and of all that it fuses."""
        inner = self.fused(instruction) or {}
        return {instruction.opcode}.union(*map(self.opcodes, inner.values()))

    def fused(self, instruction):
        """The computation that a fusion or an asynchronous instruction runs; None for other instructions."""
        called = instruction.called("calls") if instruction.opcode in ("fusion", "async-start") else ()
        return self.computations.get(called[0]) if called else None

    def traffic(self, instruction, body):
        """Bytes that an instruction reads from and writes to the chip's main memory."""
        if instruction.opcode == "copy-start":
            destination, source = instruction.results[:2]
            return _held([source, destination])
        inner = self.fused(instruction)
        if instruction.opcode == "async-start":  # of a slice: as many bytes are read as are written
            result, source = instruction.results[len(instruction.operands)], body[instruction.operands[0]].results
            return result.held * ((not source[0].on_chip) + (not result.on_chip)) if source else 0
        read = 0
        for place, name in enumerate(instruction.operands):
            of_operand = body[name].results if name in body and body[name].opcode != "tuple" else ()
            for array in of_operand[:1]:
                read += 0 if array.on_chip else array.held * (_share_read(inner, place, array) if inner else 1)
        return read + _held(_written(instruction, inner))

    def purpose(self, instruction, name):
        """The op_name of an instruction; if the compiler has added it, that of its nearest user or else nearest operand."""
        body = self.computations[name]
        if name not in self.users:
            users = self.users[name] = collections.defaultdict(list)
            for other in body.values():
                for operand in other.operands:
                    users[operand].append(other)
        users = self.users[name]
        return (
            scoped(instruction)
            or _nearest(instruction, lambda one: users[one.name])
            or _nearest(instruction, lambda one: [body[operand] for operand in one.operands if operand in body])
        )


def counts_nothing(instruction: Instruction) -> bool:
    """Returns whether an instruction moves no bytes, or only bytes that are counted for another instruction."""
    return instruction.opcode in FREE or (instruction.opcode == "custom-call" and bool(FREE_TARGETS.search(instruction.attributes)))


def scoped(instruction):
    """The op_name of an instruction if it is a path of scopes; the op_name of an argument is not a path."""
    return instruction.op_name if "/" in instruction.op_name else ""


def _nearest(instruction, neighbours, reach=6):
    seen, edge = {instruction.name}, [instruction]
    for _ in range(reach):
        edge = [other for one in edge for other in neighbours(one) if other.name not in seen]
        seen |= {other.name for other in edge}
        for other in edge:
            if scoped(other):
                return other.op_name
    return ""


def _held(arrays):
    return sum(array.held for array in arrays if not array.on_chip)


def _result_bytes(instruction):
    results = instruction.results
    if instruction.opcode in ("all-gather-start", "collective-permute-start"):  # (operands, results, flags)
        count = len(instruction.operands)
        results = results[count : 2 * count]
    return sum(array.size for array in results)


def _share_read(inner, place, array):
    """The share of an operand that a fusion reads: 1, less if it only slices the operand, 0 if it only updates it in place."""
    parameter = next((p for p in inner.values() if p.opcode == "parameter" and p.arguments.strip() == str(place)), None)
    if parameter is None:
        return 1
    aliases, readers = {parameter.name}, []
    for part in inner.values():  # in order: an alias comes before its readers
        if aliases & set(part.operands):
            if part.opcode == "bitcast":
                aliases.add(part.name)
            else:
                readers.append(part)
    if readers and all(part.opcode in ("slice", "dynamic-slice", "gather") for part in readers):
        return min(1, sum(part.results[0].size for part in readers) / max(array.size, 1))
    if readers and all(part.opcode == "dynamic-update-slice" and part.operands[0] in aliases for part in readers):
        return 0  # it is written in place
    return 1


def _written(instruction, inner):
    """The Arrays that an instruction writes; for an update in place, only the updated part."""
    body = inner or {instruction.name: instruction}
    root = next((part for part in body.values() if part.root), None) if inner else instruction
    if root is not None and root.opcode == "dynamic-update-slice" and len(root.operands) > 1 and root.operands[1] in body:
        return () if instruction.results[0].on_chip else body[root.operands[1]].results
    return instruction.results
