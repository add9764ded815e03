"""Deletes the rows of what was forgotten, a few at a time. They are unreachable from the commit that forgot them."""

from __future__ import annotations

_ROWS = 25
"""Turns of one step, which takes a few milliseconds."""
_SHORT_ROWS = 250
"""Rows of one step without text."""

_CONVERSATIONS = f"SELECT id FROM forgotten_conversations ORDER BY id LIMIT {_SHORT_ROWS}"
_TURNS_OF_USERS = """
    SELECT stored_turns.id FROM forgotten_users AS gone CROSS JOIN stored_turns
    WHERE stored_turns.user_id = gone.user_id AND stored_turns.id <= through AND gone.conversation_id = 0
    """
_TURNS_OF_USERS_HERE = """
    SELECT stored_turns.id FROM forgotten_users AS gone CROSS JOIN stored_turns
    WHERE stored_turns.conversation_id = gone.conversation_id AND stored_turns.user_id = gone.user_id
    AND stored_turns.id <= through
    """
_TURNS_THAT_QUOTE = """
    SELECT stored_turns.id FROM forgotten_users AS gone CROSS JOIN stored_turns
    WHERE quoted_id = gone.user_id AND stored_turns.id <= through
    AND gone.conversation_id IN (0, stored_turns.conversation_id)
    """
_CHARGES_OF_USERS = """
    SELECT charges.id FROM forgotten_users AS gone CROSS JOIN charges
    WHERE charges.user_id = gone.user_id AND turn_id <= through AND gone.conversation_id = 0
    """

_TURNS_THAT_HEARD = """
    SELECT turn_id FROM forgotten_users AS gone CROSS JOIN recent_authors AS author
    WHERE author.user_id = gone.user_id AND turn_id <= through AND gone.conversation_id = 0
    """

PURGE = (
    # Before the turns, whose going would drop each of them again.
    f"""
    DELETE FROM stored_summaries WHERE id IN (
        SELECT stored_summaries.id FROM ({_CONVERSATIONS}) AS gone CROSS JOIN stored_summaries
        WHERE conversation_id = gone.id LIMIT {_ROWS}
    )
    RETURNING 1
    """,
    f"""
    DELETE FROM stored_turns WHERE id IN (
        SELECT stored_turns.id FROM ({_CONVERSATIONS}) AS gone CROSS JOIN stored_turns WHERE conversation_id = gone.id
        LIMIT {_ROWS}
    )
    RETURNING 1
    """,
    f"DELETE FROM forgotten_conversations WHERE id IN ({_CONVERSATIONS}) RETURNING 1",
    # A user's DM goes with the turns, unless the user has asked in it since.
    f"""
    DELETE FROM conversations
    WHERE guild_id IS NULL
      AND id IN (SELECT conversation_id FROM stored_turns WHERE id IN ({_TURNS_OF_USERS} LIMIT {_ROWS}))
      AND NOT EXISTS (
          SELECT 1 FROM stored_turns AS other WHERE other.conversation_id = conversations.id AND NOT EXISTS (
              SELECT 1 FROM forgotten_users AS gone
              WHERE gone.user_id = other.user_id AND gone.conversation_id = 0 AND other.id <= gone.through
          )
      )
    RETURNING 1
    """,
    f"DELETE FROM stored_turns WHERE id IN ({_TURNS_OF_USERS} LIMIT {_ROWS}) RETURNING 1",
    f"DELETE FROM stored_turns WHERE id IN ({_TURNS_THAT_HEARD} LIMIT {_ROWS}) RETURNING 1",
    f"DELETE FROM stored_turns WHERE id IN ({_TURNS_OF_USERS_HERE} LIMIT {_ROWS}) RETURNING 1",
    f"""
    UPDATE stored_turns
    SET prompt = (SELECT line FROM forgotten_users WHERE user_id = quoted_id)
            || substr(prompt, CAST(quote_length + 1 AS INTEGER)),
        quoted_id = NULL, quote_length = 0
    WHERE id IN ({_TURNS_THAT_QUOTE} LIMIT {_ROWS})
    RETURNING 1
    """,
    f"UPDATE charges SET user_id = NULL WHERE id IN ({_CHARGES_OF_USERS} LIMIT {_SHORT_ROWS}) RETURNING 1",
    "DELETE FROM forgotten_users RETURNING 1",
)
"""Statements for one step: of these, in one transaction, the first that returns rows. Once none does, nothing is left.

The record of what is forgotten goes last: where the statements before found no rows of it.
"""
