"""Laws of what a compiled step costs, on the compiler's text of a small step whose costs are known.

`tiny_program.txt` is this step compiled by libtpu for four chips: a convolution of (8, 16, 16, 128) by 3x3x128x128 and the gradient of its
kernel in `update_generator`, a product of 128x128 matrices in every fourth step, 30 more in a loop, and an average. Layouts of arrays in
memory on the chip have S(1).
"""
import pathlib

import pytest

from oasis_jax.planning.arithmetic import flops
from oasis_jax.planning.costs import COPIES, ELEMENTWISE, PRODUCTS, SUMS, costs
from oasis_jax.planning.hlo import arrays, parse
from oasis_jax.planning.machines import CHIPS
from oasis_jax.planning.parts import REST, part_of, parts
from oasis_jax.planning.roofline import bound, collectives, shares, traffic_by_kind

CONVOLUTION = 2 * (2 * 46**2) * 128 * 128  # along an axis of 16, 46 of 48 pairs of tap and pixel are in the image; two images per chip
PRODUCT = 2 * 128**3
KERNEL, IMAGE, MATRIX = 4 * 9 * 128 * 128, 4 * 2 * 16 * 16 * 128, 4 * 128 * 128


@pytest.fixture(scope="module")
def program():
    with (pathlib.Path(__file__).parent / "tiny_program.txt").open() as lines:
        return parse(lines)


@pytest.fixture(scope="module")
def found(program):
    return costs(program)


def instruction(text):
    program = parse(["ENTRY %main (x: f32[1]) -> f32[1] {", f"  ROOT %x = {text}", "}"])
    return program.computations["main"]["x"]


def test_each_part_has_the_arithmetic_of_its_convolutions_and_products(found):
    counted = {part.name: part.flops for part in parts(found) if part.flops}
    assert counted == {
        "G update: G forward": CONVOLUTION,
        "G update: G backward": CONVOLUTION,
        REST: PRODUCT / 4,  # once in four steps
        "D forward": 30 * PRODUCT,
    }


def test_traffic_is_what_crosses_the_border_of_the_chip(found):
    # In: kernel and image for the convolution, both again for gradient and average, the matrix. Out: the average and the matrix.
    expected = 2 * KERNEL + 2 * IMAGE + MATRIX + KERNEL + MATRIX
    assert sum(cost.traffic for cost in found) == pytest.approx(expected, abs=1000)  # and some scalars
    assert {part.name for part in parts(found) if part.traffic > 1000} >= {"G update: G forward", "optimizer and average"}


def test_traffic_is_told_apart_by_what_causes_it():
    """A product of (7, 8) and (8, 9), its double, two copies of that and the sum of its 7 rows: fused or not, each counts as its kind."""
    double = ["%double (p: f32[7,9]) -> f32[7,9] {", "  %p = f32[7,9] parameter(0)", "  ROOT %twice = f32[7,9] add(%p, %p)", "}"]
    total = ["%total (q: f32[7,9]) -> f32[9] {", "  %q = f32[7,9] parameter(0)", "  %z = f32[] constant(0)"]
    total += ["  ROOT %sum = f32[9] reduce(%q, %z), dimensions={0}, to_apply=%adder", "}"]
    moved = ["%moved (r: f32[7,9]) -> f32[9,7] {", "  %r = f32[7,9] parameter(0)", "  ROOT %turned = f32[9,7] transpose(%r)", "}"]
    entry = ["ENTRY %main (a: f32[7,8], b: f32[8,9]) -> f32[9] {", "  %a = f32[7,8] parameter(0)", "  %b = f32[8,9] parameter(1)"]
    entry += ["  %ab = f32[7,9] dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}"]
    entry += ["  %two = f32[7,9] fusion(%ab), kind=kLoop, calls=%double", "  %other = f32[9,7] fusion(%two), kind=kLoop, calls=%moved"]
    entry += ["  %back = f32[9,7] copy(%other)", "  ROOT %rows = f32[9] fusion(%two), kind=kInput, calls=%total", "}"]
    found = {kind: moved for kind, moved, _ in traffic_by_kind(costs(parse(double + total + moved + entry)))}
    assert found == {PRODUCTS: 4 * (56 + 72 + 63), ELEMENTWISE: 8 * 63, COPIES: 16 * 63, SUMS: 4 * (63 + 9)}


def test_the_gradient_is_summed_over_the_chips_once(found):
    (one,) = collectives(found)
    assert (one.kind, one.count, one.total, one.largest) == ("all-reduce", 1, KERNEL, KERNEL)


def test_the_bound_is_the_longer_of_arithmetic_and_traffic(found):
    chip = CHIPS["v5e"]
    least = bound(found, chip)
    assert least.compute == pytest.approx((2 * CONVOLUTION + 30.25 * PRODUCT) / 197e12)
    assert least.memory == pytest.approx(least.traffic / 819e9)
    assert least.seconds == max(least.compute, least.memory)
    assert least.limit == ("arithmetic" if least.compute > least.memory else "memory traffic")


def test_shares_add_up_to_one(found):
    assert sum(share for _, share, _ in shares(found)) == pytest.approx(1)
    assert sum(share for _, _, share in shares(found)) == pytest.approx(1)


def test_a_branch_without_an_interval_counts_as_the_cheaper_one(program):
    body = program.computations[program.entry]
    body = {name: one for name, one in body.items() if one.opcode != "conditional"} | {
        name: instruction(f"{one.type} conditional({one.arguments}), {one.attributes.lstrip(', ').replace('every_4/', '')}")
        for name, one in body.items()
        if one.opcode == "conditional"
    }
    changed = type(program)(program.computations | {program.entry: body}, program.entry)
    assert sum(cost.flops for cost in costs(changed)) == 2 * CONVOLUTION + 30 * PRODUCT


def test_an_element_of_a_tuple_may_be_named_by_its_number_alone():
    pair = "%pair = ((f32[7]{0:T(8,128)}, s32[]), /*index=1*/f32[7,8]{1,0}) custom-call(), custom_call_target=\"f\""
    product = "ROOT %product = f32[7,9]{{1,0}} dot(%{left}, %right), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}"

    def read(*lines):
        right = "%right = f32[8,9]{1,0} custom-call(), custom_call_target=\"f\""
        return costs(parse(["ENTRY %main () -> f32[7,9] {", f"  {pair}", f"  {right}", *lines, "}"]))

    short = read("  " + product.format(left="pair#1"))
    spelled_out = read("  %left = f32[7,8]{1,0} get-tuple-element(%pair), index=1", "  " + product.format(left="left"))
    assert short == spelled_out
    assert sum(cost.flops for cost in short) == 2 * 7 * 8 * 9
    nested = parse(["ENTRY %main () -> f32[7] {", f"  {pair}", "  ROOT %copy = f32[7]{0} copy(%pair#0#0)", "}"])
    assert nested.computations["main"]["pair#0#0"].results[0].dims == (7,)


@pytest.mark.parametrize(
    "text, operands, expected",
    [
        # A strided convolution; its transpose, whose input is dilated; one in two groups; a matrix product.
        (
            "f32[1,4,4,6] convolution(%a, %b), window={size=2x2 stride=2x2}, dim_labels=b01f_01io->b01f",
            "f32[1,8,8,5] f32[2,2,5,6]",
            64 * 30,
        ),
        (
            "f32[1,8,8,5] convolution(%a, %b), window={size=2x2 pad=1_1x1_1 lhs_dilate=2x2}, dim_labels=b01f_01oi->b01f",
            "f32[1,4,4,6] f32[2,2,5,6]",
            64 * 30,
        ),
        (
            "f32[3,4,4,6] convolution(%a, %b), window={size=1x1}, dim_labels=b01f_01io->b01f, feature_group_count=2",
            "f32[3,4,4,8] f32[1,1,4,6]",
            48 * 24,
        ),
        ("f32[7,9] dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}", "f32[7,8] f32[8,9]", 7 * 8 * 9),
        # The same as calls of NVIDIA's libraries; for gradients, dim_labels and window are those of the forward convolution.
        (
            '(bf16[1,4,4,6], u8[0]) custom-call(%a, %b), window={size=2x2 stride=2x2}, dim_labels=b01f_o01i->b01f, '
            'custom_call_target="__cudnn$convBiasActivationForward"',
            "bf16[1,8,8,5] bf16[6,2,2,5]",
            64 * 30,
        ),
        (
            '(bf16[6,2,2,5], u8[0]) custom-call(%a, %b), window={size=2x2 stride=2x2}, dim_labels=b01f_o01i->b01f, '
            'custom_call_target="__cudnn$convBackwardFilter"',
            "bf16[1,8,8,5] bf16[1,4,4,6]",
            64 * 30,
        ),
        (
            '(bf16[1,8,8,5], u8[0]) custom-call(%a, %b), window={size=2x2 stride=2x2}, dim_labels=b01f_o01i->b01f, '
            'custom_call_target="__cudnn$convBackwardInput"',
            "bf16[1,4,4,6] bf16[6,2,2,5]",
            64 * 30,
        ),
        (
            '(f32[7,9], s8[0]) custom-call(%a, %b), custom_call_target="__cublas$gemm", '
            'backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}}}',
            "f32[7,8] f32[8,9]",
            7 * 8 * 9,
        ),
        ("f32[7,9] add(%a, %b)", "f32[7,9] f32[7,9]", 0),
    ],
)
def test_arithmetic_by_definition(text, operands, expected):
    assert flops(instruction(text), arrays(operands)) == 2 * expected


def test_arrays_are_held_with_the_padding_of_their_tiles():
    (held,) = arrays("bf16[2,3,5,130]{3,0,2,1:T(8,128)(2,1)}")
    assert (held.size, held.held, held.on_chip) == (2 * 3 * 5 * 130 * 2, 8 * 3 * 5 * 256 * 2, False)
    assert [array.on_chip for array in arrays("(f32[4]{0:T(128)S(1)}, token[], s32[])")] == [True, False]


@pytest.mark.parametrize(
    "op_name, expected",
    [
        ("jit(f)/update_generator/jvp(Generator)/block_0/conv", "G update: G forward"),
        ("jit(f)/update_generator/transpose(jvp(Discriminator.trunk))/b0/mul", "G update: D backward"),
        ("jit(f)/update_discriminator/Generator.synthesise/b0/mul", "D update: G forward"),
        ("jit(f)/update_discriminator/jvp(Discriminator)/checkpoint/rematted_computation/conv", "D update: D backward"),
        ("jit(f)/every_16/cond/branch_1_fun/regularise_discriminator/jvp(transpose(jvp(Discriminator)))/x", "D regularisation: D backward"),
        ("jit(f)/update_generator/optimizer/mul", "optimizer and average"),
        ("jit(f)/average/add", "optimizer and average"),
        ("jit(f)/update_generator/jvp(Generator)/block_0/spade/average_pool", "G update: G forward"),
        ("jit(f)/Discriminator/conv", "D forward"),
        ("jit(f)/jit(_normal)/add", REST),
        ("", REST),
    ],
)
def test_parts_are_told_from_scopes(op_name, expected):
    assert part_of(op_name) == expected


def test_a_text_without_a_program_is_an_error():
    with pytest.raises(ValueError, match="not an XLA program"):
        parse(["HloModule x"])
