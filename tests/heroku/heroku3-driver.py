"""Evaluates each line of its input, an expression about `heroku`, and says in a line of JSON what came of it."""

import json
import os
import sys

import heroku3
import heroku3.api

heroku3.api.HEROKU_URL = os.environ["HEROKU_HOST"]
heroku = heroku3.from_key(os.environ["HEROKU_API_KEY"])

for line in sys.stdin:
    try:
        answer = {"exit": 0, "said": str(eval(line))}
    except Exception as error:
        answer = {"exit": 1, "said": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
