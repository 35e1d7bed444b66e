"""A side of benchmarks/cpu_step.py and gpu_step.py: transformers' BertForPreTraining under torch.

As it is, it computes the logits of every token; `gathered`, those of the masked positions only, as the original does;
`compiled`, by torch.compile.
"""

import sys
from collections.abc import Callable

import torch
import transformers
from step_setting import Setting, product_arrays, random_batch, setting_of_this_process, time_and_tell


def main() -> None:
    """Time it."""
    setting = setting_of_this_process()
    torch.set_num_threads(len(__import__("os").sched_getaffinity(0)))
    model = transformers.BertForPreTraining(
        transformers.BertConfig(
            vocab_size=setting.vocab,
            hidden_size=setting.hidden,
            num_hidden_layers=setting.layers,
            num_attention_heads=setting.heads,
            intermediate_size=4 * setting.hidden,
        )
    )
    model = model.to(setting.device).train()
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=1e-4, eps=1e-6, fused=True)
    batch = {name: torch.from_numpy(array).long().to(setting.device) for name, array in random_batch(setting).items()}

    loss_of = gathered_loss if "gathered" in sys.argv[2:] else stock_loss
    if "compiled" in sys.argv[2:]:
        loss_of = torch.compile(loss_of)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(setting.device, torch.bfloat16, enabled=setting.dtype == "bfloat16"):
            loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
        return loss.item()

    on_gpu = setting.device == "cuda"
    time_and_tell(step, product(setting), torch.cuda.max_memory_allocated if on_gpu else lambda: 0)


def product(setting: Setting) -> Callable[[], object]:
    """A matrix product of the setting's dtype."""
    like = {"device": setting.device, "dtype": getattr(torch, setting.dtype)}
    left, right = (torch.from_numpy(array).to(**like) for array in product_arrays(setting))

    def multiply() -> None:
        left @ right
        if setting.device == "cuda":
            torch.cuda.synchronize()

    return multiply


def parameter_groups(model: torch.nn.Module) -> list[dict]:
    """Decay on all but LayerNorm and biases."""
    groups: dict[float, list] = {0.01: [], 0.0: []}
    for name, parameter in model.named_parameters():
        groups[0.0 if "LayerNorm" in name or "bias" in name else 0.01].append(parameter)
    return [{"params": parameters, "weight_decay": decay} for decay, parameters in groups.items()]


def stock_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the class itself computes when it is given labels."""
    labels = torch.full_like(batch["input_ids"], -100)
    labels.scatter_(1, batch["masked_lm_positions"], batch["masked_lm_ids"])
    return model(
        input_ids=batch["input_ids"],
        attention_mask=batch["input_mask"],
        token_type_ids=batch["segment_ids"],
        labels=labels,
        next_sentence_label=batch["next_sentence_labels"][:, 0],
    ).loss


def gathered_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The same loss, with the masked positions taken out before the head."""
    out = model.bert(
        input_ids=batch["input_ids"], attention_mask=batch["input_mask"], token_type_ids=batch["segment_ids"]
    )
    places = batch["masked_lm_positions"][:, :, None].expand(-1, -1, out.last_hidden_state.shape[-1])
    words, relation = model.cls(out.last_hidden_state.gather(1, places), out.pooler_output)
    word_loss = torch.nn.functional.cross_entropy(words.flatten(0, 1), batch["masked_lm_ids"].flatten())
    return word_loss + torch.nn.functional.cross_entropy(relation, batch["next_sentence_labels"][:, 0])


if __name__ == "__main__":
    main()
