"""Files into what a model may be shown of them: pictures, and the text of text files and PDFs.

Whatever the bytes are, the reading of a file ends within limits of time and memory, in a process of its own. Not its
job: where a file comes from, and what people are told. Imports nothing of this project.
"""

from bot.files.kinds import BEGINNING, may_be_readable
from bot.files.reader import FileReader
from bot.files.results import FileProblem, Picture, ReadFile, Text, Unreadable

__all__ = [
    "BEGINNING",
    "FileProblem",
    "FileReader",
    "Picture",
    "ReadFile",
    "Text",
    "Unreadable",
    "may_be_readable",
]
