"""Figure 2: in which groups of VTAB-1k does pre-training pay?

Section 4.2 shows the mean accuracy of ViT-H/14, BiT-R152x4, VIVI and S4L over the natural, the
specialized and the structured tasks of VTAB-1k. The text states no numbers for the groups; those of
the ViTs follow from Table 9.

The runs are those of Table 9. At "tiny" these are eight small tasks: two natural, two specialized
and four structured. They are run once for both studies.
"""

import statistics

from keras_vit import figures
from keras_vit.studies import seeds, table_9
from keras_vit.studies.paper_numbers import TABLE_9, TABLE_9_TASKS

TITLE = "Groups of tasks with few labels (VTAB-1k)"
QUESTION = "Does pre-training help in natural, specialized and structured tasks alike?"
PAPER = (
    "ViT-H/14 is ahead of BiT-R152x4 and the others in the natural and structured tasks; in the "
    "specialized ones the best two are alike (4.2, Figure 2). Its means: natural 86.7 %, "
    "specialized 87.0 %, structured 65.0 % (from Table 9)."
)
NEEDS = table_9.NEEDS
ROWS_OF = "table-9"
runs, run = table_9.runs, table_9.run


def plot(rows):
    """Draws the mean of each group, ours by seeds and the paper's ViTs."""
    figure = figures.figure(9, 3.8)
    ours, papers = figure.subplots(1, 2)
    found = {name: group_means(rows, name) for name in table_9.models(rows)}
    _bars(ours, found, [name for name in found if any(found[name].values())])
    ours.set_title("here: mean of tasks, each seed", fontsize=10)
    _bars(papers, paper_means(), list(TABLE_9))
    papers.set_title("paper, from Table 9", fontsize=10)
    return figure


def _bars(axes, found, names):
    width = 0.8 / max(1, len(names))
    for number, name in enumerate(names):
        for place, group in enumerate(table_9.GROUPS):
            values = [100 * value for value in found[name][group]]
            if not values:
                continue
            x = place + (number - (len(names) - 1) / 2) * width
            label = name if group == next(g for g in table_9.GROUPS if found[name][g]) else None
            axes.bar(x, statistics.fmean(values), width, color=f"C{number}", label=label)
            if len(values) > 1:
                axes.plot([x] * len(values), values, "_", color="black", ms=8)
    axes.set_xticks(range(len(table_9.GROUPS)), table_9.GROUPS)
    axes.set_ylim(0, 125)  # room for the names
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("mean accuracy, %")
    axes.grid(alpha=0.3, axis="y")
    if names:
        axes.legend(fontsize=8, loc="upper right")


def group_means(rows, name):
    """Returns {group: means over its tasks of the seeds that have all of them}.

    A group's tasks are those that any model was run on.
    """
    groups = {group: [] for group in table_9.GROUPS}
    for row in rows:
        groups[row["group"]].append(row["task"])
    return {group: table_9.task_means(rows, name, set(tasks)) for group, tasks in groups.items()}


def paper_means():
    """Returns {model: {group: [mean]}}, 0 to 1, of Table 9.

    Example:
    >>> means = keras_vit.studies.figure_2.paper_means()["H/14, JFT"]
    >>> [round(100 * mean, 1) for (mean,) in means.values()]
    [86.7, 87.0, 65.0]
    """
    return {
        name: {group: [_mean_of_group(values, group) / 100] for group in table_9.GROUPS}
        for name, values in TABLE_9.items()
    }


def _mean_of_group(values, group):
    pairs = zip(values, TABLE_9_TASKS, strict=True)
    return statistics.fmean(value for value, (of, _) in pairs if of == group)


def conclusion(rows):
    """States for each group what pre-training gives the ViT, and who leads."""
    names = table_9.models(rows)
    found = {name: group_means(rows, name) for name in names}
    sentences = [_of_group(found, group) for group in table_9.GROUPS]
    sentences = [sentence for sentence in sentences if sentence]
    if not sentences:
        return "Two models must be fine-tuned on all tasks of a group to compare them."
    return " ".join([*sentences, *_gains(found)])


def _of_group(found, group):
    """States which model leads in a group; nothing if fewer than two models have all its tasks."""
    complete = {name: means[group] for name, means in found.items() if means[group]}
    if len(complete) < 2:
        return ""
    order = sorted(complete, key=lambda name: -statistics.fmean(complete[name]))
    listed = ", ".join(f"{name} {seeds.spell(complete[name])} %" for name in order)
    clear = seeds.differ(complete[order[0]], complete[order[1]])
    return f"{group.capitalize()}: {listed}{'' if clear else ' (the first two within the seeds)'}."


def _gains(found):
    """States in which group pre-training gives a model most beside its twin from scratch."""
    for name, means in found.items():
        twin = found.get(name.replace(table_9.PRETRAINED, table_9.SCRATCH))
        if not name.endswith(table_9.PRETRAINED) or twin is None:
            continue
        gains = {
            group: [a - b for a, b in zip(means[group], twin[group], strict=False)]
            for group in table_9.GROUPS
        }
        gains = {group: values for group, values in gains.items() if values}
        if len(gains) < 2:
            continue
        listed = ", ".join(f"{g} {seeds.spell(v, '+.1f')}" for g, v in gains.items())
        best, second = sorted(gains, key=lambda group: -statistics.fmean(gains[group]))[:2]
        clear = seeds.differ(gains[best], gains[second])
        verdict = f"most in {best} tasks" if clear else "seeds do not decide in which most"
        yield f"Pre-training gives the ViT, in points: {listed}: {verdict}."
