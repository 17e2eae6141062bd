"""Tasks that the benchmarks of the page count."""

from benchmarks.browser_tasks import PageTasks

PAGE, OWN = {"pid": 1, "tid": 1}, {"pid": 2, "tid": 2}
TASK = {"name": "ThreadControllerImpl::RunTask", "dur": 12_000, "tdur": 10_000}


def navigation(thread: dict[str, int], address: str) -> dict[str, object]:
    data = {"documentLoaderURL": address}
    return {**thread, "name": "navigationStart", "args": {"data": data}}


def test_tasks_of_the_browsers_own_pages_are_not_counted() -> None:
    tasks = PageTasks()
    tasks.add(
        [
            navigation(OWN, "chrome://omnibox-popup.top-chrome/"),
            navigation(PAGE, "about:blank"),
            navigation(PAGE, "http://127.0.0.1:8765/"),
            {**OWN, **TASK, "tdur": 90_000},
            {**PAGE, **TASK},
            {**PAGE, "name": "FunctionCall", "dur": 70_000},
        ]
    )
    assert tasks.to_figures() == {
        "longest_task_ms": 12.0,
        "longest_task_cpu_ms": 10.0,
        "faults": 0.0,
    }
