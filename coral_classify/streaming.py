"""Work that runs ahead in threads, in order: pictures are decoded while the device is busy with an earlier one."""
from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Iterable, Iterator, Optional, Tuple, TypeVar

__all__ = ["run_ahead"]

Item = TypeVar("Item")
Done = TypeVar("Done")


def run_ahead(work: Callable[[Item], Done], items: Iterable[Item], *, ahead: int,
              threads: int) -> "Iterator[Tuple[Item, Future[Done]]]":
    """Each item with the finished future of ``work(item)``, in the order of ``items``.

    ``items`` is read in the caller's thread, at most ``ahead`` items beyond the one that is given out.  Closing the
    generator drops what was not begun, waits for what was, and leaves no thread.  What ``items`` raises comes
    after the results of the items before it.
    """
    waiting: "Deque[Tuple[Item, Future[Done]]]" = deque()
    source = iter(items)
    trouble: Optional[Exception] = None
    reading = True
    pool = ThreadPoolExecutor(threads, thread_name_prefix="coral-classify-decode")
    try:
        while True:
            while reading and len(waiting) <= ahead:
                try:
                    item = next(source)
                except StopIteration:
                    reading = False
                except Exception as exc:    # the pictures before it are worth their results
                    reading, trouble = False, exc
                else:
                    waiting.append((item, pool.submit(work, item)))
            if not waiting:
                break
            item, future = waiting.popleft()
            future.exception()      # waits
            yield item, future
            del item, future
    finally:
        for _, future in waiting:
            future.cancel()
        pool.shutdown(wait=True)
    if trouble is not None:
        raise trouble
