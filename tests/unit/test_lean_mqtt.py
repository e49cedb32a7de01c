"""Packets of the lean client, byte by byte from the MQTT 3.1.1 text."""

import pytest

from simulators.lean_mqtt import connect_packet, publish_packet


def test_connect_asks_for_a_clean_session_with_user_and_password():
    packet = connect_packet("dev1", "u", "pw")
    assert packet == b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x04dev1\x00\x01u\x00\x02pw"


def test_connect_without_a_user_says_so():
    assert connect_packet("a", "", "") == b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"


def test_publish_carries_quality_of_service_one_and_its_id():
    assert publish_packet("a/b", b"xy", 0x0102) == b"\x32\x09\x00\x03a/b\x01\x02xy"


@pytest.mark.parametrize(
    ("payload", "length"), [(120, b"\x7f"), (121, b"\x80\x01"), (16_376, b"\xff\x7f"), (16_377, b"\x80\x80\x01")]
)
def test_the_remaining_length_takes_seven_bits_a_byte(payload, length):
    packet = publish_packet("a/b", b"x" * payload, 1)
    assert packet[1 : 1 + len(length)] == length
    assert len(packet) == 1 + len(length) + 7 + payload
