"""Layouts 7 to 10 of ten: Hugging Face, UNO, SimpleTuner and plain folders, as their own documentation shows them."""

from __future__ import annotations

import json

import pytest


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
