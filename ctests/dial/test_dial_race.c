/* SPDX-License-Identifier: MIT
 *
 * Addresses of one name in a race: who begins when, who wins, what becomes of the others, what is remembered. */
#include "dial_fixture.h"

/* The name is in the cache from then on. */
static void know(struct fixture *fixture, const char *name) {
  uint16_t port;
  int bound = refuse_on_loopback(&port);
  dial(fixture, name, port, PATIENCE_MS);
  close(bound);
}

static void advance_ms(struct fixture *fixture, unsigned ms) {
  clock_advance(&fixture->bench.clock, UINT64_C(1000000) * ms);
  bench_settle(&fixture->bench);
}

static bool failed_lately(struct fixture *fixture, const char *host, uint16_t port) {
  struct ip_address address;
  assert_true(ip_address_from_literal(&address, host));
  struct failure_key key = failures_key_of_address(fixture->dialer.failures, &address, port);
  return failures_is_paused(fixture->dialer.failures, &key, loop_now(&fixture->bench.loop));
}

static void the_next_address_begins_when_one_is_silent_for_250_ms(void **state) {
  struct fixture *fixture = *state;
  struct blackhole blackhole;
  blackhole_open(&blackhole);
  int listener = listen_on("127.0.0.2", &blackhole.port);
  know(fixture, "good.test.");
  for (int i = 0; i < 2; i++) { /* one that has lost has not failed: it is first again */
    fixture->calls = 0;
    int files = count_open_files();
    assert_non_null(start(fixture, "good.test.", blackhole.port, 3600000));
    advance_ms(fixture, 200);
    assert_int_equal(fixture->calls, 0);
    assert_int_equal(count_open_files(), files + 1);
    advance_ms(fixture, 60);
    AWAIT(&fixture->bench, fixture->calls == 1);
    assert_int_equal(fixture->status, 0);
    expect_peer(fixture, "127.0.0.2", blackhole.port);
    assert_int_equal(count_open_files(), files + 1);
    expect_connection(fixture, listener);
    assert_false(failed_lately(fixture, "127.0.0.1", blackhole.port));
  }
  close(listener);
  blackhole_close(&blackhole);
}

static void one_that_answers_late_wins_over_one_that_does_not_answer(void **state) {
  struct fixture *fixture = *state;
  struct blackhole first, second;
  blackhole_open(&first);
  second.port = first.port;
  blackhole_open_on(&second, "127.0.0.2");
  know(fixture, "good.test.");
  fixture->calls = 0;
  assert_non_null(start(fixture, "good.test.", first.port, 3600000));
  advance_ms(fixture, 300);
  assert_int_equal(fixture->calls, 0);
  blackhole_lift(&first);
  AWAIT(&fixture->bench, fixture->calls == 1); /* when the kernel sends the SYN again */
  assert_int_equal(fixture->status, 0);
  expect_peer(fixture, "127.0.0.1", first.port);
  close(fixture->fd);
  blackhole_close(&first);
  blackhole_close(&second);
}

static void what_has_failed_lately_comes_last(void **state) {
  struct fixture *fixture = *state;
  uint16_t port = 0;
  int third = listen_on("127.0.0.4", &port), first = -1, second = listen_on("127.0.0.3", &port);
  assert_int_equal(dial(fixture, "second.test.", port, PATIENCE_MS), 0); /* 127.0.0.2 refuses */
  expect_peer(fixture, "127.0.0.3", port);
  close(fixture->fd);
  assert_true(failed_lately(fixture, "127.0.0.2", port));
  assert_false(failed_lately(fixture, "127.0.0.3", port));
  first = listen_on("127.0.0.2", &port);
  assert_int_equal(dial(fixture, "second.test.", port, PATIENCE_MS), 0);
  expect_peer(fixture, "127.0.0.3", port);
  close(fixture->fd);
  advance_ms(fixture, FAILURES_PAUSE_MS + 100);
  assert_int_equal(dial(fixture, "second.test.", port, PATIENCE_MS), 0);
  expect_peer(fixture, "127.0.0.2", port);
  close(fixture->fd);
  assert_int_equal(failures_count(fixture->dialer.failures), 0);
  close(first);
  close(second);
  close(third);
}

static void what_is_silent_to_the_end_has_failed(void **state) {
  struct fixture *fixture = *state;
  struct blackhole first, second;
  blackhole_open(&first);
  second.port = first.port;
  blackhole_open_on(&second, "127.0.0.2");
  know(fixture, "good.test.");
  fixture->calls = 0;
  assert_non_null(start(fixture, "good.test.", first.port, 400)); /* the second has 150 ms of it: too little to tell */
  AWAIT(&fixture->bench, fixture->calls == 1);
  assert_int_equal(fixture->status, -ETIMEDOUT);
  assert_true(failed_lately(fixture, "127.0.0.1", first.port));
  assert_false(failed_lately(fixture, "127.0.0.2", first.port));
  blackhole_close(&first);
  blackhole_close(&second);
}

static void one_that_nobody_waits_for_any_more_is_reset(void **state) {
  struct fixture *fixture = *state;
  struct blackhole blackhole;
  char byte;
  blackhole_open(&blackhole);
  struct dial *connecting = start(fixture, "127.0.0.1", blackhole.port, 3600000);
  assert_non_null(connecting);
  blackhole_lift(&blackhole);
  int accepted = accept(blackhole.listener, NULL, NULL); /* connected by now, without our knowing */
  assert_true(accepted >= 0);
  dial_cancel(connecting);
  assert_int_equal(read(accepted, &byte, 1), -1);
  assert_int_equal(errno, ECONNRESET);
  close(accepted);
  blackhole_close(&blackhole);
}

static void on_slow(void *context) {
  struct fixture *fixture = context;
  fixture->slow++;
  if (fixture->to_cancel)
    dial_cancel(fixture->to_cancel);
}

static void who_has_no_patience_is_told_once(void **state) {
  struct fixture *fixture = *state;
  struct blackhole blackhole;
  blackhole_open(&blackhole);
  static const char *const hosts[] = {"127.0.0.1", "silent.test."};
  for (int i = 0; i < 4; i++) {
    struct dial_terms terms = {.ms = 3600000, .patience_ms = 700, .done = on_done, .slow = on_slow, .context = fixture};
    fixture->calls = fixture->slow = 0;
    struct dial *dial = dial_start(&fixture->dialer, hosts[i % 2], blackhole.port, &terms);
    fixture->to_cancel = i < 2 ? dial : NULL;
    advance_ms(fixture, 600);
    assert_int_equal(fixture->slow, 0);
    advance_ms(fixture, 200);
    advance_ms(fixture, 2000);
    assert_int_equal(fixture->slow, 1);
    if (i >= 2)
      dial_cancel(dial);
  }
  bench_settle(&fixture->bench);
  assert_int_equal(fixture->calls, 0);
  blackhole_close(&blackhole);
}

static void one_more_that_there_is_no_descriptor_for_is_put_off(void **state) {
  struct fixture *fixture = *state;
  struct blackhole blackhole;
  blackhole_open(&blackhole);
  int listener = listen_on("127.0.0.2", &blackhole.port);
  know(fixture, "good.test.");
  fixture->calls = 0;
  assert_non_null(start(fixture, "good.test.", blackhole.port, 3600000));
  bench_settle(&fixture->bench);
  fixture->dialer.descriptors = 1;
  advance_ms(fixture, 260);
  advance_ms(fixture, 260);
  assert_int_equal(fixture->calls, 0);
  fixture->dialer.descriptors = 0;
  advance_ms(fixture, 260);
  AWAIT(&fixture->bench, fixture->calls == 1);
  assert_int_equal(fixture->status, 0);
  expect_connection(fixture, listener);
  close(listener);
  blackhole_close(&blackhole);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_next_address_begins_when_one_is_silent_for_250_ms),
      TEST(one_that_answers_late_wins_over_one_that_does_not_answer),
      TEST(what_has_failed_lately_comes_last),
      TEST(what_is_silent_to_the_end_has_failed),
      TEST(one_that_nobody_waits_for_any_more_is_reset),
      TEST(who_has_no_patience_is_told_once),
      TEST(one_more_that_there_is_no_descriptor_for_is_put_off),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
