"""Messages under new names are recognised one for one."""

from hypothesis import given
from hypothesis import strategies as st

from syncd.incoming.epochs import pair_off
from syncd.store.ledger import EarlierEntry


def entry(uid: str, digest: bytes, copies: int = 1, epoch: int = 1) -> EarlierEntry:
    return EarlierEntry(epoch=epoch, uid=uid, digest=b"", header_digest=digest, copies=copies)


def test_equal_headers_pair_off_in_order_and_the_rest_stay_strangers() -> None:
    earlier = [entry("a", b"1"), entry("b", b"2"), entry("c", b"1")]
    strangers = [("A", b"1"), ("X", b"9"), ("C", b"1"), ("B", b"2"), ("D", b"1")]
    assert [(old.uid, new) for old, new in pair_off(strangers, earlier)] == [
        ("a", "A"),
        ("c", "C"),
        ("b", "B"),
    ]


def test_an_entry_that_stands_for_several_messages_is_recognised_that_often() -> None:
    pairs = pair_off([("A", b"1"), ("B", b"1"), ("C", b"1")], [entry("a", b"1", copies=2)])
    assert [new for _, new in pairs] == ["A", "B"]


digests = st.sampled_from([b"1", b"2", b"3"])


@given(
    st.lists(digests),
    st.lists(st.builds(entry, uid=st.just("old"), digest=digests, copies=st.integers(1, 3))),
)
def test_nothing_is_recognised_twice_or_as_something_else(
    wanted: list[bytes], earlier: list[EarlierEntry]
) -> None:
    strangers = [(str(n), digest) for n, digest in enumerate(wanted)]
    pairs = pair_off(strangers, earlier)
    new = [uid for _, uid in pairs]
    assert len(new) == len(set(new))
    assert all(dict(strangers)[uid] == old.header_digest for old, uid in pairs)
    for digest in (b"1", b"2", b"3"):
        there = sum(old.copies for old in earlier if old.header_digest == digest)
        matched = sum(old.header_digest == digest for old, _ in pairs)
        assert matched == min(there, wanted.count(digest))
