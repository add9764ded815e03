"""The sentences of the playground: those of the stand-in for Discord's client, and its own."""

from __future__ import annotations

from bot.texts.terminal import REAL_MODEL

MALFORMED = "Something is wrong with this page. Reload it."
NOT_THERE = "That doesn't exist any more."
NO_SUCH_PERSON = "There is nobody with that name here. Choose someone from the list."
NO_SUCH_CHANNEL = "This person cannot see that channel."
MESSAGE_GONE = "That message is gone."
ONLY_DISMISSED = "Only you can see this message. You can dismiss it."
MAY_NOT_WRITE = "This person has no permission to do that here."
EMPTY_MESSAGE = "Write something or attach a file first."
FILE_GONE = "An attached file is gone. Attach it again."
VOICE_ALONE = "A voice message has no text and no other files. Send them separately."
NO_EDIT_OF_VOICE = "Voice messages cannot be edited. Delete it and record another one."
FILE_TOO_LARGE = "Files here can be up to 20 MB. Choose a smaller one."
NO_REPLY_TO_THAT = "Discord doesn't allow replies to that message. Choose another one."
NOT_YOURS_TO_EDIT = "Only its author can edit a message."
NOT_YOURS_TO_DELETE = "Only its author and moderators can delete a message. Switch to one of them."
ARCHIVED = "This thread is archived. Write in it to open it again."
NO_THREADS_HERE = "You can only open threads in a text channel of the server."
NAME_THE_THREAD = "Give the thread a name of up to 100 characters."
NAME_THE_POST = "Give the post a title of up to 100 characters."
NO_POSTS_HERE = "You can only write posts in a forum."
HAS_A_THREAD = "That message already has a thread. Open that one."
ENOUGH_THREADS = "There are too many threads here. Restart the playground for an empty server."
NOT_YOUR_THREAD = "Only the person who opened the thread and moderators can do that. Switch to one of them."
NOT_AN_EMOJI = "That isn't an emoji. Choose one from the list."
NOT_TAKEN = "Discord doesn't accept that value. Change it and try again."
NO_CHOICES = "The bot sent no choices. Check that it is running."
TRY_AGAIN = "Something went wrong. Try again."
NOTHING_TO_SWITCH = "That switch does nothing here. Ask the bot something first."
OWN_DEFECT = "Something is broken in the playground. Its log says what."
WRONG_ADDRESS = "Open the address that the terminal shows."
FOREIGN_PAGE = "Only the playground's own page can use it. Open the address that the terminal shows."
TOO_MANY_TABS = "The playground is open in too many tabs. Close some, then reload this one."
THIS_COMPUTER = "this computer"
TOPIC_OF_FORUM = "A forum. Each post is a conversation of its own."
TOPIC_OF_ITS_OWN = "A separate conversation: the bot doesn't know here what was said in #general."


def too_long(length: int, most: int) -> str:
    """The error for a message over Discord's limit."""
    return f"That is {length} characters. Discord allows {most}. Make it shorter."


def too_many_files(most: int) -> str:
    """The error for a message with more files than Discord takes."""
    return f"A message can have up to {most} files. Send the others separately."


def too_many_reactions(most: int) -> str:
    """The error for one more emoji than a message can have."""
    return f"A message can have up to {most} different reactions. Use one of them."


def no_such_command(name: str) -> str:
    """The error for a command that this person does not have in this channel."""
    return f"This person can't use /{name} in this channel."


def option_missing(name: str) -> str:
    """The error for a missing required option."""
    return f"{name} is required."


def option_wrong(name: str) -> str:
    """The error for a value that an option or a form's field does not take."""
    return f"{name} does not accept this value."


def topic_to_ask(bot: str) -> str:
    """The topic of the first channel."""
    return f"Mention @{bot} and ask. Try: help"


def welcome(url: str, *, database: str, model: str | None, host: str | None, taken_port: int | None, bot: str) -> str:
    """The text in the terminal at the start. `model` is None for the demo. `taken_port` is a port that was in use."""
    talker = f"{model} at {host}" if model else "the built-in offline demo, no real model"
    lines = [
        "Parley's playground: the whole bot, on a stand-in for Discord on this computer.",
        f"  Open    {url}",
        *([f"          (port {taken_port} is in use; --port chooses another)"] if taken_port else []),
        f"  Model   {talker}",
        f"  Memory  {database}",
        "",
        f"Try first: choose a suggestion on the page, or mention @{bot}.",
        "Then stop me with Ctrl-C, start me again and ask “what did I say first?”.",
        "I still know, and the open page reconnects by itself.",
        *([] if model else [REAL_MODEL]),
        "For a real server, see “Put it in your server” in the README;",
        "`python -m bot check` helps with it.",
    ]
    return "\n".join(lines)
