from __future__ import annotations

from bot.discord_bot.delivery.view import Delete, Edit, Post, ShownMessage, WantedMessage, next_action


def test_the_next_action_is_one_step_towards_what_is_wanted() -> None:
    a, b, other = WantedMessage(0, "a"), WantedMessage(5, "b"), WantedMessage(0, "A")
    assert next_action([a], []) == Post(0, a)
    assert next_action([a, b], [ShownMessage(1, a)]) == Post(1, b)
    assert next_action([other, b], [ShownMessage(1, a)]) == Edit(0, other), "what comes first is put right first"
    assert next_action([a], [ShownMessage(1)]) == Edit(0, a), "what is not known is put right"
    assert next_action([a], [ShownMessage(1, a), ShownMessage(2, b)]) == Delete(2)
    assert next_action([a, b], [ShownMessage(1, a), ShownMessage(2, b)]) is None
