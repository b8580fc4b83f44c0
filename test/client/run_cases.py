# Runs the shared cases with the Python client, sync or async: run_cases.py KIND CASES PROXY NOWHERE
import json
import sys
from dataclasses import asdict
from typing import Any

import anyio

from wrinklefree import Answer, AsyncClient, Client, WrinkleFreeError


def address_of(case: dict[str, Any], index: int, proxy: str, nowhere: str) -> str:
    if case.get("fault") == "nobody":
        return nowhere
    if "url_key" in case:
        proxy = proxy.replace("//", f"//:{case['url_key']}@")
    return f"{proxy}/{case.get('fault', 'none')}/{index}{case.get('suffix', '')}"


def options_of(case: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    value = case["repeat"] * 1000 if "repeat" in case else case.get("input")
    return ([] if value is None else [value]), case.get("options", {})


def plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, Answer) else value


def failure(error: WrinkleFreeError, pieces: list[str]) -> dict[str, Any]:
    fields = {"kind": error.kind, "status": error.status, "param": error.param}
    return {"error": {**fields, "message": str(error)}, "pieces": pieces}


def run_sync(case: dict[str, Any], url: str) -> dict[str, Any]:
    pieces: list[str] = []
    arguments, options = options_of(case)
    options = {"timeout": 20.0, **options}
    try:
        with Client.from_url(url, retry_delay=0.005, **case.get("client", {})) as client:
            found = getattr(client, case["call"])(*arguments, **options)
            if "stream" not in case["call"]:
                return {"result": plain(found), "pieces": pieces}
            with found as stream:
                for piece in stream:
                    pieces.append(piece)
                    if len(pieces) == case.get("leave_after"):
                        break
            return {"result": {"pieces": pieces, "answer": plain(stream.answer)}, "pieces": pieces}
    except WrinkleFreeError as error:
        return failure(error, pieces)


async def run_async(case: dict[str, Any], url: str) -> dict[str, Any]:
    pieces: list[str] = []
    arguments, options = options_of(case)
    options = {"timeout": 20.0, **options}
    try:
        async with AsyncClient.from_url(url, retry_delay=0.005, **case.get("client", {})) as client:
            found = getattr(client, case["call"])(*arguments, **options)
            if "stream" not in case["call"]:
                return {"result": plain(await found), "pieces": pieces}
            async with found as stream:
                async for piece in stream:
                    pieces.append(piece)
                    if len(pieces) == case.get("leave_after"):
                        break
            return {"result": {"pieces": pieces, "answer": plain(stream.answer)}, "pieces": pieces}
    except WrinkleFreeError as error:
        return failure(error, pieces)


def main() -> None:
    kind, path, proxy, nowhere = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        cases = json.load(file)
    outcomes = []
    for index, case in enumerate(cases):
        url = address_of(case, index, proxy, nowhere)
        if kind == "sync":
            outcomes.append(run_sync(case, url))
        else:
            outcomes.append(anyio.run(run_async, case, url, backend=kind))
    print(json.dumps(outcomes))


main()
