/* SPDX-License-Identifier: MIT
 *
 * The resolver against a DNS server of the test's own. Names end with a dot, so that no search list of the machine
 * adds questions. */
#include "net/resolve.h"

#include "dns_server.h"

#include <errno.h>
#include <stdlib.h>

static const struct dns_zone zones[] = {
    {.label = "two", .ipv4 = 2, .ipv6 = 2, .ttl = 60},
    {.label = "lopsided", .ipv4 = 3, .ipv6 = 1, .ttl = 60},
    {.label = "many", .ipv4 = 25, .ttl = 60},
    {.label = "zero", .ipv4 = 1, .ttl = 0},
    {.label = "negative", .ipv4 = 1, .ttl = 0x80000001u},
    {.label = "eternal", .ipv4 = 1, .ttl = 1000000},
    {.label = "alias", .ipv4 = 1, .ttl = 600, .alias_ttl = 10},
    {.label = "empty", .ttl = 60},
    {.label = "silent", .silent = true},
    {.label = "half", .ipv4 = 1, .ttl = 60, .silent_ipv6 = true},
    {.label = "broken", .code = DNS_SERVFAIL},
    {.label = "long", .ipv4 = 3, .ttl = 60, .truncated = true},
    {.label = "a", .ipv4 = 1, .ttl = 60},
    {.label = "b", .ipv4 = 1, .ttl = 60},
    {.label = "c", .ipv4 = 1, .ttl = 60},
    {.label = NULL},
};

struct fixture {
  struct bench bench;
  struct dns_server server;
  struct resolver *resolver;
  int files_before;
};

struct answer {
  struct fixture *fixture;
  int calls;
  struct resolve_result result;
  struct resolve_request *to_cancel; /* in the callback */
  const char *to_start;              /* … */
  struct answer *started;
};

static void on_done(void *context, const struct resolve_result *result) {
  struct answer *answer = context;
  answer->calls++;
  answer->result.status = result->status;
  answer->result.count = result->count;
  for (unsigned i = 0; i < result->count; i++)
    answer->result.addresses[i] = result->addresses[i];
  if (answer->to_cancel)
    resolve_cancel(answer->to_cancel);
  if (answer->to_start)
    resolve_start(answer->fixture->resolver, answer->to_start, on_done, answer->started);
}

static void start_resolver(struct fixture *fixture, struct resolver_options options) {
  struct error error;
  options.servers = fixture->server.servers;
  fixture->resolver = resolver_new(&fixture->bench.loop, &options, &error);
  if (!fixture->resolver)
    fail_msg("%s", error.message);
}

static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  fixture->files_before = count_open_files();
  bench_init(&fixture->bench);
  dns_server_start(&fixture->server, zones);
  *state = fixture;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  resolver_free(fixture->resolver);
  dns_server_stop(&fixture->server);
  bench_deinit(&fixture->bench);
  int leaked = count_open_files() - fixture->files_before;
  if (leaked != 0)
    print_error("%d descriptors leaked\n", leaked);
  free(fixture);
  return leaked != 0;
}

/* Asks and waits for the answer. */
static int ask(struct fixture *fixture, const char *name, struct answer *answer) {
  memset(answer, 0, sizeof *answer);
  answer->fixture = fixture;
  struct resolve_request *request = resolve_start(fixture->resolver, name, on_done, answer);
  assert_true((request == NULL) == (answer->calls == 1));
  AWAIT(&fixture->bench, answer->calls > 0);
  assert_int_equal(answer->calls, 1);
  return answer->result.status;
}

static void advance_s(struct fixture *fixture, uint64_t seconds) {
  clock_advance(&fixture->bench.clock, seconds * 1000000000);
  bench_settle(&fixture->bench);
}

static void expect_addresses(const struct answer *answer, const char *const *texts) {
  unsigned count = 0;
  for (; texts[count]; count++) {
    char text[ENDPOINT_TEXT_SIZE];
    assert_true(count < answer->result.count);
    assert_string_equal(endpoint_format(&answer->result.addresses[count], text), texts[count]);
  }
  assert_int_equal(answer->result.count, count);
}

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

/* A name that the machine's hosts file has, other than localhost. False when there is none. */
static bool find_hosts_name(char name[128]) {
  FILE *file = fopen("/etc/hosts", "re");
  char line[512], address[128];
  bool found = false;
  while (file && !found && fgets(line, sizeof line, file))
    found = sscanf(line, "%127s %127s", address, name) == 2 && address[0] != '#' && name[0] != '#' &&
            !strstr(name, "localhost");
  if (file)
    fclose(file);
  return found;
}

static void the_hosts_file_is_looked_at_before_the_servers(void **state) {
  struct fixture *fixture = *state;
  struct answer answer = {0};
  char name[128];
  start_resolver(fixture, (struct resolver_options){0});
  if (!find_hosts_name(name))
    skip();
  assert_null(resolve_start(fixture->resolver, name, on_done, &answer));
  assert_null(resolve_start(fixture->resolver, name, on_done, &answer));
  assert_int_equal(answer.calls, 2);
  assert_int_equal(answer.result.status, 0);
  assert_true(answer.result.count > 0);
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
  advance_s(fixture, 55);
  assert_null(resolve_start(fixture->resolver, "TWO.Test.", on_done, &answer)); /* names know no case */
  assert_int_equal(answer.calls, 2);
  assert_int_equal(atomic_load(&fixture->server.questions), 1);
  advance_s(fixture, 6);
  assert_int_equal(ask(fixture, "two.test.", &answer), 0);
  assert_int_equal(atomic_load(&fixture->server.questions), 2);
}

static void an_alias_ends_the_life_of_what_it_points_to(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){0});
  assert_int_equal(ask(fixture, "alias.test.", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"127.0.0.1:0", NULL});
  advance_s(fixture, 11);
  assert_int_equal(ask(fixture, "alias.test.", &answer), 0);
  assert_int_equal(atomic_load(&fixture->server.questions), 2);
}

static void a_ttl_of_zero_is_not_kept_and_a_long_one_is_capped(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.max_ttl_s = 100});
  assert_int_equal(ask(fixture, "zero.test.", &answer), 0);
  assert_int_equal(ask(fixture, "zero.test.", &answer), 0);
  assert_int_equal(atomic_load(&fixture->server.questions), 2);
  assert_int_equal(ask(fixture, "negative.test.", &answer), 0);
  assert_int_equal(ask(fixture, "negative.test.", &answer), 0);
  assert_int_equal(atomic_load(&fixture->server.questions), 4);
  assert_int_equal(ask(fixture, "eternal.test.", &answer), 0);
  advance_s(fixture, 90);
  assert_int_equal(ask(fixture, "eternal.test.", &answer), 0);
  assert_int_equal(atomic_load(&fixture->server.questions), 5);
  advance_s(fixture, 11);
  assert_int_equal(ask(fixture, "eternal.test.", &answer), 0);
  assert_int_equal(atomic_load(&fixture->server.questions), 6);
}

static void failures_are_kept_for_a_while(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.negative_ttl_s = 5, .tries = 1});
  assert_int_equal(ask(fixture, "missing.test.", &answer), -ENOENT);
  assert_int_equal(ask(fixture, "missing.test.", &answer), -ENOENT);
  assert_int_equal(ask(fixture, "empty.test.", &answer), -ENOENT);
  assert_int_equal(answer.result.count, 0);
  assert_int_equal(ask(fixture, "broken.test.", &answer), -EAGAIN);
  int questions = atomic_load(&fixture->server.questions);
  assert_int_equal(ask(fixture, "broken.test.", &answer), -EAGAIN);
  assert_int_equal(ask(fixture, "empty.test.", &answer), -ENOENT);
  assert_int_equal(atomic_load(&fixture->server.questions), questions);
  advance_s(fixture, 6);
  assert_int_equal(ask(fixture, "missing.test.", &answer), -ENOENT);
  assert_int_equal(atomic_load(&fixture->server.questions), questions + 1);
}

static void silence_times_out(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.timeout_ms = 50, .tries = 2});
  assert_int_equal(ask(fixture, "silent.test.", &answer), -ETIMEDOUT);
  assert_true(atomic_load(&fixture->server.questions) >= 1);
}

static void a_family_that_is_not_answered_does_not_cost_the_other(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.timeout_ms = 500, .tries = 2}); /* the one that answers is let */
  assert_int_equal(ask(fixture, "half.test.", &answer), 0);
  expect_addresses(&answer, (const char *const[]){"127.0.0.1:0", NULL});
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
  start_resolver(fixture, (struct resolver_options){.cache_entries = 1});
  first.to_start = "zero.test.";
  first.started = &again;
  assert_non_null(resolve_start(fixture->resolver, "zero.test.", on_done, &first));
  first.to_cancel = resolve_start(fixture->resolver, "zero.test.", on_done, &victim);
  AWAIT(&fixture->bench, again.calls > 0);
  assert_int_equal(first.calls, 1);
  assert_int_equal(victim.calls, 0);
  assert_int_equal(again.result.status, 0);
  assert_int_equal(atomic_load(&fixture->server.questions), 2);

  struct answer second = {.fixture = fixture, .to_start = "b.test.", .started = &elsewhere};
  assert_non_null(resolve_start(fixture->resolver, "a.test.", on_done, &second));
  AWAIT(&fixture->bench, elsewhere.calls > 0);
  assert_int_equal(second.result.status, 0);
  assert_int_equal(elsewhere.result.status, -EAGAIN); /* the only entry was still in use */
}

static void the_least_recently_used_name_makes_room(void **state) {
  struct fixture *fixture = *state;
  struct answer answer;
  start_resolver(fixture, (struct resolver_options){.cache_entries = 2});
  ask(fixture, "a.test.", &answer);
  ask(fixture, "b.test.", &answer);
  ask(fixture, "a.test.", &answer);
  ask(fixture, "c.test.", &answer);
  assert_int_equal(atomic_load(&fixture->server.questions), 3);
  ask(fixture, "a.test.", &answer);
  assert_int_equal(atomic_load(&fixture->server.questions), 3);
  ask(fixture, "b.test.", &answer);
  assert_int_equal(atomic_load(&fixture->server.questions), 4);
}

static void names_that_are_being_asked_for_are_bounded(void **state) {
  struct fixture *fixture = *state;
  struct answer waiting = {0}, refused;
  start_resolver(fixture, (struct resolver_options){.cache_entries = 1});
  assert_non_null(resolve_start(fixture->resolver, "silent.test.", on_done, &waiting));
  assert_int_equal(ask(fixture, "two.test.", &refused), -EAGAIN);
  assert_int_equal(waiting.calls, 0);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(families_alternate_and_ipv6_is_first),
      TEST(an_answer_that_is_too_long_is_cut),
      TEST(literals_and_localhost_need_no_server),
      TEST(the_hosts_file_is_looked_at_before_the_servers),
      TEST(what_is_not_a_name_is_refused_without_asking),
      TEST(answers_live_as_long_as_their_ttl),
      TEST(an_alias_ends_the_life_of_what_it_points_to),
      TEST(a_ttl_of_zero_is_not_kept_and_a_long_one_is_capped),
      TEST(failures_are_kept_for_a_while),
      TEST(silence_times_out),
      TEST(a_family_that_is_not_answered_does_not_cost_the_other),
      TEST(a_truncated_answer_is_asked_for_over_tcp),
      TEST(requests_for_one_name_share_a_query),
      TEST(a_cancelled_request_is_not_called_but_its_query_fills_the_cache),
      TEST(a_callback_may_cancel_and_start_requests),
      TEST(the_least_recently_used_name_makes_room),
      TEST(names_that_are_being_asked_for_are_bounded),
      TEST(freeing_drops_what_waits),
      TEST(servers_that_are_none_are_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
