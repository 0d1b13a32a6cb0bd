"""Checks of a client program: each is tried; what passed and what failed is printed as JSON, and one failure makes the program fail."""

import json
import sys
import traceback

ALL = []


def check(function):
    ALL.append(function)
    return function


def equal(got, wanted, what=""):
    assert got == wanted, f"{what or 'got'}: {got!r} instead of {wanted!r}"


def run(*arguments):
    passed, failed = [], {}
    for function in ALL:
        try:
            function(*arguments)
            passed.append(function.__name__)
        except Exception:
            failed[function.__name__] = traceback.format_exc(limit=4)[-2500:]
    print(json.dumps({"passed": passed, "failed": failed}))
    sys.exit(1 if failed else 0)
