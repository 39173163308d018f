/* SPDX-License-Identifier: MIT
 *
 * Name servers that fail, are silent, or deny a name: what was known serves (RFC 8767), and for how long. */
#include "resolve_fixture.h"

static void failures_are_kept_for_a_while(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.tries = 1});
  assert_int_equal(ask(fixture, "missing.test.", &answer), -ENOENT);
  assert_int_equal(ask(fixture, "missing.test.", &answer), -ENOENT);
  assert_int_equal(ask(fixture, "empty.test.", &answer), -ENOENT);
  assert_int_equal(answer.result.count, 0);
  assert_int_equal(ask(fixture, "broken.test.", &answer), -EAGAIN);
  int questions = atomic_load(&fixture->server.questions);
  assert_int_equal(ask(fixture, "broken.test.", &answer), -EAGAIN);
  assert_int_equal(ask(fixture, "empty.test.", &answer), -ENOENT);
  assert_int_equal(atomic_load(&fixture->server.questions), questions);
  /* 1 s, 2 s, 4 s, 5 s, … */
  static const uint64_t pauses[] = {1, 2, 4, 5, 5};
  for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
    clock_advance(&fixture->bench.clock, pauses[i] * 1000000000 - 300000000);
    bench_settle(&fixture->bench);
    questions = atomic_load(&fixture->server.questions);
    assert_int_equal(ask(fixture, "broken.test.", &answer), -EAGAIN);
    assert_int_equal(atomic_load(&fixture->server.questions), questions);
    clock_advance(&fixture->bench.clock, 400000000);
    bench_settle(&fixture->bench);
    assert_int_equal(ask(fixture, "broken.test.", &answer), -EAGAIN);
    assert_true(atomic_load(&fixture->server.questions) > questions);
  }
}

/* Asks once a second, and says with what status. */
static int ask_for_s(struct fixture *fixture, const char *name, unsigned seconds) {
  struct answer answer;
  for (unsigned i = 0; i < seconds; i++) {
    advance_s(fixture, 1);
    int status = ask(fixture, name, &answer);
    if (status != 0)
      return status;
    assert_int_equal(answer.result.count, 1);
  }
  return 0;
}

static void last_known_addresses_serve_while_name_servers_fail(void **state) {
  struct fixture *fixture = *state;
  static const enum dns_mood moods[] = {DNS_SILENT, DNS_BROKEN};
  struct answer answer;
  for (int i = 0; i < 2; i++) {
    start_resolver(fixture, (struct resolver_options){.stale_ms = 600000, .timeout_ms = 50, .tries = 1});
    assert_int_equal(ask(fixture, "a.test.", &answer), 0);
    atomic_store(&fixture->server.mood, moods[i]);
    assert_int_equal(ask_for_s(fixture, "a.test.", 90), 0);
    AWAIT(&fixture->bench, ask_for_s(fixture, "a.test.", 1) == 0 && counts_of(fixture).stale == 1);
    struct host_report report;
    assert_int_equal(
        host_table_list_stale(resolver_table(fixture->resolver), clock_now(&fixture->bench.clock), &report, 1), 1);
    assert_string_equal(report.name, "a.test.");
    assert_int_equal(report.status, i == 0 ? -ETIMEDOUT : -EAGAIN);
    assert_true(report.stale_ms >= 30000);
    assert_true(report.left_ms > 0 && report.left_ms < 600000 - 29000);
    /* who was never known is not, and is again as soon as a second after the servers are well */
    assert_int_equal(ask(fixture, "b.test.", &answer), moods[i] == DNS_SILENT ? -ETIMEDOUT : -EAGAIN);
    atomic_store(&fixture->server.mood, DNS_WELL);
    advance_s(fixture, 2);
    assert_int_equal(ask(fixture, "b.test.", &answer), 0);
    for (int second = 0; second < 31; second++)
      ask_for_s(fixture, "a.test.", 1);
    AWAIT(&fixture->bench, ask_for_s(fixture, "a.test.", 1) == 0 && counts_of(fixture).stale == 0);
    resolver_free(fixture->resolver);
  }
  fixture->resolver = NULL;
}

static void last_known_addresses_serve_for_a_bounded_time_after_their_ttl(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.stale_ms = 100000, .timeout_ms = 50, .tries = 1});
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  atomic_store(&fixture->server.mood, DNS_BROKEN);
  assert_int_equal(ask_for_s(fixture, "a.test.", 158), 0);
  advance_s(fixture, 3);
  assert_int_equal(ask(fixture, "a.test.", &answer), -EAGAIN);
  AWAIT(&fixture->bench, counts_of(fixture).stale == 0);
}

static void an_expired_name_is_not_waited_for_longer_than_half_a_second(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.stale_ms = 600000, .timeout_ms = 10000});
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  advance_s(fixture, 40);
  atomic_store(&fixture->server.mood, DNS_SILENT);
  advance_s(fixture, 30);
  uint64_t began = real_ms();
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  assert_true(real_ms() - began < 5000);
  began = real_ms();
  assert_null(resolve_start(fixture->resolver, "a.test.", on_done, &answer)); /* and nobody waits after that */
  assert_int_equal(answer.result.status, 0);
}

static void nobody_waits_at_the_end_of_a_ttl_when_it_was_asked_for_in_vain_before(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.stale_ms = 600000, .timeout_ms = 10000});
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  atomic_store(&fixture->server.mood, DNS_SILENT);
  advance_s(fixture, 55);
  AWAIT(&fixture->bench, atomic_load(&fixture->server.questions) == 2);
  advance_s(fixture, 6);
  struct resolver_options options = {.servers = fixture->server.servers, .table = resolver_table(fixture->resolver)};
  struct error error;
  struct resolver *other = resolver_new(&fixture->bench.loop, &options, &error);
  assert_null(resolve_start(fixture->resolver, "a.test.", on_done, &answer));
  assert_int_equal(answer.result.status, 0);
  assert_null(resolve_start(other, "a.test.", on_done, &answer));
  assert_int_equal(answer.result.status, 0);
  resolver_free(other);
}

static void a_name_is_gone_when_that_was_heard_twice(void **state) {
  struct fixture *fixture = *state;
  static const struct dns_zone none[] = {{.label = "other"}, {.label = NULL}};
  static const struct dns_zone empty[] = {{.label = "a", .ttl = 60}, {.label = NULL}};
  struct answer answer;
  for (int i = 0; i < 2; i++) {
    atomic_store(&fixture->server.zones, zones);
    start_resolver(fixture, (struct resolver_options){.stale_ms = 600000});
    assert_int_equal(ask(fixture, "a.test.", &answer), 0);
    atomic_store(&fixture->server.questions, 0);
    atomic_store(&fixture->server.zones, i ? empty : none);
    advance_s(fixture, 61);
    assert_int_equal(ask(fixture, "a.test.", &answer), 0); /* heard once */
    AWAIT(&fixture->bench, atomic_load(&fixture->server.questions) >= 1);
    bench_settle(&fixture->bench);
    assert_int_equal(ask_for_s(fixture, "a.test.", 4), 0);
    advance_s(fixture, 2);
    AWAIT(&fixture->bench, ask_for_s(fixture, "a.test.", 1) == -ENOENT);
    resolver_free(fixture->resolver);
  }
  start_resolver(fixture, (struct resolver_options){.stale_ms = 600000});
  atomic_store(&fixture->server.zones, zones);
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  atomic_store(&fixture->server.zones, none);
  advance_s(fixture, 61);
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  atomic_store(&fixture->server.zones, zones); /* it was a passing fault */
  assert_int_equal(ask_for_s(fixture, "a.test.", 30), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(failures_are_kept_for_a_while),
      TEST(last_known_addresses_serve_while_name_servers_fail),
      TEST(last_known_addresses_serve_for_a_bounded_time_after_their_ttl),
      TEST(an_expired_name_is_not_waited_for_longer_than_half_a_second),
      TEST(nobody_waits_at_the_end_of_a_ttl_when_it_was_asked_for_in_vain_before),
      TEST(a_name_is_gone_when_that_was_heard_twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
