"""Every common kind of file becomes upright RGB."""

from __future__ import annotations

import io

import numpy as np
import pytest
from comfyui_uso.trainer.data.pictures import fit_target, open_picture
from PIL import Image

RED = (250, 10, 20)


def saved(path, picture, **options):
    picture.save(path, **options)
    return path


def colour(picture):
    assert picture.mode == "RGB"
    return np.asarray(picture)[1, 1].astype(int)


def test_exif_turns_the_picture(tmp_path):
    picture = Image.new("RGB", (40, 20), RED)
    picture.paste((0, 0, 255), (0, 0, 20, 20))  # the left half; upright it is on top
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    for name in ("a.jpg", "a.png", "a.webp"):
        found = open_picture(saved(tmp_path / name, picture, exif=exif))
        assert found.size == (20, 40)
        top, bottom = np.asarray(found)[5, 10], np.asarray(found)[35, 10]
        assert top[2] > 200 and bottom[0] > 200
        assert 0x0112 not in found.getexif()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(mode, tmp_path):
    whole = Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode)
    assert tuple(colour(open_picture(saved(tmp_path / "a.png", whole)))) == (255, 255, 255)
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128)).convert(mode)
    assert abs(colour(open_picture(saved(tmp_path / "b.png", half))) - 127).max() <= 1


def test_a_palette_keeps_its_colours_and_its_transparency(tmp_path):
    palette = Image.new("RGB", (8, 8), RED).quantize(4)
    assert tuple(colour(open_picture(saved(tmp_path / "a.png", palette)))) == RED
    clear = saved(tmp_path / "b.png", palette, transparency=palette.getpixel((1, 1)))
    assert tuple(colour(open_picture(clear))) == (255, 255, 255)
    assert abs(colour(open_picture(saved(tmp_path / "a.gif", palette))) - RED).max() <= 1


def test_cmyk_becomes_rgb(tmp_path):
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    red, green, blue = colour(open_picture(saved(tmp_path / "a.jpg", cyan, quality=95)))
    assert red < 30 and green > 220 and blue > 220


@pytest.mark.parametrize(("name", "order"), [("a.png", "<u2"), ("a.tif", "<u2"), ("a.tif", ">u2")])
def test_16_bits_are_scaled_and_not_clipped(name, order, tmp_path):
    values = np.array([[0, 200, 32768, 65535]] * 4, dtype=order)
    found = np.asarray(open_picture(saved(tmp_path / name, Image.fromarray(values))))
    assert found[0, :, 0].tolist() == [0, 1, 128, 255]


def test_grey_and_bilevel_become_rgb(tmp_path):
    assert tuple(colour(open_picture(saved(tmp_path / "a.png", Image.new("L", (8, 8), 77))))) == (77, 77, 77)
    assert tuple(colour(open_picture(saved(tmp_path / "b.png", Image.new("1", (8, 8), 1))))) == (255, 255, 255)


def damaged(kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_cut_file_is_one_clear_error(kind, tmp_path):
    data = damaged(kind)
    for share in (0.0, 0.02, 0.5):
        path = tmp_path / f"{share}.{kind.lower()}"
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(ValueError, match=f"{share}.{kind.lower()} cannot be read as a picture"):
            open_picture(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
def test_flipped_bytes_give_a_picture_or_the_error(kind, tmp_path):
    """Pillow raises many kinds of error on damage; none but ours gets out."""
    data, rng = damaged(kind), np.random.default_rng(1)
    path = tmp_path / "flipped"
    for _ in range(150):
        copy = bytearray(data)
        for place in rng.integers(0, min(len(copy), 200), 3):
            copy[place] = rng.integers(0, 256)
        path.write_bytes(copy)
        try:
            assert open_picture(path).mode == "RGB"
        except ValueError as error:
            assert "flipped cannot be read as a picture" in str(error)


def test_what_is_no_picture_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone.png is not there"):
        open_picture(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ValueError, match=r"text.png cannot be read as a picture"):
        open_picture(tmp_path / "text.png")
    Image.new("F", (8, 8)).save(tmp_path / "float.tif")
    with pytest.raises(ValueError, match=r"float.tif .*floating-point"):
        open_picture(tmp_path / "float.tif")


@pytest.mark.parametrize("size", [(100, 100), (150, 100), (100, 290), (37, 91)])
@pytest.mark.parametrize("wanted", [(64, 64), (96, 48), (32, 96)])
def test_a_target_is_cropped_and_never_stretched(size, wanted):
    """A circle stays one: as wide as high, up to a pixel of resampling."""
    y, x = np.mgrid[: size[1] * 4, : size[0] * 4] / 4
    radius = 0.3 * min(size)
    inside = (x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2 < radius**2
    picture = Image.fromarray(np.uint8(inside) * 255).resize(size, Image.Resampling.BOX).convert("RGB")
    fitted = fit_target(picture, *wanted)
    assert fitted.size == wanted
    drawn = np.asarray(fitted)[..., 0] / 255
    scale = max(wanted[0] / size[0], wanted[1] / size[1])
    across, down = drawn[wanted[1] // 2 - 1 : wanted[1] // 2 + 1].sum() / 2, drawn[:, wanted[0] // 2 - 1].sum()
    for found, room in ((across, wanted[0]), (down, wanted[1])):
        assert abs(found - min(2 * radius * scale, room)) < 1.5
