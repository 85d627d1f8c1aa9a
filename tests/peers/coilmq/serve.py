"""A coilmq in the foreground: python3 serve.py PORT. Its libraries are installed beside this file."""
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

from coilmq.start import main

# The only virtual host that it takes.
print("host", socket.getfqdn(), flush=True)
main(["--host", "127.0.0.1", "--port", sys.argv[1]])
