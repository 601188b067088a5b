"""Augmented views of the training photographs, and what the ImageNet network answers to each of them.

    python views.py DATASET VIEWS TEACHER.tflite --rounds 4

``TEACHER`` is mobilenet_v2_1.0_224_quant.tflite; needs ai-edge-litert and OpenCV.  Round 0 is each whole photograph,
the others are augmented.  About 15 ms a view on one core, 1.0 GB a round.  For round K: ``vK.npy`` (photographs, 144,
144, 3) uint8 pictures, ``fK.npy`` (photographs, 1280) pooled features and ``lK.npy`` (photographs, 1001) logits, both
as the network's uint8.
"""
from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
from photographs import OTHER, Photograph, encoded, photographs
from PIL import Image, ImageEnhance, ImageFilter

SIZE = 144
BLENDED = 0.2       # share of the views that show a second one, too, as the teacher has to answer these as well
# How that file stores them: real = scale x (stored - zero point).
FEATURE_SCALE = 0.023528477177023888
LOGIT_SCALE, LOGIT_ZERO = 0.09889253973960876, 58
_FEATURES = 169     # tensor of the pooled features


class Round(NamedTuple):
    pictures: np.ndarray
    features: np.ndarray
    logits: np.ndarray


def rounds(folder: Path) -> List[Round]:
    """Every finished round in the folder, not read into memory."""
    return [Round(*(np.load(str(folder / (kind + path.stem[1:] + ".npy")), mmap_mode="r") for kind in "vfl"))
            for path in sorted(folder.glob("l*.npy"), key=lambda path: int(path.stem[1:]))]


class Teacher:
    def __init__(self, model: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter
        self.interpreter = Interpreter(str(model), num_threads=1, experimental_preserve_all_tensors=True)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.output = self.interpreter.get_output_details()[0]["index"]

    def __call__(self, picture: Image.Image) -> Tuple[np.ndarray, np.ndarray]:
        """Features (1280,) and logits (1001,), both uint8."""
        self.interpreter.set_tensor(self.input, np.asarray(picture.resize((224, 224), Image.BILINEAR))[None])
        self.interpreter.invoke()
        return self.interpreter.get_tensor(_FEATURES).reshape(-1), self.interpreter.get_tensor(self.output).reshape(-1)


def view(picture: Image.Image, ground: Optional[Image.Image], chance: np.random.Generator) -> Image.Image:
    """
    A part, the whole, or (in 40 %) a smaller copy on ``ground``; then other colours, blur, noise and JPEG.

    :param ground: None: a part in its place
    """
    kind = chance.random()
    if kind < 0.4 and ground is not None:
        picture = _moved(picture, ground, chance)
    elif 0.4 <= kind < 0.5:
        picture = picture.resize((SIZE, SIZE), Image.LANCZOS)
    else:
        picture = _part(picture, 0.25, chance)
    if chance.random() < 0.8:
        for enhancer, most in ((ImageEnhance.Brightness, 0.45), (ImageEnhance.Contrast, 0.45),
                               (ImageEnhance.Color, 0.6)):
            picture = enhancer(picture).enhance(float(chance.uniform(1 - most, 1 + most)))
        if chance.random() < 0.4:
            tinted = np.asarray(picture, np.float32) * chance.uniform(0.75, 1.25, 3)
            picture = Image.fromarray(tinted.clip(0, 255).astype(np.uint8))
    if chance.random() < 0.05:
        picture = picture.convert("L").convert("RGB")
    spoilt = chance.random()
    if spoilt < 0.2:
        picture = picture.filter(ImageFilter.GaussianBlur(float(chance.uniform(0.4, 2.6))))
    elif spoilt < 0.3:      # few pixels
        side = int(chance.integers(40, 110))
        picture = picture.resize((side, side), Image.BILINEAR).resize((SIZE, SIZE), Image.BICUBIC)
    elif spoilt < 0.4:
        noise = chance.normal(0, chance.uniform(4, 20), (SIZE, SIZE, 3))
        picture = Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))
    if chance.random() < 0.25:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(chance.integers(20, 80)))
        picture = Image.open(file).convert("RGB")
    return picture.transpose(Image.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else picture


def blended(first: Image.Image, second: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Mixup or, as often, CutMix of two views; the first one keeps at least half of the picture."""
    if chance.random() < 0.5:
        return Image.blend(first, second, float(chance.uniform(0.15, 0.5)))
    side = int(SIZE * chance.uniform(0.3, 0.7))
    left, top = (int(chance.integers(SIZE - side + 1)) for _ in range(2))
    mixed = first.copy()
    mixed.paste(second.crop((left, top, left + side, top + side)), (left, top))
    return mixed


def _part(picture: Image.Image, least: float, chance: np.random.Generator) -> Image.Image:
    """``least`` to all of the area, near the picture's own shape, squashed to the square."""
    share, shape = chance.uniform(least, 1.0) ** 0.5, np.exp(chance.uniform(-0.35, 0.35) / 2)
    wide, high = min(1.0, share * shape) * picture.width, min(1.0, share / shape) * picture.height
    left, top = chance.uniform(0, picture.width - wide), chance.uniform(0, picture.height - high)
    return picture.resize((SIZE, SIZE), Image.BICUBIC, box=(left, top, left + wide, top + high))


def _moved(picture: Image.Image, other: Image.Image, chance: np.random.Generator) -> Image.Image:
    """A copy of 30 to 95 % of the side, cut out where that can be done, on a colour or on another photograph."""
    kind = chance.random()
    if kind < 0.2:
        ground = Image.new("RGB", (SIZE, SIZE), tuple(int(v) for v in chance.integers(0, 256, 3)))
    else:
        ground = _part(other, 0.1, chance)
        if kind < 0.6:
            ground = ground.filter(ImageFilter.GaussianBlur(float(chance.uniform(1, 6))))
    mask = _outline(picture) if chance.random() < 0.85 else None
    if mask is not None:
        box = mask.point(lambda v: 255 * (v > 128)).getbbox()
        picture, mask = picture.crop(box), mask.crop(box)
        if chance.random() < 0.3:
            turn = float(chance.uniform(-25, 25))
            picture, mask = (layer.rotate(turn, Image.BICUBIC, expand=True) for layer in (picture, mask))
    side, shape = SIZE * chance.uniform(0.3 if mask is None else 0.4, 0.95), (picture.width / picture.height) ** 0.5
    size = (max(8, int(min(SIZE, side * shape))), max(8, int(min(SIZE, side / shape))))
    if mask is None:
        edge = int(min(size) * chance.uniform(0.01, 0.1)) + 1
        inner = Image.new("L", size, 0)
        inner.paste(255, (edge, edge, max(edge + 1, size[0] - edge), max(edge + 1, size[1] - edge)))
        mask = inner.filter(ImageFilter.GaussianBlur(edge / 2))
    left, top = (int(chance.integers(SIZE - length + 1)) for length in size)
    ground.paste(picture.resize(size, Image.BICUBIC), (left, top), mask.resize(size, Image.BILINEAR))
    return ground


def _outline(picture: Image.Image, side: int = 72) -> Optional[Image.Image]:
    """
    A mask of the thing, or None where it is not clear what that is.

    GrabCut (Rother et al., 2004), told that the border of the picture is background.
    """
    small = np.array(picture.resize((side, side), Image.BOX))
    mask = np.full((side, side), cv2.GC_BGD, np.uint8)
    mask[4:-4, 4:-4] = cv2.GC_PR_FGD
    cv2.setRNGSeed(1)
    try:
        cv2.grabCut(small, mask, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    except cv2.error:       # a picture of one colour
        return None
    thing = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not 0.12 < thing.mean() < 0.75:
        return None
    soft = cv2.GaussianBlur(cv2.resize(thing.astype(np.uint8) * 255, picture.size), (0, 0), picture.width / 120)
    return Image.fromarray(soft)


def made(train: List[Photograph], dataset: Path, teacher: Teacher, number: int,
         pools: Optional[Sequence[str]] = None) -> Round:
    """
    One round of all these photographs; the same number gives the same views.

    :param pools: of each photograph: what else its views show comes from photographs of the same pool; "": nothing else
    """
    chance, contents = np.random.default_rng(100 + number), encoded(dataset, train)
    pools = pools or ["all"] * len(train)
    members = {pool: [p for p, of in zip(train, pools) if of == pool] for pool in set(pools)}
    strange = {pool: [p for p in of if p.name == OTHER] for pool, of in members.items()}

    def opened(photograph: Photograph) -> Image.Image:
        return Image.open(io.BytesIO(contents[photograph.file])).convert("RGB")

    def one_of(some: List[Photograph]) -> Image.Image:
        return opened(some[chance.integers(len(some))])

    result = Round(*(np.empty((len(train),) + shape, np.uint8) for shape in ((SIZE, SIZE, 3), (1280,), (1001,))))
    for i, (photograph, pool) in enumerate(zip(train, pools)):
        picture = opened(photograph)
        if number == 0:
            picture = picture.resize((SIZE, SIZE), Image.LANCZOS)
        elif not pool:
            picture = view(picture, None, chance)
        else:
            # Half of the grounds are of nothing in particular, and what stands on one is not "other" for it.
            ground = one_of(strange[pool] if strange[pool] and chance.random() < 0.5 else members[pool])
            picture = view(picture, ground, chance)
            if chance.random() < BLENDED:
                picture = blended(picture, view(one_of(members[pool]), ground, chance), chance)
        result.pictures[i] = np.asarray(picture)
        result.features[i], result.logits[i] = teacher(picture)
    return result


def make(folder: Path, count: int, train: List[Photograph], dataset: Path, teacher: Path,
         pools: Optional[Sequence[str]] = None) -> None:
    """The rounds that are not in the folder yet, up to ``count``."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = Teacher(teacher)
    for number in range(len(rounds(folder)), count):
        for kind, content in zip("vfl", made(train, dataset, asked, number, pools)):    # "l" last: it says finished
            np.save(str(folder / ("%s%d.npy" % (kind, number))), content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("views", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    train = [p for p in photographs(args.dataset) if p.split == "train"]
    make(args.views, args.rounds, train, args.dataset, args.teacher)


if __name__ == "__main__":
    main()
