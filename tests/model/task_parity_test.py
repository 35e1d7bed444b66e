"""Each head with its loss and gradients against transformers' torch model of that task with the same weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from flax import nnx

from bert_jax.config import ModelConfig
from bert_jax.interchange.huggingface import to_huggingface_config
from bert_jax.interchange.huggingface_tasks import task_to_huggingface
from bert_jax.model.tasks import SequenceModel, SpanModel
from bert_jax.objectives.tasks import OBJECTIVES
from tests.state_dicts import task_from_huggingface

ROWS, SHOWN, LENGTH, TEXTS = 7, 5, 20, 3  # a batch has ROWS, of which SHOWN are somebody's
CONFIG = ModelConfig(
    vocab_size=300,
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=96,
    max_position_embeddings=32,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


@dataclasses.dataclass(frozen=True)
class Case:
    """An objective, and the class of transformers that is the same."""

    loss: str
    head: str
    outputs: int
    theirs: type
    problem_type: str | None = None


CASES = [
    Case("classification", "sequence", 4, transformers.BertForSequenceClassification, "single_label_classification"),
    Case("multilabel", "sequence", 4, transformers.BertForSequenceClassification, "multi_label_classification"),
    Case("regression", "sequence", 1, transformers.BertForSequenceClassification, "regression"),
    Case("tagging", "token", 5, transformers.BertForTokenClassification),
    Case("qa", "span", 2, transformers.BertForQuestionAnswering),
    Case("choice", "choice", 1, transformers.BertForMultipleChoice),
]


def torch_model(case, seed=0, config=CONFIG):
    """Its every parameter is random, biases and LayerNorms too."""
    labels = {"num_labels": case.outputs} if case.head in ("sequence", "token") else {}
    settings = transformers.BertConfig(
        **to_huggingface_config(config, pad_id=0), **labels, problem_type=case.problem_type, attn_implementation="eager"
    )
    model = case.theirs(settings).eval()
    # As in the original, padding learns where it is in a loss, the span's; nn.Embedding leaves it out of the gradient.
    model.bert.embeddings.word_embeddings.padding_idx = None
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        center = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        parameter.data = center + 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def our_params(model, case):
    arrays = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    return jax.tree.map(jnp.asarray, task_from_huggingface(arrays, case.head, case.outputs, CONFIG))


def make_batch(case, seed=0):
    """Rows with padding, and after them rows that only fill the batch up, as tasks/rows.py makes them."""
    random = np.random.default_rng(seed)
    shape = (ROWS, TEXTS) if case.head == "choice" else (ROWS,)
    tokens = random.integers(4, LENGTH + 1, shape)
    tokens[0], tokens[SHOWN:] = LENGTH, 0
    mask = (np.arange(LENGTH) < tokens[..., None]).astype(np.int32)
    row_weights = (np.arange(ROWS) < SHOWN).astype(np.float32)
    batch = {
        "input_ids": (random.integers(1, CONFIG.vocab_size, mask.shape) * mask).astype(np.int32),
        "attention_mask": mask,
        "segment_ids": (random.integers(0, 2, mask.shape) * mask).astype(np.int32),
        "row_weights": row_weights,
        "example_weights": row_weights,
    }
    return batch | labels(case.loss, random, tokens, mask)


def labels(loss, random, tokens, mask):
    match loss:
        case "classification":
            return {"labels": random.integers(0, 4, ROWS).astype(np.int32)}
        case "multilabel":
            return {"labels": random.integers(0, 2, (ROWS, 4)).astype(np.float32)}
        case "regression":
            return {"labels": random.normal(0, 1, ROWS).astype(np.float32)}
        case "choice":
            return {"labels": random.integers(0, TEXTS, ROWS).astype(np.int32)}
        case "tagging":
            is_labelled = (mask > 0) & (random.random(mask.shape) < 0.6)
            return {"token_labels": np.where(is_labelled, random.integers(0, 5, mask.shape), -1).astype(np.int32)}
        case "qa":
            ends = np.sort(random.integers(0, np.maximum(tokens, 1), (2, ROWS)), axis=0).astype(np.int32)
            ends[:, 1] = 0  # as where a window holds no answer
            return {"start_positions": ends[0], "end_positions": ends[1]}


def shown(batch, name):
    """For torch, which has no rows that fill up."""
    array = torch.from_numpy(batch[name][:SHOWN])
    return array.long() if array.dtype == torch.int32 else array


def torch_outputs(model, batch, **labels):
    inputs = {"input_ids": "input_ids", "attention_mask": "attention_mask", "token_type_ids": "segment_ids"}
    return model(**{theirs: shown(batch, ours) for theirs, ours in inputs.items()}, **labels)


def torch_labels(case, batch):
    if case.loss == "qa":
        return {name: shown(batch, name) for name in ("start_positions", "end_positions")}
    if case.loss == "tagging":
        of_tokens = shown(batch, "token_labels")
        return {"labels": torch.where(of_tokens < 0, -100, of_tokens)}
    return {"labels": shown(batch, "labels")}


def torch_logits(outputs, case):
    if case.loss == "qa":
        return torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)
    return outputs.logits


def our_loss_and_gradients(case, params, batch, **options):
    objective = OBJECTIVES[case.loss](CONFIG, case.outputs, (), case.head, **options)
    apply = objective.model().apply

    def loss(params):
        sums = objective.sums(apply(params, **objective.inputs(batch)), batch)
        return objective.loss(sums, objective.weights(batch))

    value, gradients = jax.jit(jax.value_and_grad(loss))(params)
    return float(value), task_to_huggingface(jax.device_get(gradients), case.head, case.outputs, CONFIG)


def assert_same(case, model, params, batch, their_loss, **options):
    """Their loss is a torch scalar that has its gradients yet to come."""
    model.zero_grad()
    their_loss.backward()
    our_loss, gradients = our_loss_and_gradients(case, params, batch, **options)
    assert our_loss == pytest.approx(their_loss.item(), rel=1e-5)
    theirs = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    assert gradients.keys() == theirs.keys()
    whole = np.sqrt(sum(np.square(gradient).sum() for gradient in theirs.values()))
    for name, expected in theirs.items():
        # The key's bias moves all scores of a softmax alike: its gradient is 0 but for rounding.
        limit = 1e-4 * np.linalg.norm(expected) + 1e-7 * whole
        assert np.linalg.norm(gradients[name] - expected) < limit, name


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.loss)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def same(case):
    """The case, both models' weights, and a batch."""
    model = torch_model(case)
    return case, model, our_params(model, case), make_batch(case)


def test_outputs(same):
    case, model, params, batch = same
    objective = OBJECTIVES[case.loss](CONFIG, case.outputs, (), case.head)
    ours = np.asarray(jax.jit(objective.model().apply)(params, **objective.inputs(batch)))
    with torch.no_grad():
        theirs = torch_logits(torch_outputs(model, batch), case).numpy()
    here = batch["attention_mask"][:SHOWN, :, None] if case.head in ("token", "span") else 1
    assert np.abs(theirs).max() > 0.1
    np.testing.assert_allclose(ours[:SHOWN] * here, theirs * here, rtol=0, atol=1e-5)
    assert np.isfinite(ours).all()  # of rows that fill up, too: their losses are weighted with 0


def test_loss_and_gradients(same):
    case, model, params, batch = same
    assert_same(case, model, params, batch, torch_outputs(model, batch, **torch_labels(case, batch)).loss)


CLASSIFICATION, MULTILABEL, _, _, QA, CHOICE = CASES


def test_class_weights_are_those_of_torchs_cross_entropy():
    model, batch = torch_model(CLASSIFICATION), make_batch(CLASSIFICATION)
    params, weights = our_params(model, CLASSIFICATION), (0.5, 3.0, 1.0, 0.2)
    criterion = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights))
    their_loss = criterion(torch_outputs(model, batch).logits, shown(batch, "labels"))
    assert_same(CLASSIFICATION, model, params, batch, their_loss, class_weights=weights)


def test_class_weights_of_several_labels_are_torchs_pos_weight():
    model, batch = torch_model(MULTILABEL), make_batch(MULTILABEL)
    params, weights = our_params(model, MULTILABEL), (0.5, 3.0, 1.0, 0.2)
    criterion = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weights))
    their_loss = criterion(torch_outputs(model, batch).logits, shown(batch, "labels"))
    assert_same(MULTILABEL, model, params, batch, their_loss, class_weights=weights)


def test_windows_of_a_text_count_together_as_one():
    model, batch = torch_model(CLASSIFICATION), make_batch(CLASSIFICATION)
    batch["example_weights"] = np.float32([1, 1 / 3, 1 / 3, 1 / 3, 1, 0, 0])
    each = torch.nn.functional.cross_entropy(
        torch_outputs(model, batch).logits, shown(batch, "labels"), reduction="none"
    )
    their_loss = (each[0] + each[1:4].mean() + each[4]) / 3
    assert_same(CLASSIFICATION, model, our_params(model, CLASSIFICATION), batch, their_loss)


def test_a_choice_that_is_not_there_has_no_share():
    model, batch = torch_model(CHOICE), make_batch(CHOICE)
    params = our_params(model, CHOICE)
    batch["labels"][1] = 1
    for name in ("input_ids", "attention_mask", "segment_ids"):
        batch[name][1, 2] = 0
    logits = torch_outputs(model, batch).logits
    entropies = [
        torch.nn.functional.cross_entropy(logits[row, : 2 if row == 1 else 3], shown(batch, "labels")[row])
        for row in range(SHOWN)
    ]
    assert_same(CHOICE, model, params, batch, torch.stack(entropies).mean())


def head_outputs(kind, outputs, key):
    """What the head makes of 400 rows of ones, its layer giving each number back."""
    config = dataclasses.replace(CONFIG, hidden_dropout_prob=0.25)
    model = kind(config, outputs, jnp.dtype("float32"), nnx.Rngs(0), "none", False)
    model.classifier.kernel[...] = jnp.eye(CONFIG.hidden_size)[:, :outputs]
    return np.asarray(model.logits(jnp.ones((400, CONFIG.hidden_size)), key))


@pytest.mark.parametrize("of_rows", [False, True], ids=["one key", "a key a row"])
@pytest.mark.parametrize("rates", [(0.25, 0.0), (0.0, 0.5)], ids=["hidden", "attention"])
@pytest.mark.parametrize("case", [CASES[0], CASES[3]], ids=lambda case: case.loss)
def test_dropout_has_the_effect_that_torchs_has(case, rates, of_rows):
    """Mean and variance of what thousands of copies of a text give; each place of dropout adds to the variance."""
    config = dataclasses.replace(CONFIG, hidden_dropout_prob=rates[0], attention_probs_dropout_prob=rates[1])
    model, copies = torch_model(case, config=config).train(), 2000
    row = {name: array[:1] for name, array in make_batch(case).items()}
    many = {name: np.repeat(array, copies, axis=0) for name, array in row.items()}
    objective = OBJECTIVES[case.loss](config, case.outputs, (), case.head)
    key = jax.random.split(jax.random.key(1), copies) if of_rows else jax.random.key(1)
    ours = jax.jit(objective.model().apply)(our_params(model, case), **objective.inputs(many), dropout_key=key)
    inputs = {"input_ids": "input_ids", "attention_mask": "attention_mask", "token_type_ids": "segment_ids"}
    torch.manual_seed(0)
    with torch.no_grad():
        outputs = model(**{theirs: torch.from_numpy(many[name]).long() for theirs, name in inputs.items()})
    theirs = torch_logits(outputs, case).numpy()
    assert theirs.std(axis=0).min() > 0.01
    errors = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / copies)
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / errors).max() < 4.5
    assert ours.var(axis=0).mean() == pytest.approx(theirs.var(axis=0).mean(), rel=0.06)


def test_a_head_has_dropout_in_training_alone():
    dropped = head_outputs(SequenceModel, CONFIG.hidden_size, jax.random.key(0))
    assert set(np.unique(dropped.round(5))) == {0.0, np.float32(1 / 0.75).round(5)}
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert (head_outputs(SequenceModel, CONFIG.hidden_size, None) == 1).all()


def test_the_head_of_answers_has_none():
    assert (head_outputs(SpanModel, 2, jax.random.key(0)) == 1).all()
