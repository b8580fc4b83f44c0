# Runs lm-eval's tasks of this folder against a server and prints what it measured as JSON.
import json
import shutil
import sys
import tempfile
from pathlib import Path

import lm_eval
from lm_eval.tasks import TaskManager

url, kind, *names = sys.argv[1:]
source = Path(__file__).parent / "tasks"
with tempfile.TemporaryDirectory() as folder:
    # Its data files must have whole paths.
    tasks = Path(folder) / "tasks"
    shutil.copytree(source, tasks)
    for path in tasks.glob("*.yaml"):
        path.write_text(path.read_text().replace("{tasks}", str(tasks)))
    route = "/v1/chat/completions" if kind == "local-chat-completions" else "/v1/completions"
    options = {"model": "tern", "base_url": url + route, "num_concurrent": 4, "max_length": 500}
    if kind == "local-completions":
        options["tokenizer_backend"] = "remote"
        options["batch_size"] = 4
    result = lm_eval.simple_evaluate(
        model=kind,
        model_args=options,
        tasks=list(names),
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        apply_chat_template=kind == "local-chat-completions",
        log_samples=True,
        bootstrap_iters=0,
    )
samples = [
    {"task": task, "arguments": list(sample["arguments"]), "responses": sample["resps"]}
    for task, list_ in result["samples"].items()
    for sample in list_
]
print(json.dumps({"results": result["results"], "samples": samples}, default=str))
