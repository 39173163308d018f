/* SPDX-License-Identifier: MIT
 *
 * Name servers that fail, are silent, or deny a name: what was known serves (RFC 8767), and for how long. */
#include "resolve_fixture.h"

/* For how long each time is in test_host_table.c, where no clock runs on meanwhile. */
static void failures_are_kept_for_a_while(void **state) {
  struct fixture *fixture = *state;
  static const struct {
    const char *name;
    int status;
  } failures[] = {{"missing.test.", -ENOENT}, {"empty.test.", -ENOENT}, {"broken.test.", -EAGAIN}};
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.tries = 1});
  for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
    int questions = atomic_load(&fixture->server.questions);
    for (int again = 0; again < 5; again++) { /* up to the longest pause, of 5 s */
      assert_int_equal(ask(fixture, failures[i].name, &answer), failures[i].status);
      assert_int_equal(answer.result.count, 0);
      assert_true(atomic_load(&fixture->server.questions) > questions);
      questions = atomic_load(&fixture->server.questions);
      advance_s(fixture, 6);
    }
    ask(fixture, failures[i].name, &answer);
    questions = atomic_load(&fixture->server.questions);
    assert_null(resolve_start(fixture->resolver, failures[i].name, on_done, &answer));
    assert_int_equal(answer.result.status, failures[i].status);
    assert_int_equal(atomic_load(&fixture->server.questions), questions);
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
    start_resolver(fixture, (struct resolver_options){.stale_ms = 600000, .tries = 1});
    assert_int_equal(ask(fixture, "a.test.", &answer), 0);
    replace_resolver(fixture, (struct resolver_options){.timeout_ms = moods[i] == DNS_SILENT ? 50 : 0, .tries = 1});
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
    replace_resolver(fixture, (struct resolver_options){.tries = 1});
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
  start_resolver(fixture, (struct resolver_options){.stale_ms = 100000, .tries = 1});
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  atomic_store(&fixture->server.mood, DNS_BROKEN);
  assert_int_equal(ask_for_s(fixture, "a.test.", 145), 0);
  advance_s(fixture, 16);
  assert_int_equal(ask(fixture, "a.test.", &answer), -EAGAIN);
  AWAIT(&fixture->bench, counts_of(fixture).stale == 0);
}

static void an_expired_name_is_not_waited_for_longer_than_half_a_second(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.stale_ms = 600000});
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  advance_s(fixture, 40);
  atomic_store(&fixture->server.mood, DNS_SILENT);
  advance_s(fixture, 30);
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);                      /* before it times out */
  assert_null(resolve_start(fixture->resolver, "a.test.", on_done, &answer)); /* and nobody waits after that */
  assert_int_equal(answer.result.status, 0);
}

static void nobody_waits_at_the_end_of_a_ttl_when_it_was_asked_for_in_vain_before(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.stale_ms = 600000});
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  atomic_store(&fixture->server.mood, DNS_SILENT);
  advance_s(fixture, 55);
  AWAIT(&fixture->bench, atomic_load(&fixture->server.questions) == 2);
  advance_s(fixture, 6);
  struct resolver_options options = {
      .servers = fixture->server.servers, .timeout_ms = PATIENT_MS, .table = resolver_table(fixture->resolver)};
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
    assert_int_equal(ask_for_s(fixture, "a.test.", 2), 0);
    advance_s(fixture, 4);
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
