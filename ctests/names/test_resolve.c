/* SPDX-License-Identifier: MIT
 *
 * The resolver against a DNS server of the test's own. What it does when that fails is in test_resolve_failures.c. */
#include "resolve_fixture.h"

static void families_alternate_and_ipv6_is_first(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){0});
  assert_int_equal(ask(fixture, "two.test.", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"[::1]:0", "127.0.0.1:0", "[::2]:0", "127.0.0.2:0", NULL});
  assert_int_equal(ask(fixture, "lopsided.test.", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"[::1]:0", "127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0", NULL});
}

static void an_answer_that_is_too_long_is_cut(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){0});
  assert_int_equal(ask(fixture, "many.test.", &answer), 0);
  assert_int_equal(answer.result.count, RESOLVE_MAX_ADDRESSES);
}

static void literals_and_localhost_need_no_server(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){0});
  assert_int_equal(ask(fixture, "192.0.2.1", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"192.0.2.1:0", NULL});
  assert_int_equal(ask(fixture, "[2001:db8::1]", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"[2001:db8::1]:0", NULL});
  static const char *const names[] = {"localhost", "LocalHost.", "deep.under.localhost"};
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(ask(fixture, names[i], &answer), 0);
    expect_addresses(&answer, (const char *const[]){"127.0.0.1:0", "[::1]:0", NULL});
  }
  assert_int_equal(atomic_load(&fixture->server.questions), 0);
}

static void what_is_not_a_name_is_refused_without_asking(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  char name[512];
  start_resolver(fixture, (struct resolver_options){0});
  static const char *const bad[] = {"",      ".",       ".test", "a..test", "a b", "a\nb",
                                    "a\x7f", "a\\046b", "a:80",  "[x]",     "a/b", "fe80::1%nosuch"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    if (ask(fixture, bad[i], &answer) != -EINVAL)
      fail_msg("taken for a name: \"%s\"", bad[i]);
  }
  for (size_t i = 0; i < 511; i++)
    name[i] = i % 32 == 31 ? '.' : 'x';
  name[254] = '\0';
  assert_int_equal(ask(fixture, name, &answer), -EINVAL);
  name[511] = '\0';
  assert_int_equal(ask(fixture, name, &answer), -EINVAL);
  memset(name, 'x', 64);
  strcpy(name + 64, ".test");
  assert_int_equal(ask(fixture, name, &answer), -EINVAL);
  assert_int_equal(atomic_load(&fixture->server.questions), 0);
  for (size_t i = 0; i < 253; i++)
    name[i] = i % 32 == 31 ? '.' : 'x';
  strcpy(name + 253, ".");
  assert_int_equal(ask(fixture, name, &answer), -ENOENT); /* the longest that there can be */
  assert_int_equal(atomic_load(&fixture->server.questions), 1);
}

static void answers_live_as_long_as_their_ttl(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){0});
  ask(fixture, "two.test.", &answer);
  advance_s(fixture, 40);
  assert_null(resolve_start(fixture->resolver, "TWO.Test.", on_done, &answer)); /* names know no case */
  assert_int_equal(answer.calls, 2);
  assert_int_equal(atomic_load(&fixture->server.questions), 1);
  advance_s(fixture, 21);
  assert_int_equal(ask(fixture, "two.test.", &answer), 0);
  expect_questions(fixture, 2);
}

static void an_alias_ends_the_life_of_what_it_points_to(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){0});
  assert_int_equal(ask(fixture, "alias.test.", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"127.0.0.1:0", NULL});
  advance_s(fixture, 11);
  assert_int_equal(ask(fixture, "alias.test.", &answer), 0);
  expect_questions(fixture, 2);
}

static void a_ttl_has_bounds(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  static const char *const names[] = {"zero.test.", "negative.test."};
  for (int i = 0; i < 2; i++) {
    start_resolver(fixture, (struct resolver_options){.min_ttl_ms = 50000, .max_ttl_ms = 100000});
    atomic_store(&fixture->server.questions, 0);
    assert_int_equal(ask(fixture, names[i], &answer), 0);
    for (int again = 0; again < 10; again++)
      assert_int_equal(ask(fixture, names[i], &answer), 0);
    expect_questions(fixture, 1); /* however many ask: the server is asked once in that time */
    advance_s(fixture, 51);
    assert_int_equal(ask(fixture, names[i], &answer), 0);
    expect_questions(fixture, 2);
    resolver_free(fixture->resolver);
  }
  start_resolver(fixture, (struct resolver_options){.max_ttl_ms = 100000});
  atomic_store(&fixture->server.questions, 0);
  assert_int_equal(ask(fixture, "eternal.test.", &answer), 0);
  advance_s(fixture, 70);
  assert_int_equal(ask(fixture, "eternal.test.", &answer), 0);
  expect_questions(fixture, 1);
  advance_s(fixture, 31);
  assert_int_equal(ask(fixture, "eternal.test.", &answer), 0);
  expect_questions(fixture, 2);
}

static void a_name_that_was_used_is_asked_for_again_before_its_time_is_over(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){0});
  ask(fixture, "two.test.", &answer); /* 60 s */
  ask(fixture, "a.test.", &answer);
  ask(fixture, "two.test.", &answer);
  expect_questions(fixture, 2);
  AWAIT(&fixture->bench, answers_of(fixture) == 4);
  advance_s(fixture, 40);
  expect_questions(fixture, 2);
  advance_s(fixture, 15);
  expect_questions(fixture, 4); /* both: who asked first has used it */
  AWAIT(&fixture->bench, answers_of(fixture) == 8);
  ask(fixture, "two.test.", &answer);
  advance_s(fixture, 55);
  expect_questions(fixture, 5); /* nobody has wanted a.test. since */
  assert_null(resolve_start(fixture->resolver, "two.test.", on_done, &answer));
}

static void silence_times_out(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.timeout_ms = 50, .tries = 2});
  assert_int_equal(ask(fixture, "silent.test.", &answer), -ETIMEDOUT);
  AWAIT(&fixture->bench, atomic_load(&fixture->server.questions) >= 1);
}

static void a_family_that_is_not_answered_costs_50_ms_once(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.delay_ms = 50});
  uint64_t began = real_ms();
  assert_int_equal(ask(fixture, "half.test.", &answer), 0); /* before it times out */
  assert_true(real_ms() - began >= 49);
  expect_addresses(&answer, (const char *const[]){"127.0.0.1:0", NULL});
  for (int round = 0; round < 5; round++) { /* ends of the TTL, of which no client sees anything */
    for (int second = 0; second < 55; second++) {
      if (second == 45) /* it is asked for ahead in 9 s */
        assert_int_equal(counts_of(fixture).results[HOST_FOUND], 1 + round);
      advance_s(fixture, 1);
      assert_null(resolve_start(fixture->resolver, "half.test.", on_done, &answer));
      assert_int_equal(answer.result.status, 0);
    }
    AWAIT(&fixture->bench, counts_of(fixture).results[HOST_FOUND] == 2 + (uint64_t)round);
  }
}

static void a_family_that_fails_is_asked_for_again_by_itself(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.tries = 1});
  assert_int_equal(ask(fixture, "unlucky.test.", &answer), 0);
  AWAIT(&fixture->bench, answers_of(fixture) == 2);
  static const struct dns_zone mended[] = {{.label = "unlucky", .ipv4 = 1, .ipv6 = 1, .ttl = 60}, {.label = NULL}};
  atomic_store(&fixture->server.zones, mended);
  ask(fixture, "unlucky.test.", &answer);
  advance_s(fixture, 2);
  AWAIT(&fixture->bench, atomic_load(&fixture->server.ipv6_questions) == 2);
  bench_settle(&fixture->bench);
  AWAIT(&fixture->bench, ask(fixture, "unlucky.test.", &answer) == 0 && answer.result.count == 2);
  expect_questions(fixture, 1);
  expect_addresses(&answer, (const char *const[]){"[::1]:0", "127.0.0.1:0", NULL});
}

static void only_the_families_that_there_are_are_asked_for(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.family = RESOLVE_IPV4});
  assert_int_equal(ask(fixture, "two.test.", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"127.0.0.1:0", "127.0.0.2:0", NULL});
  assert_int_equal(ask(fixture, "localhost", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"127.0.0.1:0", NULL});
  assert_int_equal(ask(fixture, "::1", &answer), 0);
  assert_int_equal(atomic_load(&fixture->server.ipv6_questions), 0);
  resolver_free(fixture->resolver);
  start_resolver(fixture, (struct resolver_options){.family = RESOLVE_IPV6});
  assert_int_equal(ask(fixture, "two.test.", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"[::1]:0", "[::2]:0", NULL});
  assert_int_equal(atomic_load(&fixture->server.questions), 1);
}

static void the_order_of_a_servers_answers_changes_nothing(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.stale_ms = 600000});
  assert_int_equal(ask(fixture, "whole.test.", &answer), 0);
  struct resolve_result first = answer.result;
  assert_int_equal(first.count, 3);
  for (int i = 0; i < 4; i++) {
    advance_s(fixture, 61);
    assert_int_equal(ask(fixture, "whole.test.", &answer), 0);
    AWAIT(&fixture->bench, counts_of(fixture).results[HOST_FOUND] == 2 + (uint64_t)i);
    expect_questions(fixture, 2 + i);
    assert_memory_equal(answer.result.addresses, first.addresses, 3 * sizeof first.addresses[0]);
  }
  static const struct dns_zone others[] = {{.label = "whole", .ipv4 = 3, .first = 2, .ttl = 60}, {.label = NULL}};
  atomic_store(&fixture->server.zones, others); /* 127.0.0.2, .3, .4: one has gone, one has come */
  advance_s(fixture, 61);
  ask(fixture, "whole.test.", &answer); /* half a second at most: it may be what was known */
  AWAIT(&fixture->bench, counts_of(fixture).results[HOST_FOUND] == 6);
  ask(fixture, "whole.test.", &answer);
  char last[ENDPOINT_TEXT_SIZE];
  assert_int_equal(answer.result.count, 3);
  assert_string_equal(endpoint_format(&answer.result.addresses[2], last), "127.0.0.4:0");
}

static void questions_come_from_many_ports(void **state) {
  struct fixture *fixture = *state;
  enum { NAMES = 200 };
  static struct answer answers[NAMES];
  memset(answers, 0, sizeof answers);
  start_resolver(fixture, (struct resolver_options){0});
  for (int i = 0; i < NAMES; i++) {
    char name[32];
    snprintf(name, sizeof name, "a.%d.test.", i);
    assert_non_null(resolve_start(fixture->resolver, name, on_done, &answers[i]));
  }
  for (int i = 0; i < NAMES; i++) {
    AWAIT(&fixture->bench, answers[i].calls > 0);
    assert_int_equal(answers[i].result.status, 0);
  }
  assert_int_equal(atomic_load(&fixture->server.questions), NAMES);
  assert_true(atomic_load(&fixture->server.ports) >= 2 * NAMES / 64);
}

static void a_silent_server_is_asked_last(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  int silent = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof in;
  assert_int_equal(bind(silent, (struct sockaddr *)&in, length), 0);
  assert_int_equal(getsockname(silent, (struct sockaddr *)&in, &length), 0);
  char servers[64];
  struct error error;
  snprintf(servers, sizeof servers, "127.0.0.1:%u,%s", ntohs(in.sin_port), fixture->server.servers);
  struct resolver_options options = {.servers = servers, .timeout_ms = 2000, .family = RESOLVE_IPV4};
  fixture->resolver = resolver_new(&fixture->bench.loop, &options, &error);
  assert_non_null(fixture->resolver);
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  char byte;
  while (recv(silent, &byte, 1, MSG_DONTWAIT) >= 0)
    ;
  assert_int_equal(ask(fixture, "b.test.", &answer), 0);
  assert_int_equal(ask(fixture, "c.test.", &answer), 0);
  assert_true(recv(silent, &byte, 1, MSG_DONTWAIT) < 0);
  close(silent);
}

static void a_truncated_answer_is_asked_for_over_tcp(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){0});
  assert_int_equal(ask(fixture, "long.test.", &answer), 0);
  assert_int_equal(answer.result.count, 3);
  assert_int_equal(atomic_load(&fixture->server.tcp_questions), 1);
}

static void requests_for_one_name_share_a_query(void **state) {
  struct fixture *fixture = *state;
  struct answer answers[10] = {0};
  start_resolver(fixture, (struct resolver_options){0});
  for (int i = 0; i < 10; i++)
    assert_non_null(resolve_start(fixture->resolver, i % 2 ? "zero.test." : "Zero.TEST.", on_done, &answers[i]));
  AWAIT(&fixture->bench, answers[9].calls > 0);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(answers[i].calls, 1);
    assert_int_equal(answers[i].result.status, 0);
  }
  assert_int_equal(atomic_load(&fixture->server.questions), 1);
}

static void a_cancelled_request_is_not_called_but_its_query_fills_the_cache(void **state) {
  struct fixture *fixture = *state;
  struct answer cancelled = {0}, other = {0};
  start_resolver(fixture, (struct resolver_options){0});
  resolve_cancel(resolve_start(fixture->resolver, "two.test.", on_done, &cancelled));
  assert_non_null(resolve_start(fixture->resolver, "two.test.", on_done, &other));
  AWAIT(&fixture->bench, other.calls > 0);
  assert_int_equal(cancelled.calls, 0);
  assert_int_equal(atomic_load(&fixture->server.questions), 1);
}

static void a_callback_may_cancel_and_start_requests(void **state) {
  struct fixture *fixture = *state;
  struct answer first = {.fixture = fixture}, victim = {0}, again = {0}, elsewhere = {0};
  start_resolver(fixture, (struct resolver_options){0});
  first.to_start = "zero.test.";
  first.started = &again;
  assert_non_null(resolve_start(fixture->resolver, "zero.test.", on_done, &first));
  first.to_cancel = resolve_start(fixture->resolver, "zero.test.", on_done, &victim);
  AWAIT(&fixture->bench, again.calls > 0);
  assert_int_equal(first.calls, 1);
  assert_int_equal(victim.calls, 0);
  assert_int_equal(again.result.status, 0);
  assert_int_equal(atomic_load(&fixture->server.questions), 1);

  struct answer second = {.fixture = fixture, .to_start = "b.test.", .started = &elsewhere};
  assert_non_null(resolve_start(fixture->resolver, "a.test.", on_done, &second));
  AWAIT(&fixture->bench, elsewhere.calls > 0);
  assert_int_equal(second.result.status, 0);
  assert_int_equal(elsewhere.result.status, 0);
}

static void the_least_recently_used_name_makes_room(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.cache_entries = 64});
  ask(fixture, "a.test.", &answer);
  for (int i = 0; i < 300; i++) {
    char name[32];
    snprintf(name, sizeof name, "b.%d.test.", i);
    assert_int_equal(ask(fixture, name, &answer), 0);
    assert_int_equal(ask(fixture, "a.test.", &answer), 0);
    assert_true(counts_of(fixture).names <= 64 + 16);
  }
  assert_true(atomic_load(&fixture->server.questions) <= 1 + 300);
}

static void names_that_are_being_asked_for_are_bounded(void **state) {
  struct fixture *fixture = *state;
  enum { NAMES = 300 };
  static struct answer waiting[NAMES];
  int refused = 0;
  memset(waiting, 0, sizeof waiting);
  start_resolver(fixture, (struct resolver_options){.cache_entries = 64});
  for (int i = 0; i < NAMES; i++) {
    char name[32];
    snprintf(name, sizeof name, "silent.%d.test.", i);
    if (!resolve_start(fixture->resolver, name, on_done, &waiting[i])) {
      assert_int_equal(waiting[i].result.status, -EAGAIN);
      refused++;
    }
  }
  assert_true(refused >= NAMES - 64 - 16);
  assert_true(counts_of(fixture).names <= 64 + 16);
}

static void more_names_than_may_be_asked_for_at_once_queue(void **state) {
  struct fixture *fixture = *state;
  enum { NAMES = 300 };
  static struct answer answers[NAMES];
  memset(answers, 0, sizeof answers);
  start_resolver(fixture, (struct resolver_options){.timeout_ms = 500, .tries = 1});
  for (int i = 0; i < NAMES; i++) {
    char name[32];
    snprintf(name, sizeof name, "%s.%d.test.", i < 200 ? "silent" : "a", i);
    assert_non_null(resolve_start(fixture->resolver, name, on_done, &answers[i]));
  }
  bench_settle(&fixture->bench);
  assert_true(atomic_load(&fixture->server.questions) <= 64);
  for (int i = 0; i < NAMES; i++) {
    AWAIT(&fixture->bench, answers[i].calls > 0);
    if (i < 200 || answers[i].result.status != 0) /* on a busy machine so may others */
      assert_int_equal(answers[i].result.status, -ETIMEDOUT);
  }
  for (int i = 200; i < NAMES; i++) {
    char name[32];
    snprintf(name, sizeof name, "a.%d.test.", i);
    AWAIT(&fixture->bench, ask(fixture, name, &answers[i]) == 0 || (advance_s(fixture, 2), false));
  }
}

/* The machine's files are those of the fixture's directory. */
static void write_files(struct fixture *fixture, const char *resolv_conf, const char *hosts,
                        struct resolver_options *options) {
  scratch_write(&fixture->scratch, "resolv.conf", resolv_conf);
  scratch_write(&fixture->scratch, "hosts", hosts);
  snprintf(fixture->resolv_conf, sizeof fixture->resolv_conf, "%s/resolv.conf", fixture->scratch.directory);
  snprintf(fixture->hosts, sizeof fixture->hosts, "%s/hosts", fixture->scratch.directory);
  options->resolv_conf = fixture->resolv_conf;
  options->hosts = fixture->hosts;
}

static void the_hosts_file_is_looked_at_before_the_servers(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  struct resolver_options options = {.family = RESOLVE_ANY};
  write_files(fixture, "", "192.0.2.1 a.test two.test\n2001:db8::1 a.test\n192.0.2.2 localhost\n", &options);
  start_resolver(fixture, options);
  assert_int_equal(ask(fixture, "A.test", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"[2001:db8::1]:0", "192.0.2.1:0", NULL});
  assert_int_equal(ask(fixture, "localhost", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"127.0.0.1:0", "[::1]:0", NULL});
  assert_int_equal(atomic_load(&fixture->server.questions), 0);
  resolver_free(fixture->resolver);
  options.family = RESOLVE_IPV6;
  start_resolver(fixture, options);
  assert_int_equal(ask(fixture, "a.test", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"[2001:db8::1]:0", NULL});
}

static void a_changed_hosts_file_holds_for_names_that_are_known_and_for_what_failed(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  struct resolver_options options = {.family = RESOLVE_ANY};
  write_files(fixture, "", "", &options);
  start_resolver(fixture, options);
  struct host_table *table = resolver_table(fixture->resolver);
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  assert_int_equal(ask(fixture, "missing.test.", &answer), -ENOENT);
  write_files(fixture, "", "192.0.2.1 a.test\n192.0.2.2 missing.test\n", &options);
  struct dns_files *files = dns_files_read(options.resolv_conf, options.hosts);
  assert_true(host_table_set_files(table, files));
  assert_false(host_table_set_files(table, files));
  dns_files_unref(files);
  ask(fixture, "a.test.", &answer);
  expect_addresses(&answer, (const char *const[]){"192.0.2.1:0", NULL});
  ask(fixture, "missing.test.", &answer);
  expect_addresses(&answer, (const char *const[]){"192.0.2.2:0", NULL});
  assert_int_equal(atomic_load(&fixture->server.questions), 2);
  write_files(fixture, "search example\n", "", &options);
  files = dns_files_read(options.resolv_conf, options.hosts);
  assert_true(host_table_set_files(table, files));
  dns_files_unref(files);
  ask(fixture, "a.test.", &answer); /* what was known before */
  expect_addresses(&answer, (const char *const[]){"127.0.0.1:0", NULL});
  assert_int_equal(atomic_load(&fixture->server.questions), 2);
  assert_int_equal(ask(fixture, "missing.test.", &answer), -ENOENT); /* by the new servers */
  assert_int_equal(atomic_load(&fixture->server.questions), 3);
}

static void other_servers_are_asked_once_resolv_conf_has_changed(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  struct error error;
  struct resolver_options options = {.timeout_ms = 50, .tries = 1};
  write_files(fixture, "options use-vc\nnameserver 127.0.0.66\n", "", &options); /* nobody is there */
  fixture->resolver = resolver_new(&fixture->bench.loop, &options, &error);
  assert_non_null(fixture->resolver);
  assert_int_equal(ask(fixture, "a.test.", &answer), -EAGAIN);
  /* A name server of a file has no port of its own: silence in place of a refusal tells that the other is asked. */
  int silent = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000043), .sin_port = htons(53)};
  if (bind(silent, (struct sockaddr *)&in, sizeof in) != 0) {
    close(silent);
    skip();
  }
  write_files(fixture, "nameserver 127.0.0.67\n", "", &options);
  struct dns_files *files = dns_files_read(options.resolv_conf, options.hosts);
  assert_true(host_table_set_files(resolver_table(fixture->resolver), files));
  dns_files_unref(files);
  int status = ask(fixture, "a.test.", &answer);
  close(silent);
  assert_int_equal(status, -ETIMEDOUT);
}

static void name_servers_of_both_families_are_taken_from_resolv_conf(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  struct error error;
  struct resolver_options options = {.timeout_ms = 50, .tries = 1, .family = RESOLVE_IPV4};
  /* Nobody is there: the first is silent or out of reach, the second refuses. */
  write_files(fixture, "nameserver 2001:db8::1\nnameserver ::1\nnameserver 127.0.0.66\n", "", &options);
  fixture->resolver = resolver_new(&fixture->bench.loop, &options, &error);
  assert_non_null(fixture->resolver);
  int status = ask(fixture, "a.test.", &answer);
  assert_true(status == -EAGAIN || status == -ETIMEDOUT);
}

static void short_names_are_looked_for_in_the_list_of_domains(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  struct resolver_options options = {.tries = 1};
  write_files(fixture, "search first.example second.example\n", "", &options);
  start_resolver(fixture, options);
  assert_int_equal(ask(fixture, "a", &answer), 0);
  assert_int_equal(atomic_load(&fixture->server.questions), 1);
  assert_int_equal(ask(fixture, "missing", &answer), -ENOENT);
  assert_int_equal(atomic_load(&fixture->server.questions), 1 + 3);
  options.timeout_ms = 50;
  replace_resolver(fixture, options);
  assert_int_equal(ask(fixture, "silent", &answer),
                   -ETIMEDOUT); /* which may be there: the next would be another host */
  expect_questions(fixture, 1 + 3 + 1);
}

static void what_one_worker_knows_all_know(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  struct error error;
  start_resolver(fixture, (struct resolver_options){0});
  struct resolver_options options = {
      .servers = fixture->server.servers, .timeout_ms = PATIENT_MS, .table = resolver_table(fixture->resolver)};
  struct resolver *other = resolver_new(&fixture->bench.loop, &options, &error);
  assert_non_null(other);
  assert_int_equal(ask(fixture, "a.test.", &answer), 0);
  assert_null(resolve_start(other, "a.test.", on_done, &answer));
  assert_int_equal(answer.result.status, 0);
  assert_int_equal(ask(fixture, "broken.test.", &answer), -EAGAIN);
  int questions = atomic_load(&fixture->server.questions);
  assert_null(resolve_start(other, "broken.test.", on_done, &answer));
  assert_int_equal(answer.result.status, -EAGAIN);
  advance_s(fixture, 55); /* one of them asks ahead */
  AWAIT(&fixture->bench, atomic_load(&fixture->server.questions) > questions);
  bench_settle(&fixture->bench);
  assert_null(resolve_start(other, "a.test.", on_done, &answer));
  bench_settle(&fixture->bench);
  assert_int_equal(atomic_load(&fixture->server.questions), questions + 1);
  resolver_free(other);
}

static void freeing_drops_what_waits(void **state) {
  struct fixture *fixture = *state;
  struct answer waiting[3] = {0};
  start_resolver(fixture, (struct resolver_options){0});
  resolve_start(fixture->resolver, "silent.test.", on_done, &waiting[0]);
  resolve_start(fixture->resolver, "silent.test.", on_done, &waiting[1]);
  resolve_start(fixture->resolver, "half.test.", on_done, &waiting[2]);
  AWAIT(&fixture->bench, atomic_load(&fixture->server.questions) == 2);
  bench_settle(&fixture->bench);
  resolver_free(fixture->resolver);
  fixture->resolver = NULL;
  bench_settle(&fixture->bench);
  for (int i = 0; i < 3; i++)
    assert_int_equal(waiting[i].calls, 0);
}

static void servers_that_are_none_are_an_error(void **state) {
  struct fixture *fixture = *state;
  struct error error;
  struct resolver_options options = {.servers = "not an address"};
  assert_null(resolver_new(&fixture->bench.loop, &options, &error));
  assert_int_equal(error.code, EINVAL);
  assert_non_null(strstr(error.message, "not an address"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(families_alternate_and_ipv6_is_first),
      TEST(an_answer_that_is_too_long_is_cut),
      TEST(literals_and_localhost_need_no_server),
      TEST(what_is_not_a_name_is_refused_without_asking),
      TEST(answers_live_as_long_as_their_ttl),
      TEST(an_alias_ends_the_life_of_what_it_points_to),
      TEST(a_ttl_has_bounds),
      TEST(a_name_that_was_used_is_asked_for_again_before_its_time_is_over),
      TEST(silence_times_out),
      TEST(a_family_that_is_not_answered_costs_50_ms_once),
      TEST(a_family_that_fails_is_asked_for_again_by_itself),
      TEST(only_the_families_that_there_are_are_asked_for),
      TEST(the_order_of_a_servers_answers_changes_nothing),
      TEST(questions_come_from_many_ports),
      TEST(a_silent_server_is_asked_last),
      TEST(a_truncated_answer_is_asked_for_over_tcp),
      TEST(requests_for_one_name_share_a_query),
      TEST(a_cancelled_request_is_not_called_but_its_query_fills_the_cache),
      TEST(a_callback_may_cancel_and_start_requests),
      TEST(the_least_recently_used_name_makes_room),
      TEST(names_that_are_being_asked_for_are_bounded),
      TEST(more_names_than_may_be_asked_for_at_once_queue),
      TEST(the_hosts_file_is_looked_at_before_the_servers),
      TEST(a_changed_hosts_file_holds_for_names_that_are_known_and_for_what_failed),
      TEST(other_servers_are_asked_once_resolv_conf_has_changed),
      TEST(name_servers_of_both_families_are_taken_from_resolv_conf),
      TEST(short_names_are_looked_for_in_the_list_of_domains),
      TEST(what_one_worker_knows_all_know),
      TEST(freeing_drops_what_waits),
      TEST(servers_that_are_none_are_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
