"""Odd files of one image: each shows the same pattern, or says no picture.

The pattern is black and white, so that it is a mask too, and shows how a file is turned.
"""

import dataclasses
import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

# Which pixels are white: an F, which no turn and no mirror leaves as it is.
WHITE = np.array(
    [[0] * 8]
    + [[0, *map(int, row), 0] for row in ("111110", "100000", "111100", "100000", "100000")]
    + [[0] * 8] * 2,
    bool,
)
_BYTES = np.uint8(255 * WHITE)
_COLOR = np.repeat(_BYTES[..., None], 3, axis=2)


@dataclasses.dataclass(frozen=True)
class OddFile:
    """A file and what is to be made of it.

    Attributes:
        name: the file's name.
        content: its bytes.
        is_image: whether it is read as an image, with the pattern's pixels; else it is refused.
        is_mask: the same of a mask.
        tolerance: how far pixels may lie from the pattern's.
        mask_content: the bytes as a mask, where a mask is another file.
    """

    name: str
    content: bytes
    is_image: bool
    is_mask: bool
    tolerance: float = 0.0
    mask_content: bytes | None = None

    def write(self, folder: pathlib.Path, as_mask: bool = False) -> str:
        """Writes the file into a folder and returns its path."""
        path = folder / self.name
        path.write_bytes(self.mask_content or self.content if as_mask else self.content)
        return str(path)


def odd_files() -> list[OddFile]:
    """All odd files: pictures by Pillow, by hand, under false names; arrays."""
    return [*_right_pictures(), *_refused_pictures(), *_arrays()]


def encoded(pixels: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    """The bytes of a picture that Pillow writes."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(rows: np.ndarray, bits: int, color_type: int, **chunks: bytes) -> bytes:
    """A PNG file by hand.

    Args:
        rows: the packed bytes of each row, uint8 [H, bytes].
        bits: bits of a channel.
        color_type: 0 gray, 2 color, 3 palette, 4 gray and alpha, 6 color and alpha.
        chunks: further chunks by name.
    """

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">2I5B", 8, 8, bits, color_type, 0, 0, 0)
    further = b"".join(chunk(name.encode(), data) for name, data in chunks.items())
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), further, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    )


def tiff(
    pixels: bytes,
    bits: tuple[int, ...],
    *,
    photometric: int = 1,
    sample_format: int = 1,
    order: str = "<",
    tags: dict[int, int] | None = None,
) -> bytes:
    """An uncompressed TIFF file of 8 x 8 pixels by hand.

    Args:
        pixels: all samples, in the byte order of the file.
        bits: bits of each channel.
        photometric: 0 white is zero, 1 black is zero, 2 color.
        sample_format: 1 unsigned, 2 signed, 3 float.
        order: "<" or ">".
        tags: further tags with one short value.
    """
    count = len(bits)
    start = 8 + 2 * 2 * count  # Header, then the values that do not fit into a tag.
    values = {256: 8, 257: 8, 259: 1, 262: photometric, 273: start, 277: count, 278: 8}
    values |= {279: len(pixels), **(tags or {})}
    entries = {number: (3, 1, struct.pack(f"{order}HH", v, 0)) for number, v in values.items()}
    for number, shorts, place in ((258, bits, 8), (339, (sample_format,) * count, 8 + 2 * count)):
        packed = struct.pack(f"{order}{count}H", *shorts)
        inline = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(f"{order}I", place)
        entries[number] = (3, count, inline)
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(
        struct.pack(f"{order}HHI", number, kind, length) + value
        for number, (kind, length, value) in sorted(entries.items())
    )
    mark = b"II" if order == "<" else b"MM"
    header = mark + struct.pack(f"{order}HI", 42, start + len(pixels))
    long_values = struct.pack(f"{order}{count}H", *bits)
    long_values += struct.pack(f"{order}{count}H", *(sample_format,) * count)
    return header + long_values + pixels + directory + bytes(4)


def _array(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def _archive(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _stored_turned(orientation: int) -> tuple[Image.Image, Image.Exif]:
    """The picture as a camera stores it that was held in one of the eight ways, and its tag."""
    turns = Image.Transpose
    back = {
        2: turns.FLIP_LEFT_RIGHT,
        3: turns.ROTATE_180,
        4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE,
        6: turns.ROTATE_90,
        7: turns.TRANSVERSE,
        8: turns.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    return Image.fromarray(_BYTES).transpose(back[orientation]), exif


def _turned(orientation: int, kind: str, **options) -> bytes:
    image, exif = _stored_turned(orientation)
    return encoded(image, kind, exif=exif, **options)


def _packed(bits: int, white: int) -> np.ndarray:
    """The rows with samples of less than 8 bits, or of 12."""
    samples = np.unpackbits(np.uint16(white * WHITE).astype(">u2").view(np.uint8), axis=1)
    samples = samples.reshape(8, 8, 16)[:, :, 16 - bits :]
    return np.packbits(samples.reshape(8, -1), axis=1)


def _deep(white: int, channels: int = 1, alpha: int | None = None, order: str = ">") -> np.ndarray:
    """The rows with samples of 16 bits."""
    samples = np.repeat(white * WHITE[..., None].astype(int), channels, axis=2)
    if alpha is not None:
        samples = np.concatenate([samples, np.full((8, 8, 1), alpha)], axis=2)
    return samples.astype(f"{order}u2").reshape(8, -1).view(np.uint8)


def _black_on_transparent_white() -> Image.Image:
    """White where the pattern is; elsewhere white too, and transparent."""
    return Image.fromarray(np.dstack([np.full_like(_COLOR, 255), _BYTES]))


def _right_pictures() -> list[OddFile]:
    def right(name: str, content: bytes, tolerance: float = 0.0, is_mask: bool = True) -> OddFile:
        return OddFile(name, content, True, is_mask, tolerance)

    gray, color = Image.fromarray(_BYTES), Image.fromarray(_COLOR)
    floats = np.float32(WHITE)
    animation = {"save_all": True, "append_images": [Image.fromarray(255 - _BYTES)]}
    palette = Image.fromarray(np.uint8(WHITE) + 3, "P")
    palette.putpalette([9, 9, 9] * 3 + [0, 0, 0] + [255, 255, 255])
    frame = Image.fromarray(_BYTES[1:6, 1:7])
    return [
        right("mirrored.png", _turned(2, "PNG")),
        right("half turn.tif", _turned(3, "TIFF")),
        right("upside down.webp", _turned(4, "WEBP", lossless=True)),
        right("transposed.jpg", _turned(5, "JPEG", quality=100), 0.03),
        right("transversed, LZW.tiff", _turned(7, "TIFF", compression="tiff_lzw")),
        right("held to the left.webp", _turned(8, "WEBP", lossless=True)),
        right(
            "turned floats.tif",
            tiff(np.rot90(floats).tobytes(), (32,), sample_format=3, tags={274: 6}),
        ),
        right(
            "turned 16 bits.tif",
            tiff(np.rot90(np.uint16(65_535 * WHITE)).astype("<u2").tobytes(), (16,), tags={274: 6}),
        ),
        right("12 bits.tif", tiff(_packed(12, 4_095).tobytes(), (12,))),
        right(
            "white is zero, 16 bits.tif",
            tiff(
                (65_535 - 65_535 * WHITE.astype(int)).astype("<u2").tobytes(), (16,), photometric=0
            ),
        ),
        right(
            "white is zero, floats.tif",
            tiff((1 - floats).tobytes(), (32,), photometric=0, sample_format=3),
        ),
        right(
            "white is zero, 1 bit.tif",
            tiff(_packed(1, 1).__invert__().tobytes(), (1,), photometric=0),
        ),
        right("fax.tif", encoded(gray.convert("1"), "TIFF", compression="group4")),
        right(
            "floats, big end first.tif",
            tiff(floats.astype(">f4").tobytes(), (32,), sample_format=3, order=">"),
        ),
        right(
            "floats, rounded.tif",
            tiff((floats * np.float32(1 + 1e-7)).tobytes(), (32,), sample_format=3),
        ),
        right("integers of 32 bits.tif", tiff((65_535 * WHITE.astype("<u4")).tobytes(), (32,))),
        right("deflated.tif", encoded(color, "TIFF", compression="tiff_adobe_deflate")),
        right("packbits.tif", encoded(gray, "TIFF", compression="packbits")),
        right("4 bits.tif", tiff(_packed(4, 15).tobytes(), (4,))),
        right(
            "a further channel.tif",
            tiff(
                np.dstack([_COLOR, 255 - _BYTES]).tobytes(), (8,) * 4, photometric=2, tags={338: 0}
            ),
        ),
        right("2 bits.png", png(_packed(2, 3), 2, 0)),
        right("4 bits.png", png(_packed(4, 15), 4, 0)),
        right("16 bits and alpha.png", png(_deep(65_535, 1, 65_535), 16, 4), is_mask=False),
        right("16 bits, color and alpha.png", png(_deep(65_535, 3, 65_535), 16, 6), is_mask=False),
        right("black is transparent.png", png(_BYTES, 8, 0, tRNS=b"\0\0"), is_mask=False),
        right(
            "transparent white.png", encoded(_black_on_transparent_white(), "PNG"), is_mask=False
        ),
        right(
            "transparent white.webp",
            encoded(_black_on_transparent_white(), "WEBP", lossless=True),
            is_mask=False,
        ),
        right("animated.apng", encoded(gray, "PNG", **animation)),
        right(
            "small frame.gif",
            encoded(frame, "GIF")
            .replace(b"GIF87a\x06\0\x05\0", b"GIF87a\x08\0\x08\0")
            .replace(b",\0\0\0\0\x06\0\x05\0", b",\x01\0\x01\0\x06\0\x05\0"),
        ),
        right("few colors.gif", encoded(palette, "GIF")),
        right("few colors.bmp", encoded(palette, "BMP")),
        right("lossy.webp", encoded(color, "WEBP", quality=100), 0.08),
        right("progressive.jpe", encoded(gray, "JPEG", quality=100, progressive=True), 0.03),
        right("camera.jfif", encoded(color, "JPEG", quality=100, subsampling=0), 0.03),
        right(
            "two views.jpg", encoded(color, "MPO", quality=100, subsampling=0, **animation), 0.03
        ),
        right("text.pgm", b"P2 8 8 1 " + b" ".join(b"%d" % v for v in WHITE.ravel())),
        right("12 bits.pgm", b"P5 8 8 4095\n" + _deep(4_095).tobytes()),
        right("bits.pbm", b"P4 8 8\n" + (~_packed(1, 1)).tobytes()),
        right("16 bits.ppm", b"P6 8 8 65535\n" + _deep(65_535, 3).tobytes()),
        right("a JPEG.png", encoded(gray, "JPEG", quality=100), 0.03),
        right("a PNG.JPG", encoded(gray, "PNG")),
        right("a TIFF.bmp", encoded(gray, "TIFF")),
    ]


EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"
    b"0 0 8 8 rectfill\nshowpage\n%%EOF\n"
)


def _refused_pictures() -> list[OddFile]:
    def refused(name: str, content: bytes) -> OddFile:
        return OddFile(name, content, False, False)

    floats, whole = np.float32(WHITE), encoded(_BYTES, "PNG")
    bomb = b"".join([whole[:16], struct.pack(">2I", 20_000, 20_000), whole[24:29]])
    bomb += struct.pack(">I", zlib.crc32(bomb[12:])) + whole[33:]
    return [
        refused("a program.png", EPS),
        refused("a program.tif", EPS),
        refused("an icon.png", encoded(_BYTES, "ICO", sizes=[(8, 8)])),
        refused("a document.jpg", encoded(_BYTES, "PDF")),
        refused("another kind.jpg", encoded(_BYTES, "JPEG2000")),
        refused("raw.bmp", encoded(_COLOR, "TGA")),
        refused("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        refused("empty.png", b""),
        refused("cut.png", whole[: len(whole) // 2]),
        refused("bomb.png", bomb),
        refused("labels.png", encoded(np.uint8(20 * WHITE), "PNG")),
        refused("ones.bmp", encoded(np.uint8(WHITE), "BMP")),
        refused("14 bits in 16.png", png(_deep(16_383), 16, 0)),
        refused("10 bits in 16.tif", tiff(_deep(1_023, order="<").tobytes(), (16,))),
        refused("12 bits in 16, color.png", png(_deep(4_095, 3), 16, 2)),
        refused(
            "bytes in 16 bits, color.tif",
            tiff(_deep(255, 3, order="<").tobytes(), (16,) * 3, photometric=2),
        ),
        refused("transparent of 16 bits.png", png(_deep(65_535), 16, 0, tRNS=b"\0\0")),
        refused("transparent of 4 bits.png", png(_packed(4, 15), 4, 0, tRNS=b"\0\x0f")),
        refused("signed bytes.tif", tiff(np.int8(127 * WHITE).tobytes(), (8,), sample_format=2)),
        refused(
            "signed 16 bits.tif",
            tiff(np.int16(32_767 * WHITE).tobytes(), (16,), sample_format=2, order="<"),
        ),
        refused("12 bits in 32.tif", tiff((4_095 * WHITE.astype("<u4")).tobytes(), (32,))),
        refused("all of 32 bits.tif", tiff(((2**32 - 1) * WHITE.astype("<u4")).tobytes(), (32,))),
        refused("floats, -1 to 1.tif", tiff((2 * floats - 1).tobytes(), (32,), sample_format=3)),
        refused("floats, 0 to 255.tif", tiff((255 * floats).tobytes(), (32,), sample_format=3)),
        refused(
            "floats, NaN.tif",
            tiff(np.where(WHITE, np.nan, floats).tobytes(), (32,), sample_format=3),
        ),
        refused(
            "floats, color.tif",
            tiff(np.repeat(floats, 3).tobytes(), (32,) * 3, photometric=2, sample_format=3),
        ),
        refused("floats of 64 bits.tif", tiff(np.float64(WHITE).tobytes(), (64,), sample_format=3)),
        refused("text.pgm.heic", b"P2 1 1 1 1"),
    ]


def _arrays() -> list[OddFile]:
    """Two images each, or one mask. Numbers 0 and 1 are a mask in every dtype."""
    two = np.stack([WHITE, WHITE])
    ones, floats, doubles = two.astype(np.uint8), two.astype(np.float32), two.astype(float)

    def array(name: str, values: np.ndarray, is_image: bool, is_mask: bool, **options) -> OddFile:
        contents = [_array(part, allow_pickle=True) for part in (values, values[:1])]
        return OddFile(name, contents[0], is_image, is_mask, mask_content=contents[1], **options)

    def archive(name: str, values: np.ndarray, is_right: bool) -> OddFile:
        return OddFile(name, _archive(images=values, mask=values[:1]), is_right, is_right)

    whole, one = _array(floats), _array(floats[:1])
    packed = _archive(images=floats, mask=floats[:1])
    return [
        array("half.npy", two.astype("f2"), True, True),
        array("double, big end first.npy", two.astype(">f8"), True, True),
        array("long double.npy", two.astype("g"), True, True),
        array("columns first.npy", np.asfortranarray(floats), True, True),
        array("with channels.NPY", floats[..., None], True, True),
        array("rounded.npy", floats * np.float32(1 + 1e-7), True, False, tolerance=1e-6),
        archive("archive.npz", doubles, True),
        archive("an archive.npy", doubles, True),
        OddFile("an array.npz", whole, True, True, mask_content=one),
        array("bytes.npy", 255 * ones, True, False),
        array("bools.npy", two, False, True),
        array("ones.npy", ones, False, True),
        array("signed ones.npy", two.astype(np.int8), False, True),
        array("long ones.npy", two.astype(">i8"), False, True),
        array("17 levels.npy", 16 * ones, False, False),
        archive("labels.npz", 20 * ones, False),
        array("16 bits.npy", two * np.uint16(65_535), False, False),
        array("0 to 255.npy", 255 * floats, False, False),
        array("-1 to 1.npy", 2 * doubles - 1, False, False),
        array("0 to 2.5.npy", 2.5 * doubles, False, False),
        array("infinite.npy", np.where(two, np.inf, 0), False, False),
        array("NaN.npy", np.where(two, np.nan, 0), False, False),
        array("huge.npy", 1e300 * doubles, False, False),
        array("complex.npy", two.astype(complex), False, False),
        array("text.npy", two.astype("U5"), False, False),
        array("times.npy", two.astype("m8[s]"), False, False),
        array("records.npy", np.zeros(two.shape, [("red", "u1"), ("green", "u1")]), False, False),
        array("objects.npy", two.astype(object), False, False),
        array("no image.npy", floats[:0], False, False),
        array("channels first.npy", floats[:, None], False, False),
        array("flat.npy", floats.reshape(2, 64), False, False),
        array("four channels.npy", np.repeat(floats[..., None], 4, axis=3), False, False),
        OddFile("a number.npy", _array(np.array(1.0)), False, False),
        OddFile("cut.npy", one[:-9], False, False),
        OddFile("cut.npz", packed[:-30], False, False),
        OddFile("other names.npz", _archive(x=floats), False, False),
    ]
