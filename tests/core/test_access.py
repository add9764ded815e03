"""Who may use the bot where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import Settings
from bot.core import access
from bot.core.access import AccessSettings, Block, Denial, GuildRules, Person, Servers

BO = Person(1, frozenset({70, 71}))
THREAD, CHANNEL, CATEGORY, OTHER = 103, 102, 101, 109
PLACES = [THREAD, CHANNEL, CATEGORY]

Rules = Mapping[int, bool]


def test_settings_define_the_access_rules() -> None:
    environ = {"SERVERS": "any", "DIRECT_MESSAGES": "off", "BLOCKED_ROLES": "123456789012345678"}
    wanted = AccessSettings(Servers(any=True), "off", blocked_roles=frozenset({123456789012345678}))
    assert Settings.load(environ, None).access == wanted
    assert Settings.load({}, None).access == AccessSettings(), "the defaults are the same in both"


@pytest.mark.parametrize(
    ("options", "admitted"),
    [
        (AccessSettings(), True),
        (AccessSettings(allowed_users=frozenset({1})), True),
        (AccessSettings(allowed_users=frozenset({2})), False),
        (AccessSettings(allowed_roles=frozenset({71})), True),
        (AccessSettings(allowed_roles=frozenset({72})), False),
        (AccessSettings(allowed_users=frozenset({2}), allowed_roles=frozenset({70})), True),
        (AccessSettings(allowed_users=frozenset({1}), allowed_roles=frozenset({72})), True),
        (AccessSettings(blocked_users=frozenset({1})), False),
        (AccessSettings(blocked_roles=frozenset({70})), False),
        (AccessSettings(allowed_users=frozenset({1}), blocked_roles=frozenset({70})), False),
        (AccessSettings(allowed_roles=frozenset({70}), blocked_users=frozenset({1})), False),
    ],
)
def test_block_wins_over_allow(options: AccessSettings, admitted: bool) -> None:
    denied = None if admitted else Denial.USER
    assert access.denied_in_guild(options, GuildRules(), BO, PLACES, served=True) == denied
    assert access.denied_in_dm(options, BO, shares_guild=True) == denied


@pytest.mark.parametrize(
    ("options", "denied"),
    [
        (AccessSettings(), None),
        (AccessSettings(blocked_roles=frozenset({72})), Denial.UNKNOWN),
        (AccessSettings(blocked_roles=frozenset({70})), Denial.USER),
        (AccessSettings(allowed_roles=frozenset({72})), Denial.UNKNOWN),
        (AccessSettings(allowed_roles=frozenset({70})), None),
        (AccessSettings(allowed_users=frozenset({2})), Denial.USER),
        (AccessSettings(blocked_users=frozenset({1}), blocked_roles=frozenset({72})), Denial.USER),
        (AccessSettings(allowed_users=frozenset({1}), allowed_roles=frozenset({72})), None),
    ],
)
def test_unknown_roles_neither_allow_nor_block(options: AccessSettings, denied: Denial | None) -> None:
    some = Person(1, frozenset({70}), all_roles=False)
    assert access.denied_in_guild(options, GuildRules(), some, PLACES, served=True) == denied
    assert access.denied_in_dm(options, some, shares_guild=True) == denied


def test_least_revealing_of_several_reasons_is_told() -> None:
    options = AccessSettings(blocked_users=frozenset({1}))
    rules = GuildRules(paused=True, block=Block(None), channels={CHANNEL: False})
    assert access.denied_in_guild(options, rules, BO, PLACES, served=False) is Denial.GUILD
    assert access.denied_in_guild(options, rules, BO, PLACES, served=True) is Denial.USER
    assert access.denied_in_guild(AccessSettings(), rules, BO, PLACES, served=True) is Denial.BLOCKED
    rules = GuildRules(paused=True, channels={CHANNEL: False})
    assert access.denied_in_guild(AccessSettings(), rules, BO, PLACES, served=True) is Denial.PAUSED
    rules = GuildRules(channels={CHANNEL: False})
    assert access.denied_in_guild(AccessSettings(), rules, BO, PLACES, served=True) is Denial.CHANNEL


@pytest.mark.parametrize(
    ("wanted", "shares_server", "denied"),
    [
        ("off", True, Denial.DIRECT_MESSAGES),
        ("members", True, None),
        ("members", False, Denial.NOT_MEMBER),
        ("members", None, Denial.UNKNOWN),
        ("everyone", None, None),
    ],
)
def test_direct_message_access(wanted: str, shares_server: bool | None, denied: Denial | None) -> None:
    options = AccessSettings(direct_messages=wanted)  # type: ignore[arg-type]  # pytest knows no literals
    assert access.denied_in_dm(options, BO, shares_guild=shares_server) is denied


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ({}, True),
        ({OTHER: False}, True),
        ({OTHER: True}, False),
        ({CATEGORY: False}, False),
        ({CATEGORY: False, CHANNEL: True}, True),
        ({CATEGORY: False, CHANNEL: True, THREAD: False}, False),
        ({CATEGORY: True}, True),
        ({CATEGORY: True, CHANNEL: False}, False),
        ({CHANNEL: False, THREAD: True}, True),
    ],
)
def test_most_specific_channel_rule_wins(rules: Rules, allowed: bool) -> None:
    assert access.channel_allowed(rules, PLACES) is allowed


def changed(rules: Rules, place: int, rule: bool | None) -> Rules:
    others = {each: allowed for each, allowed in rules.items() if each != place}
    return others if rule is None else {**others, place: rule}


some_rules = st.dictionaries(st.sampled_from([*PLACES, OTHER]), st.booleans())
some_places = st.sampled_from([PLACES, PLACES[1:], PLACES[2:], [OTHER]])


@given(some_rules, some_places)
def test_channels_moderators_allow_are_open(rules: Rules, places: Sequence[int]) -> None:
    after = changed(rules, places[0], access.rule_to_allow(rules, places))
    assert access.channel_allowed(after, places)


@given(some_rules, some_places)
def test_channels_moderators_block_are_closed(rules: Rules, places: Sequence[int]) -> None:
    if access.is_last_allowed(rules, places[0]):
        return
    after = changed(rules, places[0], access.rule_to_block(rules, places))
    assert not access.channel_allowed(after, places)
    for elsewhere in (PLACES, PLACES[1:], PLACES[2:], [OTHER], [110]):
        if access.channel_allowed(after, elsewhere):
            assert access.channel_allowed(rules, elsewhere)


def test_unblocking_a_channel_closes_no_other() -> None:
    assert access.rule_to_allow({CHANNEL: False}, PLACES[1:]) is None
    assert access.rule_to_allow({}, PLACES[1:]) is True, "but where nothing was said, it is to be the only one"
    assert access.rule_to_allow({CATEGORY: False, CHANNEL: False}, PLACES[1:]) is True


def test_last_allowed_channel_is_recognized() -> None:
    assert access.is_last_allowed({CHANNEL: True, OTHER: False}, CHANNEL)
    assert not access.is_last_allowed({CHANNEL: True, OTHER: True}, CHANNEL)
    assert not access.is_last_allowed({CHANNEL: False}, CHANNEL)
