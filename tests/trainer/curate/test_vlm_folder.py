"""A vision language model in a folder: a tiny one of random weights, which answers, and never with a score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.curate.judging.vlm import JudgeByVlm
from comfyui_uso.trainer.curate.judging.vlm_folder import FolderVlm
from comfyui_uso.trainer.curate.judging.vlm_open import open_vlm
from comfyui_uso.trainer.curate.recipe import VlmSettings
from comfyui_uso.uso_model.errors import UserError
from safetensors.torch import load_file, save_file

from .vlm_rows import DRAWN, judged

pytestmark = pytest.mark.long

TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {% for c in m.content %}"
    "{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}\n{% endfor %}assistant:"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a model of the LLaVA kind with a tokenizer of bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: number for number, letter in enumerate(["<pad>", "</s>", *letters])}
    bytewise = Tokenizer(models.BPE(vocab=words, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytewise, pad_token="<pad>", eos_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    size = {"height": 28, "width": 28}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8192,
            eos_token_id=1,
            pad_token_id=0,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    path = tmp_path / "model"
    LlavaForConditionalGeneration(config).save_pretrained(path)
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size=size, crop_size=size),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(path)
    return path


def test_a_model_in_a_folder_is_asked_and_its_nonsense_is_no_score(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfyui_uso.trainer.curate.judging import vlm_folder

    monkeypatch.setattr(vlm_folder, "MOST_TOKENS", 12)
    told = VlmSettings(model=str(folder), tries=2)
    vlm = open_vlm(told)
    assert isinstance(vlm, FolderVlm) and "model.safetensors" in vlm.describe()["files"]
    entry = judged(JudgeByVlm(told, vlm, DRAWN, pause=0.001), tmp_path / "run", 1)
    assert entry.state == "unjudged" and not entry.values and entry.notes["requests"] == 2
    assert entry.notes["tokens_in"] > 100 and entry.notes["tokens_out"] == 24


def lose_a_weight(path: Path) -> None:
    tensors = load_file(path)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: (path / "model.safetensors").unlink(), "has no .safetensors"),
        (lambda path: (path / "model.safetensors").write_bytes(b"no weights"), "cannot be loaded"),
        (lambda path: lose_a_weight(path / "model.safetensors"), "lacks the weight"),
        (lambda path: (path / "tokenizer.json").write_text("{"), "cannot be loaded"),
        (lambda path: (path / "chat_template.jinja").unlink(), "takes no conversation"),
        (lambda path: (path / "config.json").unlink(), "expected a folder of a Hugging Face model"),
    ],
)
def test_a_folder_that_is_no_model_is_one_sentence(folder: Path, tmp_path: Path, spoil: Any, said: str) -> None:
    spoil(folder)
    told = VlmSettings(model=str(folder), tries=1)
    with pytest.raises(UserError, match=said) as found:
        judged(JudgeByVlm(told, open_vlm(told), DRAWN), tmp_path / "run", 1)
    assert "\n" not in str(found.value)
