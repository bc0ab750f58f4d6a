"""For how long a client has owed the server something: added up look by look."""

from runtime.http.patience import Owed, Sending, Wait, Waiting

HEAD, BODY = Wait(Owed.HEAD, 1), Wait(Owed.BODY, 1)


def test_a_wait_counts_from_the_look_that_finds_it_first() -> None:
    waiting = Waiting()
    assert [waiting.look(HEAD, 1.0) for _ in range(3)] == [0.0, 1.0, 2.0]


def test_another_wait_and_another_message_begin_anew() -> None:
    waiting = Waiting()
    for _ in range(3):
        waiting.look(HEAD, 1.0)
    assert waiting.look(BODY, 1.0) == 0.0
    waiting.look(BODY, 1.0)
    assert waiting.look(BODY._replace(messages=2), 1.0) == 0.0
    assert waiting.look(None, 1.0) == 0.0


def test_time_that_does_not_pass_is_not_counted() -> None:
    waiting = Waiting()
    waiting.look(BODY, 1.0)
    waiting.look(BODY, 2.0)
    assert waiting.look(BODY, 0.0) == 2.0


def test_a_client_that_takes_too_little_is_waited_for() -> None:
    sending = Sending()
    assert [sending.look(100_000 - taken, 1.0) for taken in (0, 1_000, 16_000)] == [0.0, 1.0, 2.0]


def test_a_client_that_takes_16_kib_or_everything_has_time_again() -> None:
    sending = Sending()
    for unsent in (100_000, 100_000):
        sending.look(unsent, 1.0)
    assert sending.look(100_000 - (16 << 10), 1.0) == 0.0
    assert sending.look(0, 1.0) == 0.0


def test_what_is_added_to_an_answer_is_not_taken_by_the_client() -> None:
    sending = Sending()
    sending.look(100_000, 1.0)
    sending.look(200_000, 1.0)
    assert sending.look(190_000, 1.0) == 2.0


def test_an_answer_that_goes_on_has_time_again() -> None:
    sending = Sending()
    for _ in range(3):
        sending.look(100_000, 1.0)
    sending.resume()
    assert sending.look(100_000, 1.0) == 0.0
