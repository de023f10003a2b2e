"""Ten layouts of other trainers, each from a sample as that trainer's own documentation shows it."""

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


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_7_imagefolder(ending, files, found):
    files(
        "data/train/0001.png",
        "data/train/0002.png",
        "data/train/c1.png",
        "data/train/s1.png",
        "data/validation/0003.png",
    )
    rows = [
        {"file_name": "0001.png", "text": "a golden, retriever", "control_file_name": "c1.png", "style": "s1.png"},
        {"file_name": "0002.png", "text": "a german shepherd", "control_file_name": None, "style": None},
    ]
    if ending == "csv":
        table = 'file_name,text,control_file_name,style\n0001.png,"a golden, retriever",c1.png,s1.png\n'
        files(**{"data/train/metadata.csv": table + "0002.png,a german shepherd,,\n"})
    else:
        files(**{"data/train/metadata.jsonl": "\n".join(map(json.dumps, rows))})
    files(**{"data/validation/metadata.csv": "file_name,style,words\n0003.png,../train/s1.png,held out\n"})
    assert found("imagefolder", "data") == [
        ("data/train/0001.png", ["data/train/s1.png"], ["data/train/c1.png"], "a golden, retriever", 1.0),
        ("data/train/0002.png", [], [], "a german shepherd", 1.0),
        ("data/validation/0003.png", ["data/train/s1.png"], [], "", 1.0),
    ]


def test_7_imagefolder_without_references(files, found):
    files("0.png", "1.png", **{"metadata.csv": "file_name,description\n0.png,zero\n1.png,one\n"})
    rows = found("imagefolder", ".", reference="style", caption_column="description")
    assert rows == [("0.png", ["1.png"], [], "zero", 1.0), ("1.png", ["0.png"], [], "one", 1.0)]


def test_8_uno(files, found):
    items = [
        {"prompt": "one", "image_paths": ["c/0.jpg", "d/0.webp"], "image_tgt_path": "t/0.png"},
        {"prompt": "two", "image_path": "c/1.jpg", "image_tgt_path": "t/1.png"},
        {"prompt": "three", "image_paths": [], "image_tgt_path": "t/1.png", "score": 4.0},
    ]
    files("t/0.png", "t/1.png", "c/0.jpg", "c/1.jpg", "d/0.webp", **{"uno.json": items})
    assert found("uno", "uno.json") == [
        ("t/0.png", [], ["c/0.jpg", "d/0.webp"], "one", 1.0),
        ("t/1.png", [], ["c/1.jpg"], "two", 1.0),
        ("t/1.png", [], [], "three", 1.0),
    ]


@pytest.mark.parametrize("labels", ["uno_1m_total_labels.json", "labels/split1.json"])
def test_8_labels_of_uno_1m(labels, files, found):
    def pair(number, score):
        names = {f"img_path{k}": f"split1/object365_w1024_h1536_split_Bread_0_0_{number}_{k}.png" for k in (1, 2)}
        caption = {**{key: f"bread {key[-1]}" for key in names}, "judgment": "same", "subject": ["bread"]}
        files(*(f"images/{name}" for name in names.values()))
        return {**names, "caption": caption, "vlm_filter_cot": {"score_part": {}, "score_final": score}}

    files(**{labels: [pair(0, 4.0), pair(1, 3.0), pair(2, 131184.67)]})
    rows = found("uno", labels)
    stem = "images/split1/object365_w1024_h1536_split_Bread_0_0_0"
    assert len(rows) == 3 and rows[0] == (f"{stem}_2.png", [], [f"{stem}_1.png"], "bread 2", 1.0)
    assert len(found("uno", labels, min_score=3.5)) == 1


def test_9_simpletuner(files, found):
    root = files("edited/0.png", "edited/0.txt", "edited/deep/0.png", "reference/0.png", "reference/deep/0.png")
    sets = [
        {
            "id": "my-edited-images",
            "type": "local",
            "cache_dir_vae": "/cache/vae/flux/kontext/edited-images",
            "instance_data_dir": str(root / "edited"),
            "conditioning_data": ["my-reference-images"],
            "resolution": 1024,
            "caption_strategy": "textfile",
            "repeats": 4,
        },
        {
            "id": "my-reference-images",
            "type": "local",
            "instance_data_dir": str(root / "reference"),
            "conditioning_type": "reference_strict",
            "resolution": 1024,
            "caption_strategy": None,
        },
        {"id": "alt", "disabled": True, "type": "aws", "aws_bucket_name": "something-yummy"},
        {"id": "text", "dataset_type": "text_embeds", "default": True, "type": "local", "cache_dir": "c"},
    ]
    files(**{"multidatabackend.json": sets})
    assert found("simpletuner", "multidatabackend.json") == [
        ("edited/0.png", [], ["reference/0.png"], "caption of 0", 5.0),
        ("edited/deep/0.png", [], ["reference/deep/0.png"], "", 5.0),
    ]
    files("plain/a_red_house.png", "plain/b.png")
    plain = {"id": "x", "instance_data_dir": "plain", "caption_strategy": "filename", "instance_prompt": "cat girls"}
    files(**{"plain.json": [{**plain, "prepend_instance_prompt": True}]})
    assert [row[3] for row in found("simpletuner", "plain.json", reference="style")] == [
        "cat girls a red house",
        "cat girls b",
    ]


def test_10_folders(files, found):
    files("set/target/0.png", "set/target/1.png", "set/target/0.txt", "set/style/0.jpg", "set/contents/0_0.png")
    files("set/contents/0_1.webp", "set/contents/1.png")
    assert found("folders", "set") == [
        (
            "set/target/0.png",
            ["set/style/0.jpg"],
            ["set/contents/0_0.png", "set/contents/0_1.webp"],
            "caption of 0",
            1.0,
        ),
        ("set/target/1.png", [], ["set/contents/1.png"], "", 1.0),
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
