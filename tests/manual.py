# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads manual pages, so that a test runs what they show."""
import re


def plain(text):
    """Lines of man(7) as they are read: font macros (of which those with two letters join their words) and escapes."""
    def font(match):
        macro, words = match.group(1), re.findall(r'"(?:[^"]*)"|\S+', match.group(2))
        return ("" if len(macro) == 2 else " ").join(word.strip('"') for word in words)

    text = re.sub(r"^\.([BIR]{1,2}) (.*)$", font, text, flags=re.M)
    return text.replace(r"\-", "-").replace(r"\(aq", "'").replace(r"\(dq", '"').replace(r"\e", "\\")


def examples(text):
    """Commands of root with the output shown: [("busctl …", "o …\\n"), …]."""
    steps = []
    for line in text.replace("\\\n", "\\\0").splitlines():
        if line.startswith("# "):
            steps.append([line[2:].replace("\\\0", "\\\n"), ""])
        elif line.startswith("$ "):  # goes on until it is stopped
            break
        else:
            steps[-1][1] += line + "\n"
    return [tuple(step) for step in steps]


def marked_examples(page):
    """{mark: text} of the examples behind a comment that marks them: .\\" test: MARK"""
    found = re.findall(r'^\.\\" test: (\S+)\n\.EX\n(.*?)^\.EE', page, re.M | re.S)
    return {mark: plain(text) for mark, text in found}


def as_script(text):
    """An example as its reader types it: without prompts."""
    return re.sub(r"^[#$] ", "", text, flags=re.M)
