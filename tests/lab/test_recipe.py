from __future__ import annotations

from ragshield.lab.recipe import Recipe, rate, stage


def test_passages_grow_in_number_and_length() -> None:
    recipe = Recipe()
    stages = [stage(recipe, i / 20) for i in range(21)]
    assert stages[0].most == 1
    assert stages[-1].most == recipe.most_passages == 5
    assert [s.most for s in stages] == sorted(s.most for s in stages)
    assert [s.short for s in stages] == sorted((s.short for s in stages), reverse=True)


def test_the_passages_own_words_stop_counting_halfway() -> None:
    assert stage(Recipe(), 0.0).context_loss > 0
    assert stage(Recipe(), 0.6).context_loss == 0


def test_the_learning_rate_rises_and_falls() -> None:
    recipe = Recipe(learning_rate=1.0, n_warmup=10)
    rates = [rate(recipe, step, step / 100, highest=1.0) for step in range(101)]
    assert rates[0] < 0.2
    assert max(rates) == max(rates[8:12])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] <= 0.021
