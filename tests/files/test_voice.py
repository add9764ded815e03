"""How long voice messages are, whatever is said of them."""

from __future__ import annotations

import pytest

from bot.files.voice import seconds
from tests.files.samples import ogg_page, picture, voice

_HEADS = voice(0)


@pytest.mark.parametrize(
    ("packet", "milliseconds"),
    [
        pytest.param(b"\xf8\xff\xfe", 20, id="CELT"),
        pytest.param(b"\x18\x00", 60, id="SILK"),
        pytest.param(b"\x79\x00", 40, id="hybrid, two frames"),
        pytest.param(b"\x83\x06\x00", 15, id="six frames of 2.5 ms"),
    ],
)
def test_length_is_that_of_the_packets(packet: bytes, milliseconds: float) -> None:
    assert seconds(voice(3, packet=packet), 600) == pytest.approx(3 * 50 * milliseconds / 1000)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(picture(), id="picture"),
        pytest.param(voice(0), id="no sound"),
        pytest.param(voice(2)[:-1], id="cut"),
        pytest.param(voice(2) + voice(2), id="two streams in a row"),
        pytest.param(voice(2) + ogg_page([b"\xf8"], 9, serial=8), id="two streams at once"),
        pytest.param(voice(2).replace(b"OpusHead", b"\x01vorbis "), id="another codec"),
        pytest.param(voice(2, packet=b"\x1b\x3f"), id="a packet of four seconds"),
        pytest.param(_HEADS + ogg_page([b"\xfb"] * 9, 2, 7), id="packets without frames"),
    ],
)
def test_what_is_no_voice_message_has_no_length(data: bytes) -> None:
    assert seconds(data, 600) is None


def test_counting_ends_where_a_message_is_too_long() -> None:
    nothing = _HEADS + b"".join(ogg_page([b""] * 255, number, 7) for number in range(2, 70_000))
    for data in (voice(601), nothing):
        found = seconds(data, 600)
        assert found is not None
        assert 600 < found < 600.1, "not all of 17 million packets"
