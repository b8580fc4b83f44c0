# ROUGE of a summary, with the package that the harness brings along.
from rouge_score.rouge_scorer import RougeScorer

kinds = ["rouge1", "rouge2", "rougeL"]
scorer = RougeScorer(kinds, use_stemmer=True)


def rouge(doc: dict, results: list[str]) -> dict[str, float]:
    """F-measures, 0 to 1, against the article's highlights."""
    scores = scorer.score(doc["highlights"], results[0])
    return {kind: scores[kind].fmeasure for kind in kinds}
