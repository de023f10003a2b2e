"""The data card tells settings without the places of one machine, and leaves all else as it was."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from comfyui_uso.trainer.curate.export.places import without_places
from comfyui_uso.trainer.curate.export.write import write_export

RUN_FILE = "run.yaml"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/mnt/anna/secret/my.safetensors", "my.safetensors"),
        ("/mnt/Doe, Anna/a=b/my lora.safetensors", "my lora.safetensors"),
        ("--lora=/mnt/anna/secret/my.safetensors", "--lora=my.safetensors"),
        ("--lora=/mnt/Anna Doe/secret folder/my lora.safetensors:0.8", "--lora=my lora.safetensors:0.8"),
        ("--lora='/mnt/anna/my.safetensors' --n=1/2", "--lora='my.safetensors' --n=1/2"),
        ('say "/mnt/Anna Doe/x.png" and/or more', 'say "x.png" and/or more'),
        ("/mnt/anna/a,/mnt/anna/b;/mnt/anna/c:/mnt/anna/d", "a,b;c:d"),
        ("--a=/mnt/anna/x,--b=/mnt/anna/y", "--a=x,--b=y"),
        ("-I/mnt/anna/include", "-Iinclude"),
        ("@/mnt/anna/body.json", "@body.json"),
        ("from /mnt/anna/x.png to /mnt/anna/y.png", "from x.png to y.png"),
        (r"C:\Users\Anna Doe\x.safetensors", "x.safetensors"),
        (r"--lora=C:\Users\anna\x.safetensors", "--lora=x.safetensors"),
        (r'--lora="C:/Users\Anna Doe\x.safetensors",D:\anna\y', '--lora="x.safetensors",y'),
        (r"lora:C:\Users\anna\x.safetensors:0.5", "lora:x.safetensors:0.5"),
        (r"-C:\Users\anna\x", "-x"),
        (r"\\?\C:\Users\anna\x.png", "x.png"),
        (r"\\server\anna\x.png", "x.png"),
        (r"--out=\\server\anna\x.png", "--out=x.png"),
        (r"\\server\share", "share"),
        ("~/secret/x.png", "x.png"),
        ("--in=~anna/secret/x.png", "--in=x.png"),
        ("--in=file:///mnt/anna/x.png", "--in=file:x.png"),
        ("--at=http://127.0.0.1:8188/a/b,/mnt/anna/x", "--at=http://127.0.0.1:8188/a/b,x"),
    ],
)
def test_a_path_becomes_its_last_name_wherever_it_stands(text: str, told: str) -> None:
    assert without_places(text) == told
    assert without_places({"argv": ["draw", text], "more": (text,)}) == {"argv": ["draw", told], "more": [told]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "http://127.0.0.1:8188",
        "https://models.example/v1/chat?of=/a/b#c",
        "--server=http://127.0.0.1:8188/",
        "{input}",
        "--out={output}/x.png",
        "loras/ink/x.safetensors",
        "./x/y",
        "../x/y",
        "module.inner:Class",
        "csd>=.5 and vlm_subject>=3/4",
        "a cat and/or a dog, 3/4 view, w/o hat / scarf",
        r"a fox \(series\), (ink:1.2)",
        "<s>What is it?</s>",
        "~5/6 of it",
        "at 12:30",
    ],
)
def test_what_is_no_absolute_path_stays(text: str) -> None:
    assert without_places(text) == text


def test_the_card_of_an_export_has_no_path_of_a_command(run: Path, tmp_path: Path) -> None:
    settings = yaml.safe_load((run / RUN_FILE).read_text())
    argv = ["draw", "--lora=/mnt/anna/secret/my.safetensors", r"--vae=C:\Users\anna\secret\vae.sft"]
    settings["steps"][0]["settings"] |= {"argv": argv, "server": "http://127.0.0.1:8188"}
    (run / RUN_FILE).write_text(yaml.safe_dump(settings))
    write_export(run, tmp_path / "out")
    text = (tmp_path / "out/README.md").read_text()
    assert "--lora=my.safetensors" in text and "--vae=vae.sft" in text and "http://127.0.0.1:8188" in text
    assert "anna" not in text and "secret" not in text


@pytest.mark.parametrize("text", ["C:\\" + "\\ " * 20000, "/" + "-" * 100000, "/" + " /" * 20000, "~/" * 20000])
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    without_places(text)
    assert time.process_time() - began < 2
