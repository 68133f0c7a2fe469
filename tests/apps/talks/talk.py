"""Says numbered lines at an even pace, LINES_PER_SECOND for SECONDS, and then `END` and how many there were."""

import sys
import time
from os import environ

rate = int(environ["LINES_PER_SECOND"])
total = rate * int(environ["SECONDS"])
began = time.monotonic()
for number in range(total):
    if number % 100 == 0:
        time.sleep(max(0, began + number / rate - time.monotonic()))
    sys.stdout.write(f"line {number:07d} of a dyno that has a great deal to say, and says all of it at once\n")
    if number % 100 == 99:
        sys.stdout.flush()
print(f"END {total}", flush=True)
while True:
    time.sleep(3600)
