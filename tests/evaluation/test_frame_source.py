# SPDX-License-Identifier: Apache-2.0
import ast
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import surglavi_hf
from surglavi_hf.evaluation.frame_source import PICTURE_FORMATS, ImageFrames, VideoFrames

from ..conftest import shown


def write(folder, name, size=(6, 4), value=7, mode="RGB"):
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).convert(mode).save(folder / name)


def test_images(tmp_path):
    write(tmp_path, "0.png", value=1)
    write(tmp_path, "1.png", value=2, mode="L")
    frames = ImageFrames(tmp_path, ("0.png", "1.png"))
    read = frames.read([1, 0, 1])
    assert read.shape == (3, 3, 4, 6) and read[:, 0, 0, 0].tolist() == [2, 1, 2] and len(frames) == 2


def test_images_that_cannot_be_read(tmp_path):
    write(tmp_path, "0.png")
    write(tmp_path, "1.png", size=(4, 4))
    (tmp_path / "2.png").write_bytes((tmp_path / "0.png").read_bytes()[:40])
    (tmp_path / "3.png").write_bytes(b"")
    frames = ImageFrames(tmp_path, ("0.png", "1.png", "2.png", "3.png", "4.png"))
    with pytest.raises(ValueError, match="are 4×4 and 6×4 pixels, expected one size"):
        frames.read([0, 1])
    for position in (2, 3):
        with pytest.raises(
            ValueError, match=rf"frame .*{position}\.png is no PNG, JPEG or WebP, or is cut off; extract"
        ):
            frames.read([position])
    with pytest.raises(FileNotFoundError, match=r"frame .*4\.png is not there"):
        frames.read([4])


def read_one(path: Path) -> np.ndarray:
    return ImageFrames(path.parent, (path.name,)).read([0])[0].permute(1, 2, 0).numpy()


COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 0], [0, 255, 255], [40, 80, 120]]], np.uint8)
# For each EXIF orientation how a program that honours it shows stored rows and columns (EXIF 2.3, 4.6.4).
SHOWN = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p),
}


@pytest.mark.parametrize("orientation", SHOWN)
def test_frames_are_turned_as_exif_says(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = COLOURS.repeat(16, axis=0).repeat(16, axis=1)
    for suffix, options in (("png", {}), ("webp", {"lossless": True}), ("jpg", {"quality": 100, "subsampling": 0})):
        path = tmp_path / f"frame.{suffix}"
        Image.fromarray(large).save(path, exif=exif, **options)
        difference = abs(read_one(path).astype(int) - SHOWN[orientation](large))
        assert difference.max() <= (8 if suffix == "jpg" else 0), suffix


def test_the_upper_8_of_16_bits(tmp_path):
    grey = np.array([[0, 255, 256, 257 * 100, 65535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert read_one(tmp_path / "grey.png")[0].tolist() == [[value] * 3 for value in (0, 0, 1, 100, 255)]
    colour = np.stack([grey, grey[:, ::-1], grey], axis=2)
    write_png(tmp_path / "colour.png", colour)
    assert np.array_equal(read_one(tmp_path / "colour.png"), colour >> 8)


def write_png(path: Path, rgb: np.ndarray) -> None:
    """Pillow writes no 16-bit RGB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
def test_modes_that_are_shown_alike_everywhere(tmp_path, mode):
    black_and_white = np.array([[0, 255], [255, 0]], np.uint8)[:, :, None].repeat(3, axis=2)
    Image.fromarray(black_and_white).convert(mode).save(tmp_path / "frame.png")
    assert np.array_equal(read_one(tmp_path / "frame.png"), black_and_white)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "RGBA"])
def test_transparent_pixels_are_refused(tmp_path, mode):
    """Their colour is whatever the writer left there: programs show them white, black, or as they were."""
    picture, options = Image.fromarray(COLOURS).convert(mode), {}
    if mode.endswith("A"):
        picture.putpixel((1, 1), (*picture.getpixel((1, 1))[:-1], 100))
    else:
        options["transparency"] = picture.getpixel((1, 1))
    picture.save(tmp_path / "frame.png", **options)
    with pytest.raises(ValueError, match=r"frame .*frame\.png has transparent pixels, whose colour is not defined"):
        read_one(tmp_path / "frame.png")


def test_pictures_that_programs_show_in_their_own_way(tmp_path):
    picture = Image.fromarray(COLOURS)
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "grey.png", transparency=0)
    for name in ("cmyk.jpg", "grey.png"):
        with pytest.raises(ValueError, match=rf"frame .*{name} is of Pillow's mode .*, expected RGB or grey"):
            read_one(tmp_path / name)
    for name in ("several.png", "several.webp"):
        picture.save(tmp_path / name, save_all=True, append_images=[ImageOps.mirror(picture)])
        with pytest.raises(ValueError, match=rf"frame .*{name} has 2 pictures, expected one"):
            read_one(tmp_path / name)


def test_other_formats_are_not_opened(tmp_path, monkeypatch):
    """Whatever the name: Pillow goes by the bytes, and has Ghostscript draw EPS."""
    monkeypatch.setattr(
        "PIL.EpsImagePlugin.Ghostscript", lambda *given, **more: pytest.fail("Ghostscript was started")
    )
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "eps.png").write_bytes(eps)
    for kind in ("gif", "bmp", "tiff", "ppm", "ico", "tga"):
        Image.fromarray(COLOURS).save(tmp_path / f"{kind}.png", format=kind)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ValueError, match=rf"frame .*{path.name} is no PNG, JPEG or WebP, or is cut off; extract"):
            read_one(path)
    Image.fromarray(COLOURS).save(tmp_path / "png.jpg", format="png")
    assert np.array_equal(read_one(tmp_path / "png.jpg"), COLOURS), "the bytes count, not the name"


@pytest.mark.parametrize("pixels", [19, 39])  # Pillow warns of more than a limit, and refuses more than twice it
def test_too_many_pixels_are_one_line(tmp_path, monkeypatch, pixels):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels // 2 if pixels == 39 else pixels - 1)
    Image.fromarray(np.zeros((1, pixels, 3), np.uint8)).save(tmp_path / "frame.png")
    with pytest.raises(ValueError, match=r"frame .*frame\.png has over \d+ pixels, more than any camera; extract it"):
        read_one(tmp_path / "frame.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_damage_is_one_line(tmp_path, suffix):
    """Cut off or with other bytes anywhere: it is refused, or decoded by a library that does not notice."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOURS.repeat(8, axis=1)).save(tmp_path / f"good.{suffix}", exif=exif)
    good, generator = (tmp_path / f"good.{suffix}").read_bytes(), np.random.default_rng(0)
    path, refused = tmp_path / f"bad.{suffix}", 0
    for place in range(len(good)):
        damaged = bytearray(good)
        damaged[place] ^= int(generator.integers(1, 256))
        for content in (good[:place], bytes(damaged)):
            path.write_bytes(content)
            try:
                read_one(path)
            except ValueError as error:
                refused += 1
                assert str(path) in str(error) and "\n" not in str(error)
    assert refused > len(good) / 2


def test_pictures_are_opened_in_the_formats_that_are_meant():
    """Nowhere in the package or the benchmarks by whatever Pillow finds in the bytes."""
    package = Path(surglavi_hf.__file__).parent
    calls = {}
    for path in [*package.rglob("*.py"), *(package.parent / "benchmarks").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                calls.setdefault(path.name, []).append({keyword.arg for keyword in node.keywords})
    assert "frame_source.py" in calls and set(PICTURE_FORMATS) == {"PNG", "JPEG", "WEBP"}
    assert all("formats" in keywords for found in calls.values() for keywords in found), calls


def test_video(tmp_path, write_video):
    path = write_video(tmp_path / "v.mp4", [0.0, 1.0, 2.0, 3.0])
    frames = VideoFrames(path, (0.0, 1.5, 3.0))
    assert shown(frames.read([2, 0, 1])) == [3, 0, 1] and frames.files() == [path]
