"""Layouts 1 to 6 of ten: kohya, musubi, ai-toolkit, as their own documentation shows them; kinds found out."""

from __future__ import annotations

import json

import pytest
from comfyui_uso.trainer.data.importers.kinds import detected

KOHYA_TOML = r"""
[general]
shuffle_caption = true
caption_extension = '.caption'
keep_tokens = 1

# This is a DreamBooth-style dataset
[[datasets]]
resolution = 512
batch_size = 4

  [[datasets.subsets]]
  image_dir = 'hoge'
  class_tokens = 'hoge girl'
  num_repeats = 10

  [[datasets.subsets]]
  is_reg = true
  image_dir = 'reg'
  class_tokens = 'human'

# This is a fine-tuning dataset
[[datasets]]
resolution = [768, 768]

  [[datasets.subsets]]
  image_dir = 'piyo'
  metadata_file = 'piyo_md.json'
"""

MUSUBI_TOML = """
[general]
resolution = [960, 544]
caption_extension = ".txt"
batch_size = 1
enable_bucket = true
bucket_no_upscale = false

[[datasets]]
image_directory = "image_dir"
control_directory = "control_dir"
cache_directory = "cache"
num_repeats = 2

[[datasets]]
video_directory = "videos"
target_frames = [1, 25, 45]
"""

AI_TOOLKIT = """
job: extension
config:
  name: "my_first_flux_kontext_lora_v1"
  process:
    - type: 'sd_trainer'
      trigger_word: "p3r5on"
      datasets:
        - folder_path: "images"
          control_path: {control}
          caption_ext: "txt"
          default_caption: "a person"
          caption_dropout_rate: 0.05
          num_repeats: 3
          resolution: [ 512, 768 ]
"""


def test_1_kohya_folders(files, found):
    files("train/10_sks dog/0.png", "train/10_sks dog/1.png", "train/10_sks dog/1.txt", "train/1_dog/0.png")
    files("train/1_dog/1.png", "train/notes/0.png")
    assert found("kohya", "train", reference="style") == [
        ("train/10_sks dog/0.png", ["train/10_sks dog/1.png"], [], "sks dog", 10.0),
        ("train/10_sks dog/1.png", ["train/10_sks dog/0.png"], [], "caption of 1", 10.0),
        ("train/1_dog/0.png", ["train/1_dog/1.png"], [], "dog", 1.0),
        ("train/1_dog/1.png", ["train/1_dog/0.png"], [], "dog", 1.0),
    ]


def test_2_kohya_toml(files, found):
    metadata = {"0": {"caption": "a frog\nsecond", "tags": "green, wet"}, "1.png": {"caption": "a toad"}}
    files("hoge/0.png", "hoge/1.png", "hoge/1.caption", "reg/0.png", "piyo/0.png", "piyo/1.png")
    files(**{"set.toml": KOHYA_TOML, "piyo_md.json": metadata})
    assert found("kohya", "set.toml", reference="content") == [
        ("hoge/0.png", [], ["hoge/1.png"], "hoge girl", 10.0),
        ("hoge/1.png", [], ["hoge/0.png"], "caption of 1", 10.0),
        ("piyo/0.png", [], ["piyo/1.png"], "a frog, green, wet", 1.0),
        ("piyo/1.png", [], ["piyo/0.png"], "a toad", 1.0),
    ]


def test_3_musubi_toml(files, found):
    files("image_dir/image1.jpg", "image_dir/image1.txt", "control_dir/image1.png", **{"set.toml": MUSUBI_TOML})
    assert found("musubi", "set.toml") == [
        ("image_dir/image1.jpg", [], ["control_dir/image1.png"], "caption of image1", 2.0)
    ]
    files(**{"list.toml": '[[datasets]]\nimage_jsonl_file = "rows.jsonl"\ncache_directory = "c"'})
    files(**{"rows.jsonl": {"image_path": "image_dir/image1.jpg", "control_path": "control_dir/image1.png"}})
    assert found("musubi", "list.toml")[0][2:] == (["control_dir/image1.png"], "", 1.0)


def test_4_musubi_json_lines(files, found, monkeypatch):
    root = files("t/0.png", "t/1.png", "t/2.png", "c/0.jpg", "c/1.jpg", "d/1.webp")
    lines = [
        {"image_path": "t/0.png", "caption": "one", "control_path": "c/0.jpg"},
        {
            "image_path": str(root / "t/1.png"),
            "caption": "two",
            "control_path_10": "d/1.webp",
            "control_path_2": "c/1.jpg",
        },
        {"image_path": "t/2.png", "caption": None, "control_path_1": None},
    ]
    files(**{"rows.jsonl": "\n\n".join(map(json.dumps, lines))})
    wanted = [
        ("t/0.png", [], ["c/0.jpg"], "one", 1.0),
        ("t/1.png", [], ["c/1.jpg", "d/1.webp"], "two", 1.0),
        ("t/2.png", [], [], "", 1.0),
    ]
    assert found("musubi", "rows.jsonl") == wanted
    assert found("musubi", "rows.jsonl", reference="style")[1][1] == ["c/1.jpg", "d/1.webp"]
    # musubi itself reads relative paths from the working folder
    (root / "lists").mkdir()
    monkeypatch.chdir(root)
    (root / "rows.jsonl").rename(root / "lists/rows.jsonl")
    assert found("musubi", "lists/rows.jsonl") == wanted


def test_5_musubi_control_directory(files, found):
    root = files("i/a.png", "i/a.txt", "i/a_1.png", "i/b.jpg", "c/a_0.png", "c/a_10.png", "c/a_2.png", "c/a_1.jpg")
    files("c/b.webp", "c/b_0000.png", "c/b_0001.png", "c/stray.png")
    wanted = [
        ("i/a.png", [], ["c/a_0.png", "c/a_2.png", "c/a_10.png"], "caption of a", 1.0),
        ("i/a_1.png", [], ["c/a_1.jpg"], "", 1.0),
        ("i/b.jpg", [], ["c/b.webp", "c/b_0000.png", "c/b_0001.png"], "", 1.0),
    ]
    assert found("musubi", "i", control=(root / "c",)) == wanted
    files(**{"set.toml": '[[datasets]]\nimage_directory = "i"\ncontrol_directory = "c"\ncontrol_count_per_image = 1'})
    assert [row[2] for row in found("musubi", "set.toml")] == [["c/a_0.png"], ["c/a_1.jpg"], ["c/b.webp"]]


@pytest.mark.parametrize(
    ("control", "wanted"),
    [
        ('"one"', ["one/0.jpg"]),
        ('["one", "two"]', ["one/0.jpg", "two/0.png"]),
        ('""\n          control_path_1: "two"\n          control_path_2: "one"', ["two/0.png", "one/0.jpg"]),
    ],
)
def test_6_ai_toolkit(control, wanted, files, found):
    root = files("images/0.png", "images/sub/1.png", "images/1.txt", "images/0.txt", "one/0.jpg", "two/0.png")
    files("one/1.jpg", "two/1.png", **{"set.yaml": AI_TOOLKIT.format(control=control)})
    (root / "images/0.txt").write_text("photo of [trigger]", encoding="utf-8")
    rows = found("ai-toolkit", "set.yaml")
    assert rows[0] == ("images/0.png", [], wanted, "photo of p3r5on", 3.0)
    assert rows[1][0] == "images/sub/1.png" and rows[1][3] == "p3r5on, a person"


def test_6_ai_toolkit_folders(files, found):
    root = files("targets/0.png", "targets/0.txt", "references/0.jpg", "more/0.png")
    assert found("ai-toolkit", "targets", control=(root / "references", root / "more")) == [
        ("targets/0.png", [], ["references/0.jpg", "more/0.png"], "caption of 0", 1.0)
    ]
    files(**{"set.yaml": AI_TOOLKIT.format(control="null").replace("images", "targets")})
    files("targets/1.png")
    assert [row[1] for row in found("ai-toolkit", "set.yaml", reference="style")] == [
        ["targets/1.png"],
        ["targets/0.png"],
    ]


@pytest.mark.parametrize(
    ("kind", "name", "made"),
    [
        ("kohya", "train", ["train/10_a/0.png"]),
        ("folders", "set", ["set/target/0.png", "set/style/0.png"]),
        ("pictures", "p", ["p/0.png", "p/10_a/0.png", "p/b/0.png"]),
        ("kohya", "a.toml", {"a.toml": KOHYA_TOML}),
        ("musubi", "a.toml", {"a.toml": MUSUBI_TOML}),
        ("musubi", "a.jsonl", {"a.jsonl": {"image_path": "a.png", "caption": ""}}),
        ("imagefolder", "a.jsonl", {"a.jsonl": {"file_name": "a.png"}}),
        ("imagefolder", "d", {"d/metadata.csv": "file_name\n"}),
        ("ai-toolkit", "a.yaml", {"a.yaml": AI_TOOLKIT.format(control="x")}),
        ("uno", "a.json", {"a.json": [{"image_tgt_path": "a.png", "prompt": "", "image_paths": []}]}),
        ("uno", "a.json", {"a.json": [{"img_path1": "a.png"}]}),
        ("simpletuner", "a.json", {"a.json": [{"id": "a", "instance_data_dir": "x"}]}),
        (None, "a.json", {"a.json": [{"id": "a"}]}),
        (None, "a.toml", {"a.toml": "a = 1"}),
        (None, "d", {"d/metadata.csv": "file_name\n", "d/target/0": "", "d/style/0": ""}),
    ],
)
def test_a_kind_is_found_where_nothing_else_could_be_meant(kind, name, made, files):
    root = files(*made) if isinstance(made, list) else files(**made)
    if kind is None:
        with pytest.raises(ValueError, match=r"(is of no known kind|could be folders or imagefolder); name the kind"):
            detected(root / name)
    else:
        assert detected(root / name) == kind
