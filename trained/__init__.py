"""Trained models: loading, sampling, scoring and adapting them.

    import trained

    model = trained.load("runs/small")
    print(model.generate("the company said", num_words=30, temperature=0.8))
    for score in model.score(["the company said it expects a loss"]):
      print(score.perplexity)

See `LanguageModel` for all that it does.
"""

from trained.language_model import LanguageModel, NextWord, Score, load

__all__ = ["LanguageModel", "NextWord", "Score", "load"]
