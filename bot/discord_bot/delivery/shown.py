"""The messages that people see of one reply, and which call brings them closer to the wanted ones. No IO, no clock."""

from __future__ import annotations

from collections.abc import Collection

from bot.discord_bot.delivery.beginning import Beginning, sent_messages, stale_message_ids
from bot.discord_bot.delivery.view import Action, Delete, Edit, ShownMessage, View, WantedMessage, next_action


class ShownMessages:
    """The posted messages of one reply: those that show it, and those that have to be deleted."""

    def __init__(self, beginning: Beginning) -> None:
        self._messages = [ShownMessage(message_id) for message_id, _ in sent_messages(beginning)]
        self._stale = list(stale_message_ids(beginning))
        self._undeleted: list[int] = []
        """Messages whose deletion failed. It is tried again at the end, because people wait for the text first."""
        self.shown_since: float | None = None
        """When the first call for the current text was made, in the event loop's time."""

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, message_id: int) -> bool:
        return any(shown.message_id == message_id for shown in self._messages)

    def message_id(self, part: int) -> int | None:
        """The id of the message that shows a part. None: no message shows it any more."""
        return self._messages[part].message_id if part < len(self._messages) else None

    def known(self) -> list[WantedMessage]:
        """The contents of all messages whose content is known."""
        return [shown.wanted for shown in self._messages if shown.wanted is not None]

    def add(self, message_id: int, wanted: WantedMessage | None) -> None:
        """Record a new message. `wanted` is None where its content is not known."""
        self._messages.append(ShownMessage(message_id, wanted))

    def mark_edited(self, message_id: int, wanted: WantedMessage) -> None:
        """Record an edit. The message may have left the reply while the edit was under way."""
        edited = ShownMessage(message_id, wanted)
        self._messages = [edited if shown.message_id == message_id else shown for shown in self._messages]

    def remove(self, message_id: int) -> None:
        """Drop a message that is about to be deleted.

        The event about its deletion must not find it among the reply's messages, or the bot would take its own
        deletion for one by a user.
        """
        self._messages = [shown for shown in self._messages if shown.message_id != message_id]
        self._stale = [stale for stale in self._stale if stale != message_id]
        self._undeleted = [undeleted for undeleted in self._undeleted if undeleted != message_id]

    def retry_deletion(self, message_id: int) -> None:
        """Record that a message could not be deleted."""
        self._undeleted.append(message_id)

    def discard(self, keep_first: int = 0, *, gone: Collection[int] = ()) -> None:
        """Have the messages behind the first `keep_first` deleted, except those that are gone already."""
        discarded = [shown.message_id for shown in self._messages[keep_first:]]
        self._stale += [message_id for message_id in discarded if message_id not in gone]
        del self._messages[keep_first:]

    def restart(self, keep: int = 1) -> None:
        """Give the first `keep` messages to a new text. The others are deleted once the new text is shown."""
        self.shown_since = None
        self.discard(keep_first=keep)

    def assume_all_but_the_last(self, view: View) -> None:
        """Take the messages of an interrupted reply for what they should show, except the last one.

        A message is complete when the next one is posted. The last one may be incomplete, and gets the status line.
        """
        for number, wanted in enumerate(view.messages[: len(self._messages)][:-1]):
            self._messages[number] = ShownMessage(self._messages[number].message_id, wanted)

    def drop_unknown(self, action: Action | None) -> bool:
        """Drop a later message that was not there to be edited, if an earlier process may have deleted it itself."""
        if not isinstance(action, Edit) or action.part == 0:
            return False
        edited = self._messages[action.part : action.part + 1]
        if any(shown.wanted is not None for shown in edited):
            return False
        # Its deletion may not be on record, and finds out whether the message is gone.
        self._undeleted += [shown.message_id for shown in edited]
        del self._messages[action.part : action.part + 1]
        return True

    def next_action(self, view: View, *, ended: bool) -> Action | None:
        """The next call towards the view: stale messages go as soon as the new text is shown."""
        if self._stale and self._messages and self.shown_since is not None:
            # Before any edit: a text that keeps growing always has one more edit to make.
            return Delete(self._stale[-1])
        # A truncated view does not change until its file comes, so the button has no edit to wait for.
        action = next_action(view.messages, self._messages, ended=ended or view.truncated)
        return action or self.next_deletion(ended=ended)

    def next_deletion(self, *, ended: bool) -> Delete | None:
        """The next deletion of a message that is no part of the reply any more."""
        leftovers = self._stale or (self._undeleted if ended else [])
        return Delete(leftovers[-1]) if leftovers else None
