# What the smoke tasks count.


def contains(doc: dict, results: list[str]) -> dict[str, float]:
    """1 where the answer's word is in what was generated."""
    return {"exact_match": float(doc["answer"].lower() in results[0].lower())}
