"""Makes tests/golden/mbart50/adapterhub: adapters of AdapterHub's library for the tiny mBART of families.py, with values away from their start, and
the logits that it computes with them. Run after families.py from the root of the source tree, in an environment with torch, adapters 1.3.0 and the
transformers that it asks for (4.57):
    python tests/golden/make/adapterhub.py
"""
import json
import shutil

import adapters
import torch
import transformers
from adapters import CompacterConfig, CompacterPlusPlusConfig, DoubleSeqBnConfig, ParBnConfig, SeqBnConfig, SeqBnInvConfig
from check_adapterhub import BASE, arguments_and_lengths
from safetensors.torch import save_file
from transformers import MBartForConditionalGeneration

SEED = 41
CASES = {
    "seq_bn": SeqBnConfig(reduction_factor=6, leave_out=[3, 4]),
    "seq_bn_cross": SeqBnConfig(reduction_factor=4, cross_adapter=True, non_linearity="gelu"),
    "double_seq_bn": DoubleSeqBnConfig(reduction_factor=10),
    "seq_bn_inv": SeqBnInvConfig(reduction_factor=2),
    "par_bn": ParBnConfig(reduction_factor=5),
    "scaled_par_bn": ParBnConfig(reduction_factor=5, scaling="learned", leave_out=[0, 1, 2]),
    "compacter": CompacterConfig(reduction_factor=5, phm_dim=3),
    "compacter++": CompacterPlusPlusConfig(reduction_factor=5, phm_dim=2, phm_rank=2),
}


def main():
    torch.set_num_threads(1)
    arguments, lengths = arguments_and_lengths(MBartForConditionalGeneration.from_pretrained(BASE).config)
    shutil.rmtree(BASE / "adapterhub", ignore_errors=True)
    for i, (case, config) in enumerate(CASES.items()):
        torch.manual_seed(SEED + i)
        model = MBartForConditionalGeneration.from_pretrained(BASE).eval()
        adapters.init(model)
        model.add_adapter("pair", config=config)
        model.set_active_adapters("pair")
        kept = [p for name, p in model.named_parameters() if ".pair." in name]
        with torch.no_grad():
            for parameter in kept:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            found = model(**arguments).logits
        place = BASE / "adapterhub" / case
        place.mkdir(parents=True)
        model.save_adapter(str(place), "pair", with_head=False, use_safetensors=i % 2 == 0)  # the others as pytorch_adapter.bin
        made = {"adapters": adapters.__version__, "transformers": transformers.__version__, "torch": torch.__version__, "seed": SEED + i,
                "maker": "tests/golden/make/adapterhub.py"}
        save_file({"logits": torch.cat([row[:length] for row, length in zip(found, lengths)])}, place / "logits.safetensors",
                  metadata={"made": json.dumps(made)})
        print(case, sum(p.numel() for p in kept))


if __name__ == "__main__":
    main()
