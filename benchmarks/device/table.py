"""The results as Markdown."""

from benchmarks.device.results import Results, StepTime


def render(results: Results) -> str:
    """The whole page: steps, pools, memory, and what was left out."""
    return "\n".join(
        [
            f"Device: {results.device}. {results.machine}",
            "",
            *_steps(results),
            "",
            *_pools(results),
            "",
            *_memory(results),
            *_left_out(results),
            "",
        ]
    )


def _steps(results: Results) -> list[str]:
    layer = "cuDNN" if results.device.startswith("cuda") else "eager torch"
    layers = {(each.model, each.rows): each for each in results.layers}
    lines = [
        f"One time step of each row; us are medians. Steps/s of the engine, on one thread; {layer}:"
        " nn.LSTM alone, its inputs and states on the device, each call waited for, and its share"
        " of twenty in a row.",
        "",
        "| model | program | rows | steps/s, committed | us | steps/s, not committed | us | "
        f"program us | {layer} us | in a row us | of {layer} |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in results.steps:
        beside = layers.get((each.model, each.rows))
        alone = f"{beside.waited_us:.0f} | {beside.queued_us:.0f}" if beside else "- | -"
        times = f"{each.committed_us / beside.waited_us:.1f}" if beside else "-"
        lines.append(f"{_step(each)} | {alone} | {times} |")
    return lines


def _step(each: StepTime) -> str:
    return (
        f"| {each.model} | {each.program} | {each.rows} "
        f"| {each.rows / each.committed_us * 1e6:,.0f} | {each.committed_us:.0f} "
        f"| {each.rows / each.kept_us * 1e6:,.0f} | {each.kept_us:.0f} | {each.program_us:.0f}"
    )


def _pools(results: Results) -> list[str]:
    return [
        "Steps of sessions that lie anywhere in a pool, all committed.",
        "",
        "| model | program | slots | rows | us | steps/s | states MB | on the device MB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {each.model} | {each.program} | {each.slots:,} | {each.rows} "
            f"| {each.committed_us:.0f} | {each.rows / each.committed_us * 1e6:,.0f} "
            f"| {each.pool_bytes / 1e6:,.0f} | {each.device_bytes / 1e6:,.0f} |"
            for each in results.pools
        ),
    ]


def _memory(results: Results) -> list[str]:
    return [
        "Memory after all steps of a model, in MB: torch's on the device (in use, held), all that"
        " is used there, this process on the host.",
        "",
        "| model | program | in use | held | device | host |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {each.model} | {each.program} | {each.allocated_bytes / 1e6:,.0f} "
            f"| {each.reserved_bytes / 1e6:,.0f} | {each.device_used_bytes / 1e6:,.0f} "
            f"| {each.host_bytes / 1e6:,.0f} |"
            for each in results.memory
        ),
    ]


def _left_out(results: Results) -> list[str]:
    if not results.left_out:
        return []
    return ["", "Left out:", "", *(f"- {each}" for each in results.left_out)]
