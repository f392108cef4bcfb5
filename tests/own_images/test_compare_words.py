"""What a comparison says of made-up figures: who wins, where no difference is shown, when to take pretrained ones."""

from pcdarts.own_images.compare_words import Row, compare_table, notes, sentences


def row(name: str, *accuracies: float, mult_adds: int = 10**6, ms: float = 1.0, **more: bool) -> Row:
    return Row(name, list(accuracies), 1000, 10**5, mult_adds, 60.0, ["cpu"], ms, 2 * ms, "", [], **more)


def said(*rows: Row, tried_pretrained: bool = True) -> list[str]:
    return sentences(rows, tried_pretrained=tried_pretrained)


def test_a_better_network_wins_with_its_interval_and_its_cost() -> None:
    first, second, *_ = said(row("run", 80, 80.2, 80.1), row("other", 83, 83.1, 82.9, ms=3.0))
    assert first == "other wins: it is better than run, at 3 times the time for an image."
    assert second.startswith("other is better than run: +2.90 (+2.6")


def test_the_run_wins_where_it_is_better_than_all() -> None:
    first, second, third, *_ = said(row("run", 90, 90.2, 90.1), row("a", 83, 83.1, 82.9), row("b", 70, 71, 72))
    assert first == "run wins: it is better than every other network here."
    assert second.startswith("run is better than a: +7.10 (+6.")
    assert third.startswith("run is better than b: ")


def test_where_no_difference_is_shown_cost_decides() -> None:
    first, second, *_ = said(row("run", 80, 84, 82), row("quick", 81, 83, 85, ms=0.5))
    assert first.startswith("No network is shown to be better than run. ")
    assert "Between it and 1 other no difference is shown, so cost decides: quick is the fastest (0.5 ms" in first
    assert second.startswith("Between run and quick no difference is shown: +1.00 (−")


def test_one_seed_shows_nothing() -> None:
    first, *rest = said(row("run", 80), row("other", 99))
    assert first.startswith("other has the highest accuracy here, 99.00 %, but one seed of a network shows nothing")
    assert not any("wins" in line for line in rest)
    first, *_ = said(row("run", 80), row("other", 80))
    assert first.startswith("run and other have the highest accuracy here, 80.00 %, but one seed of a network shows")


def test_seeds_that_agree_to_the_last_image_show_nothing() -> None:
    first, *_ = said(row("run", 80, 80), row("other", 81, 81))
    assert "seeds that agree to the last image show nothing" in first


def test_random_cells_are_also_taken_together() -> None:
    cells = [row(f"random cell {number}", 60 + number, 61 + number, random=True) for number in range(3)]
    lines = said(row("run", 80, 80.5), *cells)
    together = "run is better than the 3 random cells together (each counts once): +"
    assert any(line.startswith(together) for line in lines)


def test_a_pretrained_network_that_is_better_is_recommended_with_what_it_costs() -> None:
    better = row("net (pretrained)", 92, 92.5, 92.2, mult_adds=57 * 10**6, ms=4.0, pretrained=True)
    lines = said(row("run", 80, 80.5, 80.2), better)
    advice = "A pretrained stock network is the better choice here: net (pretrained), unless 57.0 M mult-adds (b"
    assert any(line.startswith(advice) for line in lines)
    assert "net (pretrained) has 57 times the mult-adds of run: no comparison at equal cost." in lines


def test_a_pretrained_network_that_is_not_shown_to_be_better_is_not_recommended() -> None:
    lines = said(row("run", 80, 84, 82), row("net (pretrained)", 81, 83, 85, pretrained=True))
    assert "No pretrained stock network is shown to be better than run: nothing here speaks for one." in lines
    untried = said(row("run", 80, 84), row("net", 81, 83), tried_pretrained=False)
    assert any(line.startswith("Pretrained networks were not tried") for line in untried)


def test_the_table_says_how_many_seeds_there_are_and_leaves_out_what_nobody_measured() -> None:
    table = compare_table([row("run", 80, 82), row("one", 90)])
    assert table.rows[0][1] == "81.00 ± 1.41 (n = 2)"
    assert table.rows[1][1] == "90.00 (n = 1)"
    assert table.columns[2] == "parameters"  # there is no interval for n = 1


def test_the_notes_say_what_the_figures_are_and_that_times_on_several_devices_are_not_compared() -> None:
    rows = [row("run", 80, 82), row("other", 81, 83)]
    assert any("all on the same 1,000 test images" in line for line in notes(rows, threads=1))
    assert any("which did not take turns, on cpu." in line for line in notes(rows, threads=1))
    rows[1].devices.append("cuda")
    assert any("not all on one device (cpu and cuda): do not compare them" in line for line in notes(rows, threads=1))
