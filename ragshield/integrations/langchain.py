"""ragshield in LangChain: a guarded retriever, a document filter, a guarded store.

Needs langchain-core only. Everything works sync and async, and what happens when a
defender or a screen fails is the caller's explicit `on_error`.
"""

from ragshield.integrations.langchain_filter import PoisonFilter
from ragshield.integrations.langchain_ingest import GuardedVectorStore
from ragshield.integrations.langchain_judging import EVENT, JudgedDocuments
from ragshield.integrations.langchain_retriever import GuardedRetriever
from ragshield.integrations.langchain_vectors import EncoderEmbeddings

__all__ = [
    "EVENT",
    "EncoderEmbeddings",
    "GuardedRetriever",
    "GuardedVectorStore",
    "JudgedDocuments",
    "PoisonFilter",
]
