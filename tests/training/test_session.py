"""Workers train one run: its settings, its images and its step are the same for all."""

import pytest

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.training.session import require_same_run

RUN = {"settings": {"b": 1, "a": {"c": 0.5}}, "num_images": 100, "step": 7}


class Workers:
    """Keeps the numbers that this worker compares with the others; disagrees on one of them."""

    def __init__(self, different: int | None = None):
        self.different, self.compared = different, []

    def agree_on(self, numbers: list[int]) -> bool:
        self.compared += numbers
        return len(self.compared) - 1 != self.different


def numbers_of(**changes) -> list[int]:
    workers = Workers()
    require_same_run(workers, **{**RUN, **changes})
    return workers.compared


def test_the_three_numbers_tell_runs_apart():
    checksum, num_images, step = numbers_of()
    assert (num_images, step) == (100, 7)
    assert 0 <= checksum < 2**32
    assert numbers_of(settings={"a": {"c": 0.5}, "b": 1}) == [checksum, 100, 7]
    assert numbers_of(settings={"b": 1, "a": {"c": 0.25}})[0] != checksum


@pytest.mark.parametrize(
    ("different", "message"),
    [
        (0, "`--config` must be the same for all workers"),
        (1, "`config.data` must be the same for all workers. Received: 100 images"),
        (2, "`--workdir` must be shared by all workers. Received: step 7 here"),
    ],
)
def test_a_difference_is_named(different, message):
    workers = Workers(different)
    with pytest.raises(InvalidArgument) as caught:
        require_same_run(workers, **RUN)
    assert message in str(caught.value)
    assert len(workers.compared) == different + 1


def test_other_images_of_the_same_number_are_named():
    checksum, *numbers = numbers_of(content="0000001f9a")
    assert numbers == [100, 1, 7]
    with pytest.raises(
        InvalidArgument, match=r"the same images for all workers.*100 images, 00000"
    ):
        require_same_run(Workers(2), **RUN, content="0000001f9a")
    assert checksum == numbers_of()[0]
