# A script that manages a server: managed.py whole|broken|hang MODEL
import sys
import time

from wrinklefree import InferenceServer, WrinkleFreeError

mode, model = sys.argv[1:]
server = InferenceServer(model, context_size=512, threads=1, args=["--log-level", "debug"])
if mode == "broken":
    try:
        server.start()
    except WrinkleFreeError as error:
        print(error)
    sys.exit()
with server:
    print(server.pid, flush=True)
    if mode == "hang":
        time.sleep(600)
    with server.client() as client:
        # Far more lines than a pipe holds.
        for _ in range(1000):
            client.tokenize("x" * 50)
        print(client.generate("Once upon a time", max_tokens=3, temperature=0))
    assert server.output.count("\n") == 500
try:
    print(server.url)
except RuntimeError:
    print("stopped")
