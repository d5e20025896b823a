"""Makes tests/golden/m2m100/moefication.{safetensors,json}: what the tiny model of models.py computes when its feed-forward blocks are mixtures of
experts (MoEfication, arXiv 2110.01786), with forward hooks on transformers' modules and written here from the paper's formulas: of every token the
activations after ReLU outside of the k best experts are set to zero before fc2. Routers: the experts' own sums of activations, the nearness of the
experts' centres to the input at length 1, and a network of two layers with random weights. Beside the logits: the sums, centres, scores and the
share of the activation that the chosen experts hold, of the first encoder block; how often its neurons are active together; and the cheapest even
assignment of some random costs, as a flow found by networkx. Run after models.py from the root of the source tree, in an environment with torch 2.11,
transformers 5.17 and networkx 3.6:
    python tests/golden/make/moefication.py
"""
import json

import networkx
import torch
from models import OUT, example_pairs, inputs, ragged, versions
from safetensors.torch import save_file
from transformers import M2M100ForConditionalGeneration

SEED = 33
EXPERTS, ACTIVE = 4, 2  # of 44 and of 52 neurons


def blocks(model):
    for side, stack in (("encoder", model.model.encoder), ("decoder", model.model.decoder)):
        for i, layer in enumerate(stack.layers):
            yield f"{side}.layers.{i}.experts.", layer


def unit(rows):
    return rows / rows.norm(dim=-1, keepdim=True)


def convert(model, router, values, seen):
    """Hooks that mask what goes into fc2; `seen` gets the masks' ingredients by block."""
    for stem, layer in blocks(model):
        neurons = values[stem + "neurons"].long()
        expert_of = torch.empty_like(neurons)
        expert_of[neurons] = torch.arange(EXPERTS).repeat_interleave(len(neurons) // EXPERTS)
        centres = torch.stack([unit(layer.fc1.weight)[expert_of == e].mean(0) for e in range(EXPERTS)])
        if router == "similarity":
            values[stem + "centres"] = centres

        def before_fc1(_module, arguments, stem=stem):
            seen[stem + "x"] = arguments[0]

        def before_fc2(_module, arguments, stem=stem, expert_of=expert_of, centres=centres):
            activation, x = arguments[0], unit(seen[stem + "x"])
            sums = torch.stack([activation[..., expert_of == e].sum(-1) for e in range(EXPERTS)], -1)
            if router == "truth":
                scores = sums
            elif router == "similarity":
                scores = -(x[..., None, :] - centres).norm(dim=-1)
            else:
                scores = torch.tanh(x @ values[stem + "router.first"].T) @ values[stem + "router.second"].T
            best = scores.topk(ACTIVE, -1).indices
            mask = torch.zeros_like(scores).scatter_(-1, best, 1.0)
            seen[stem + "sums"], seen[stem + "scores"], seen[stem + "mask"], seen[stem + "activation"] = sums, scores, mask, activation
            return (activation * mask[..., expert_of],)

        layer.fc1.register_forward_pre_hook(before_fc1)
        layer.fc2.register_forward_pre_hook(before_fc2)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    pairs = example_pairs()
    arguments, _ = inputs(pairs)
    sources, targets = [len(s) for s, _ in pairs], [len(t) for _, t in pairs]
    kept, shares = {}, {}
    values = {}
    model = M2M100ForConditionalGeneration.from_pretrained(OUT, attn_implementation="eager").eval()
    for stem, layer in blocks(model):
        values[stem + "neurons"] = torch.randperm(layer.fc1.out_features).int()
        values[stem + "router.first"] = torch.randn(EXPERTS, layer.fc1.in_features)
        values[stem + "router.second"] = torch.eye(EXPERTS) + 0.3 * torch.randn(EXPERTS, EXPERTS)
    with torch.no_grad():
        for router in ("truth", "similarity", "mlp"):
            model, seen = M2M100ForConditionalGeneration.from_pretrained(OUT, attn_implementation="eager").eval(), {}
            convert(model, router, values, seen)
            kept[f"{router}.logits"] = ragged(model(**arguments).logits, targets)
            stem = "encoder.layers.0.experts."
            sums, mask = (ragged(seen[stem + name], sources) for name in ("sums", "mask"))
            kept[f"{router}.scores"] = ragged(seen[stem + "scores"], sources)
            shares[router] = ((sums * mask).sum() / sums.sum()).item()
            if router == "truth":
                kept["x"], kept["sums"] = ragged(seen[stem + "x"], sources), sums
                active = (ragged(seen[stem + "activation"], sources) > 0).float()
                kept["together"] = active.T @ active
    kept |= values

    costs = torch.randint(0, 1000, (24, 4))
    flow = networkx.DiGraph()
    for item, row in enumerate(costs.tolist()):
        flow.add_node(("item", item), demand=-1)
        for group, cost in enumerate(row):
            flow.add_edge(("item", item), ("group", group), capacity=1, weight=cost)
    for group in range(4):
        flow.add_node(("group", group), demand=6)
    kept["costs"] = costs.double()
    best = networkx.min_cost_flow_cost(flow)

    made = versions() | {"networkx": networkx.__version__, "seed": SEED, "maker": "tests/golden/make/moefication.py"}
    save_file({name: tensor.contiguous() for name, tensor in kept.items()}, OUT / "moefication.safetensors", metadata={"made": json.dumps(made)})
    golden = {"made": made, "experts": EXPERTS, "active": ACTIVE, "captured": shares, "least_cost": best}
    (OUT / "moefication.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(golden)


if __name__ == "__main__":
    main()
