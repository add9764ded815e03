"""Every sentence for people in a conversation. Short, friendly, without blame; each says what to do next.

`-#` is Discord's small text. Technical detail has no place here: it goes to the log.
"""

from __future__ import annotations

import math

from bot.turns import Cause, Limit, Outcome, Problem, State

FIRST_IN_DM = "-# I remember this chat. /reset forgets it."
QUOTE_WITHHELD = "-# I couldn't see the quoted message."
CANNOT_SAVE = "-# I can't save right now, so I'd forget this. Please try again later."
NOT_RESET = "I can't reach my memory right now, so nothing is cleared yet. Please try again later."
REFUSED = "-# Discord won't show my answer here. Rewording may help."
NO_MORE_HERE = "-# I may not write any more here, so the rest is missing. Please ask again elsewhere."
RESTARTING = "-# I'm restarting. Please ask again in a minute."
TRYING_AGAIN = "-# I was restarted. Trying again…"
WENT_WRONG = "-# Something went wrong on my side. Please try again."
REST_AS_FILE = "-# The rest is coming as a file."
AS_FILE = "-# The whole reply is in the file."
NOTHING_TO_STOP = "None of my replies to you is under way here."
ONE_MOMENT = "One moment, then press again."
PRESS_LATER = "I have too much to do just now. Please press again in a minute."
NOT_REMEMBERED = "I don't remember this one any more. Please ask again."

# In a terminal.
REAL_MODEL = "For a real model, set OPENAI_API_KEY or OPENAI_BASE_URL in .env."
HELP = """\
/reset   forget this conversation
/help    show this
/quit    leave, as Ctrl-D does
//text   say "/text"
\\        at a line's end goes on below
Ctrl-C   stop an answer; twice, leave"""
WAITING = "Waiting for the model. Ctrl-C stops it."
ONCE_MORE = "Ctrl-C once more leaves."
CUT_OFF = "I was interrupted there. Ask again if you still need it."
CANNOT_WRITE = "I can't write my answers."

# In the playground, on Discord's behalf.
MALFORMED = "The page asked for something that makes no sense here. Reload it."
NOT_THERE = "That is not there any more."
NO_SUCH_PERSON = "There is nobody of that name here."
NO_SUCH_CHANNEL = "This person cannot see that channel."
MESSAGE_GONE = "That message is gone."
ONLY_DISMISSED = "Only you can see this message. It can be dismissed."
MAY_NOT_WRITE = "This person has no permission to do that here."
EMPTY_MESSAGE = "Write something or attach a file first."
FILE_GONE = "An attached file was not kept for that long. Attach it again."
FILE_TOO_LARGE = "Files here may have up to 25 MB. Choose a smaller one."
NO_REPLY_TO_THAT = "Discord takes no reply to that message."
NOT_YOURS_TO_EDIT = "Only its author can edit a message."
NOT_YOURS_TO_DELETE = "Only its author and moderators can delete a message."
ARCHIVED = "This thread is archived. Write in it to open it again."
NO_THREADS_HERE = "Threads belong to a text channel of the server."
NAME_THE_THREAD = "Give the thread a name of up to 100 characters."
HAS_A_THREAD = "That message has a thread already."
ENOUGH_THREADS = "There are enough threads here. Restart the playground for an empty server."
NOT_YOUR_THREAD = "Only who opened a thread and moderators can do that."
NOT_AN_EMOJI = "That is no emoji."
NOTHING_TO_SWITCH = "There is nothing here for that switch."
OWN_DEFECT = "The playground has a defect there; its log says which."
WRONG_ADDRESS = "Open the address that the terminal shows."
FOREIGN_PAGE = "The playground answers only to its own page."
TOO_MANY_TABS = "The playground is open in too many tabs. Close some."
TOPIC_OF_ITS_OWN = "A conversation of its own: what was said in #general is not known here."

_SMALL = "-# "
_PROBLEMS = {
    Problem.UNREACHABLE: "My model isn't answering right now. Your question is saved.",
    Problem.SETUP: "I have a set-up problem; it's nothing you did.",
    Problem.DECLINED: "The model's provider declined this one. Rewording may help.",
    Problem.LENGTH: "Cut at the length limit.",
    Problem.EMPTY: "The model had nothing to say. Try rewording.",
    Problem.TOO_LONG: "That's more than my model can read at once. A shorter message may work.",
    Problem.STORAGE: "I can't save right now, so I'd forget this. Please try again later.",
    Problem.INTERNAL: WENT_WRONG.removeprefix(_SMALL),
}

_FULL = {
    Limit.PERSON: "I'm still busy with your earlier questions here.",
    Limit.CONVERSATION: "Many questions are waiting here already.",
    Limit.BOT: "I have more questions than I can answer just now.",
}


def full_size(sentence: str) -> str:
    """The sentence without Discord's mark for small text."""
    return sentence.removeprefix(_SMALL)


def full(limit: Limit) -> str:
    """The answer to a prompt that is one too many. Those after it only get a mark."""
    return f"{_SMALL}{_FULL[limit]} Please ask this again later, and whatever I mark with 🕒."


def hint(bot: str) -> str:
    """The answer to a mention with nothing else."""
    return f'Hi! Put your question in the same message: "@{bot} why is the night sky dark?"'


def unreadable(bot: str) -> str:
    """The answer to a message whose content the platform withholds."""
    return f"-# I can't read that one. Mention @{bot} itself, or leave the reply's ping on."


def note(outcome: Outcome) -> str | None:
    """What stands under a reply that ended this way. None: it is all there, and needs no word."""
    sentence = _sentence(outcome)
    return None if sentence is None else _SMALL + sentence


def _sentence(outcome: Outcome) -> str | None:
    match outcome.cause:
        case Cause.RESET if not outcome.text:
            who = f"{outcome.by} cleared" if outcome.by else "Somebody cleared"
            return f"{who} my memory here before I got to this. Please ask again."
        case Cause.PERSON | Cause.RESET:
            return f"Stopped by {outcome.by}." if outcome.by else "Stopped."
        case Cause.SHUTDOWN:
            return "I was restarted and couldn't finish."
    if outcome.state is State.INTERRUPTED:
        return "I was restarted and couldn't finish."
    if outcome.state is State.STOPPED:
        return "Stopped."
    if outcome.problem is Problem.BUSY:
        wait = f" in {math.ceil(outcome.retry_after)} s" if outcome.retry_after else " in a moment"
        return f"My model is busy. Try again{wait}."
    return None if outcome.problem is None else _PROBLEMS[outcome.problem]


def stopped(count: int) -> str:
    """The answer to whoever stopped replies."""
    return "Stopped." if count == 1 else f"Stopped {count} replies."


def not_theirs(name: str) -> str:
    """The answer to a press on a button of somebody else's."""
    return f"Only {name} and moderators can do that."


def was_reset(name: str, exchanges: int) -> str:
    """The public word on a reset."""
    return f"{name} cleared my memory here: {_count(exchanges)}. The messages above stay."


# In a terminal.


def opening(name: str | None, model: str | None, exchanges: int) -> str:
    """The first line of a chat. `name` is None for a temporary conversation, `model` for the demo."""
    title = "A temporary conversation" if name is None else f"Conversation “{name}”"
    remembered = f", {_count(exchanges)} remembered" if exchanges else ""
    return f"{title} with {model or 'the built-in offline demo'}{remembered}. /help shows what you can do."


def forgotten(exchanges: int) -> str:
    """The answer to a reset."""
    return f"I've forgotten this conversation: {_count(exchanges)}." if exchanges else "There was nothing to forget."


def unknown_command(word: str) -> str:
    """The answer to a slash with a word that is no command."""
    return f"I don't know {word}. /help shows what I do; //… sends a text that begins with a slash."


# In the playground.


def too_long(length: int, most: int) -> str:
    """For a message over Discord's limit."""
    return f"That is {length} characters; Discord takes {most}."


def too_many_files(most: int) -> str:
    """For a message with more files than Discord takes."""
    return f"A message carries up to {most} files."


def too_many_reactions(most: int) -> str:
    """For one emoji more than a message holds."""
    return f"A message has room for {most} different reactions."


def no_such_command(name: str) -> str:
    """For a command that is not there, for this person or in this channel."""
    return f"/{name} is not there for this person in this channel."


def option_missing(name: str) -> str:
    """For a required option that is left out."""
    return f"{name} is required."


def option_wrong(name: str) -> str:
    """For a value that a command's option or a form's field does not take."""
    return f"{name} does not take this value."


def topic_to_ask(bot: str) -> str:
    """The topic of the channel where people are to begin."""
    return f"Mention @{bot} and ask. Try: help"


def welcome(url: str, *, database: str, model: str | None, host: str | None, taken_port: int | None, bot: str) -> str:
    """What the terminal shows at the start. `model` is None for the demo, `taken_port` the one that was in use."""
    talker = f"{model} at {host}" if model else "the built-in offline demo, no real model"
    lines = [
        "Parley's playground: the whole bot, on a stand-in for Discord on this computer.",
        f"  Open    {url}",
        *([f"          (port {taken_port} is in use)"] if taken_port else []),
        f"  Model   {talker}",
        f"  Memory  {database}",
        "",
        f"Try first: mention @{bot} in #general and ask “what did I say first?”. Then stop me, start me again and ask",
        "again. Ctrl-C ends it.",
        *([] if model else [REAL_MODEL]),
        "For a real server: README, “Set up the Discord application”; `python -m bot check` helps with it.",
    ]
    return "\n".join(lines)


def _count(exchanges: int) -> str:
    return "1 exchange" if exchanges == 1 else f"{exchanges} exchanges"
