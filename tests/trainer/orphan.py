"""A program that starts the trainer, as ComfyUI does, and is then killed: `orphan.py EVENTS LOG WORDS...`."""

import subprocess
import sys
import time

if __name__ == "__main__":
    events, log, *words = sys.argv[1:]
    with open(events, "wb") as out, open(log, "wb") as err:
        child = subprocess.Popen([sys.executable, *words], stdin=subprocess.PIPE, stdout=out, stderr=err)
        sys.stdout.write(f"{child.pid}\n")
        sys.stdout.flush()
        time.sleep(3600)
