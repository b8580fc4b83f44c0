# Checks manifests against the schemas of PyPI packages: check.py kubernetes|compose|skypilot FILE...
import json
import sys

import yaml


def kubernetes(path: str) -> None:
    import kubernetes_validate

    with open(path) as file:
        for document in yaml.safe_load_all(file):
            kubernetes_validate.validate(document, "1.33", strict=True)


def compose(path: str) -> None:
    from compose_spec import PyCompose

    with open(path) as file:
        # Merge keys are YAML's own affair.
        project = PyCompose.from_json(json.dumps(yaml.safe_load(file)))
    assert len(project.service_names()) > 0


def skypilot(path: str) -> None:
    import sky

    task = sky.Task.from_yaml(path)
    assert task.service is not None and task.service.readiness_path == "/health/ready"


if __name__ == "__main__":
    check = globals()[sys.argv[1]]
    for path in sys.argv[2:]:
        try:
            check(path)
        except Exception as error:
            sys.exit(f"{path}: {type(error).__name__}: {error}")
        print(path)
