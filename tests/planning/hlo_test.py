import jax
import jax.numpy as jnp
import pytest

from bert_jax.planning.hlo import Hlo, collective_bytes, group_size, kind_of_collective

# As the TPU compiler writes it, with the parts that nobody reads cut out.
TEXT = """\
HloModule jit_step, is_scheduled=true, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

%fused.1 (param_0: bf16[128,256], param_1: bf16[256,64]) -> bf16[128,64] {
  %param_0 = bf16[128,256]{1,0:T(8,128)(2,1)} parameter(0)
  %param_1 = bf16[256,64]{1,0:T(8,128)(2,1)} parameter(1)
  ROOT %convolution.1 = bf16[128,64]{1,0:T(8,128)(2,1)} convolution(%param_0, %param_1), dim_labels=bf_io->bf
}

%body.2 (arg: (s32[], bf16[128,256])) -> (s32[], bf16[128,256]) {
  %arg = (s32[]{:T(128)}, bf16[128,256]{1,0:T(8,128)(2,1)}) parameter(0)
  %get-tuple-element.1 = bf16[128,256]{1,0:T(8,128)(2,1)} get-tuple-element(%arg), index=1
  %fusion.1 = bf16[128,64]{1,0:T(8,128)(2,1)} fusion(%get-tuple-element.1, %get-tuple-element.1), kind=kOutput, \
calls=%fused.1, metadata={op_name="jit(step)/while/body/jvp(attention)/dot_general" stack_frame_id=3}, \
backend_config={"window_config":{"estimated_cycles":"100","iteration_bounds":["2"]}}
  ROOT %tuple.2 = (s32[]{:T(128)}, bf16[128,256]{1,0:T(8,128)(2,1)}) tuple(%add.1, %get-tuple-element.1)
}

%compare.fused (param_0.9: s32[]) -> pred[] {
  %param_0.9 = s32[]{:T(128)} parameter(0)
  %constant.9 = s32[]{:T(128)} constant(24)
  ROOT %compare.9 = pred[]{:T(512)} compare(%param_0.9, %constant.9), direction=LT
}

%condition.3 (arg.1: (s32[], bf16[128,256])) -> pred[] {
  %arg.1 = (s32[]{:T(128)}, bf16[128,256]{1,0:T(8,128)(2,1)}) parameter(0)
  %get-tuple-element.3 = s32[]{:T(128)} get-tuple-element(%arg.1), index=0
  ROOT %fusion.9 = pred[]{:T(512)} fusion(%get-tuple-element.3), kind=kLoop, calls=%compare.fused
}

%other_body (arg.2: (s32[])) -> (s32[]) {
  %arg.2 = (s32[]{:T(128)}) parameter(0)
  %copy.5 = bf16[4]{0} copy(%arg.2), backend_config={"window_config":{"estimated_cycles":"7"}}
  ROOT %tuple.5 = (s32[]{:T(128)}) tuple(%arg.2)
}

%short_branch (arg.7: (f32[8])) -> (f32[8]) {
  %arg.7 = (f32[8]{0}) parameter(0)
  ROOT %copy.7 = f32[8]{0} copy(%arg.7), backend_config={"window_config":{"estimated_cycles":"1"}}
}

%long_branch (arg.8: (f32[8])) -> (f32[8]) {
  %arg.8 = (f32[8]{0}) parameter(0)
  ROOT %copy.8 = f32[8]{0} copy(%arg.8), backend_config={"window_config":{"estimated_cycles":"5"}}
}

ENTRY %main.9_spmd (param: f32[8]) -> f32[8] {
  %param = f32[8]{0:T(128)} parameter(0)
  %while.1 = (s32[]{:T(128)}, /*index=1*/bf16[128,256]{1,0:T(8,128)(2,1)}) while(%tuple.1), \
condition=%condition.3, body=%body.2
  %while.2 = (s32[]{:T(128)}) while(%tuple.7), condition=%condition.3, body=%other_body, \
backend_config={"known_trip_count":{"n":"3"}}
  %all-reduce.1 = (bf16[512,1024]{1,0:T(8,128)(2,1)}, f32[]{:T(256)}) all-reduce(%a, %b), channel_id=1, \
replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%region_1
  %all-gather-start.1 = (f32[2]{0}, f32[16]{0}) all-gather-start(%param), replica_groups=[1,8]<=[8], dimensions={0}
  %reduce-scatter.1 = f32[2]{0} reduce-scatter(%param), \
replica_groups=mesh['a'=4,'b'=8] {'b'}, to_apply=%region_1
  %copy.1 = f32[8]{0} copy(%param), metadata={op_name="jit(step)/optimizer/mul"}, \
backend_config={"window_config":{"estimated_cycles":"11"}}
  %conditional.1 = (f32[8]{0}) conditional(%finite, %param, %param), branch_computations={%short_branch, %long_branch}
  %conditional.2 = (f32[8]{0}) conditional(%told, %param, %param), branch_computations={%long_branch, %short_branch}, \
metadata={op_name="jit(step)/optimizer/once_an_interval/cond"}
  %all-gather-done.1 = f32[16]{0} all-gather-done(%all-gather-start.1)
  ROOT %negate.1 = f32[8]{0} negate(%copy.1)
}
"""


@pytest.fixture
def runs():
    return {run.instruction.name: run for run in Hlo(TEXT).runs()}


def test_cycles_in_a_loop_count_as_often_as_it_turns(runs):
    assert (runs["fusion.1"].instruction.cycles, runs["fusion.1"].times) == (100, 24)
    assert (runs["copy.5"].instruction.cycles, runs["copy.5"].times) == (7, 3)
    assert (runs["copy.1"].instruction.cycles, runs["copy.1"].times) == (11, 1)


def test_the_order_is_the_schedules(runs):
    names = list(runs)
    assert names.index("fusion.1") < names.index("copy.5") < names.index("all-gather-start.1") < names.index("copy.1")


def test_of_branches_the_longest_counts(runs):
    assert "copy.8" in runs
    assert "copy.7" not in runs


def test_what_only_the_last_step_of_an_interval_runs_does_not_count():
    assert [run.instruction.name for run in Hlo(TEXT).runs()].count("copy.8") == 1


def test_what_is_fused_is_seen(runs):
    assert "convolution" in runs["fusion.1"].inside
    assert runs["fusion.1"].instruction.op_name == "jit(step)/while/body/jvp(attention)/dot_general"


@pytest.mark.parametrize(
    ("name", "kind", "size", "group"),
    [
        ("all-reduce.1", "all-reduce", 512 * 1024 * 2 + 4, 4),
        ("all-gather-start.1", "all-gather", 64, 8),
        ("reduce-scatter.1", "reduce-scatter", 8 * 8, 8),
        ("all-gather-done.1", None, 64, 0),
        ("copy.1", None, 32, 0),
    ],
)
def test_collectives_with_their_bytes(runs, name, kind, size, group):
    instruction = runs[name].instruction
    assert kind_of_collective(instruction.opcode) == kind
    assert (collective_bytes(instruction), group_size(instruction)) == (size, group)


def test_computations_with_memory_of_their_own():
    assert list(Hlo(TEXT).scheduled()) == ["main.9_spmd", "body.2", "other_body"]


def test_no_program_at_all():
    with pytest.raises(ValueError, match="ENTRY"):
        Hlo("this is no program")


@pytest.mark.parametrize("turns", [3, 11])
def test_a_freshly_compiled_loop(turns):
    def step(matrix):
        return jax.lax.scan(lambda carry, _: (jnp.sin(carry) @ carry, None), matrix, length=turns)[0]

    text = jax.jit(step).lower(jnp.ones((64, 64))).compile().as_text()
    products = [run for run in Hlo(text).runs() if "dot_general" in run.instruction.op_name and run.instruction.bytes]
    assert turns in {run.times for run in products}


def test_a_freshly_compiled_collective():
    mesh = jax.make_mesh((8,), ("data",))
    sharded = jax.NamedSharding(mesh, jax.P("data"))
    total = jax.jit(lambda array: array.sum(0), in_shardings=sharded)
    text = total.lower(jax.ShapeDtypeStruct((16, 32), jnp.float32)).compile().as_text()
    collectives = [run.instruction for run in Hlo(text).runs() if kind_of_collective(run.instruction.opcode)]
    assert [(collective_bytes(each), group_size(each) or 8) for each in collectives] == [(32 * 4, 8)]
