"""Messages under new names are recognised one for one."""

from hypothesis import given
from hypothesis import strategies as st

from syncd.incoming.epochs import Stranger, pair_off
from syncd.store.ledger import EarlierEntry


def entry(
    uid: str, digest: bytes, copies: int = 1, epoch: int = 1, octets: int | None = None
) -> EarlierEntry:
    return EarlierEntry(
        epoch=epoch, uid=uid, digest=b"", header_digest=digest, copies=copies, octets=octets
    )


def strange(*pairs: tuple[str, bytes], octets: int = 100) -> list[Stranger]:
    return [Stranger(uid, digest, octets) for uid, digest in pairs]


def test_equal_headers_pair_off_in_order_and_the_rest_stay_strangers() -> None:
    earlier = [entry("a", b"1"), entry("b", b"2"), entry("c", b"1")]
    strangers = strange(("A", b"1"), ("X", b"9"), ("C", b"1"), ("B", b"2"), ("D", b"1"))
    assert [(old.uid, new) for old, new in pair_off(strangers, earlier)] == [
        ("a", "A"),
        ("c", "C"),
        ("b", "B"),
    ]


def test_an_entry_that_stands_for_several_messages_is_recognised_that_often() -> None:
    strangers = strange(("A", b"1"), ("B", b"1"), ("C", b"1"))
    pairs = pair_off(strangers, [entry("a", b"1", copies=2)])
    assert [new for _, new in pairs] == ["A", "B"]


def test_a_message_of_another_size_is_another_message() -> None:
    earlier = [entry("a", b"1", octets=100), entry("b", b"1", octets=200)]
    strangers = [Stranger("X", b"1", 300), *strange(("A", b"1"))]
    assert [(old.uid, new) for old, new in pair_off(strangers, earlier)] == [("a", "A")]


def test_where_most_sizes_are_others_the_server_counts_otherwise() -> None:
    kinds = [b"%d" % n for n in range(20)]
    earlier = [entry(str(n), kind, octets=100) for n, kind in enumerate(kinds)]
    strangers = strange(*((f"new {n}", kind) for n, kind in enumerate(kinds)), octets=107)
    assert len(pair_off(strangers, earlier)) == 20


digests = st.sampled_from([b"1", b"2", b"3"])


@given(
    st.lists(digests),
    st.lists(st.builds(entry, uid=st.just("old"), digest=digests, copies=st.integers(1, 3))),
)
def test_nothing_is_recognised_twice_or_as_something_else(
    wanted: list[bytes], earlier: list[EarlierEntry]
) -> None:
    strangers = [(str(n), digest) for n, digest in enumerate(wanted)]
    pairs = pair_off(strange(*strangers), earlier)
    new = [uid for _, uid in pairs]
    assert len(new) == len(set(new))
    assert all(dict(strangers)[uid] == old.header_digest for old, uid in pairs)
    for digest in (b"1", b"2", b"3"):
        there = sum(old.copies for old in earlier if old.header_digest == digest)
        matched = sum(old.header_digest == digest for old, _ in pairs)
        assert matched == min(there, wanted.count(digest))
