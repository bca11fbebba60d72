import os
import re
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from app.database import ids
from app.database.ids import new_id


def _many(count: int) -> list[str]:
    return [new_id() for _ in range(count)]


def test_an_id_is_a_cuid_of_25_characters() -> None:
    assert all(re.fullmatch(r"c[0-9a-z]{24}", id_) for id_ in _many(1000))


def test_an_id_begins_with_its_time() -> None:
    before = time.time_ns() // 1_000_000
    id_ = new_id()
    assert before <= int(id_[1:9], 36) <= time.time_ns() // 1_000_000


def test_ids_sort_by_their_time_until_the_digits_end() -> None:
    assert ids._base36(int(time.time() * 1000), 8) < "zzzzzzzz"
    assert 36**8 / 1000 / 86400 / 365.25 + 1970 > 2059


def test_later_ids_sort_after_earlier_ones() -> None:
    earlier = new_id()
    time.sleep(0.002)
    assert earlier < new_id()


def test_threads_never_share_an_id() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = [id_ for part in threads.map(_many, [5000] * 8) for id_ in part]
    assert len(set(made)) == 40_000


def _fingerprint(pid: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: pid)
        for kept in ("_fingerprint", "_counter"):
            patch.setattr(ids, kept, getattr(ids, kept))
        ids._start_process()
        return new_id()[13:17]


def test_processes_differ_in_their_fingerprint() -> None:
    assert _fingerprint(4711) != _fingerprint(4712)
    assert _fingerprint(4711) == _fingerprint(4711)


def test_a_spawned_process_has_its_own_counter() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        there = processes.submit(new_id).result()
    assert there[9:17] != new_id()[9:17]


def test_a_forked_process_has_its_own_fingerprint_or_counter() -> None:
    reading, writing = os.pipe()
    counter = next(ids._counter)
    child = os.fork()
    if child == 0:
        os.write(writing, new_id().encode())
        os._exit(0)
    there = os.read(reading, 25).decode()
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    # Its process id has the same last digits once in 1,296 times.
    assert there[9:17] != ids._base36(counter + 1, 4) + ids._fingerprint
