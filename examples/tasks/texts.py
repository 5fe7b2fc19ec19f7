"""Words with the standard library and scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sklearn.feature_extraction.text import TfidfVectorizer

from penstock import Limits, Processes, Queue

texts = Queue("texts", lane=Processes(2))

# A function of the standard library without a wrapper, by a contract that is written by hand.
texts.expose("difflib:get_close_matches", name="close_matches", contract="texts.close_matches")


@dataclass(frozen=True)
class Keyword:
    """A word and how much it tells, from 0 to 1."""

    word: str
    weight: float


@texts.task(contract="texts.keywords")
def keywords(
    documents: Annotated[list[str], Limits(min_length=2, max_length=1000)],
    most: Annotated[int, Limits(ge=1, le=100)] = 3,
) -> list[list[Keyword]]:
    """Find the words by which each document differs most from the others (TF-IDF).

    Args:
        documents: The texts.
        most: How many words for each.
    """
    vectorizer = TfidfVectorizer(stop_words="english")
    weights = vectorizer.fit_transform(documents).toarray()
    words = vectorizer.get_feature_names_out()
    return [
        [Keyword(str(words[i]), row[i]) for i in (-row).argsort(kind="stable")[:most] if row[i] > 0] for row in weights
    ]
