/* SPDX-License-Identifier: MIT
 *
 * Names of addresses: what DNS says, what it does not, and those who do not wait for it. */
#include "resolve_fixture.h"

static const struct dns_zone reverse_zones[] = {
    {.label = "9", .ttl = 60, .pointer = "\4host\4test"},
    {.label = "1", .ttl = 60, .pointer = "\3six\4test"},
    {.label = "7", .ttl = 60},
    {.label = "6", .code = DNS_SERVFAIL},
    {.label = "5", .silent = true},
    {.label = NULL},
};

struct told {
  int calls, status;
  char name[256];
};

static void on_name(void *context, int status, const char *name) {
  struct told *told = context;
  told->calls++;
  told->status = status;
  snprintf(told->name, sizeof told->name, "%s", name);
}

static struct resolve_reverse *start_reverse(struct fixture *fixture, const char *text, struct told *told) {
  struct ip_address address;
  memset(told, 0, sizeof *told);
  assert_true(ip_address_from_literal(&address, text));
  struct resolve_reverse *reverse = resolve_reverse_start(fixture->resolver, &address, on_name, told);
  assert_non_null(reverse);
  assert_int_equal(told->calls, 0);
  return reverse;
}

static int ask_reverse(struct fixture *fixture, const char *text, struct told *told) {
  start_reverse(fixture, text, told);
  AWAIT(&fixture->bench, told->calls > 0);
  assert_int_equal(told->calls, 1);
  return told->status;
}

static void start_with_names(struct fixture *fixture) {
  start_resolver(fixture, (struct resolver_options){.tries = 1});
  atomic_store(&fixture->server.zones, reverse_zones);
}

static void an_address_has_the_name_that_dns_tells(void **state) {
  struct told told;
  start_with_names(*state);
  assert_int_equal(ask_reverse(*state, "192.0.2.9", &told), 0);
  assert_string_equal(told.name, "host.test");
  assert_int_equal(ask_reverse(*state, "2001:db8::1", &told), 0);
  assert_string_equal(told.name, "six.test");
}

static void loopback_is_localhost_without_asking(void **state) {
  struct told told;
  start_with_names(*state);
  assert_int_equal(ask_reverse(*state, "127.0.0.9", &told), 0);
  assert_string_equal(told.name, "localhost");
  assert_int_equal(ask_reverse(*state, "::1", &told), 0);
  assert_string_equal(told.name, "localhost");
}

static void an_address_without_a_name_says_so(void **state) {
  struct told told;
  start_with_names(*state);
  assert_int_equal(ask_reverse(*state, "192.0.2.7", &told), -ENOENT);
  assert_int_equal(ask_reverse(*state, "192.0.2.8", &told), -ENOENT);
  assert_string_equal(told.name, "");
  assert_int_equal(ask_reverse(*state, "192.0.2.6", &told), -ENOENT);
  replace_resolver(*state, (struct resolver_options){.tries = 1, .timeout_ms = 50}); /* it is silent about the last */
  assert_int_equal(ask_reverse(*state, "192.0.2.5", &told), -ENOENT);
}

static void who_cancels_is_not_told(void **state) {
  struct fixture *fixture = *state;
  struct told asked, known, other;
  start_with_names(fixture);
  resolve_reverse_cancel(start_reverse(fixture, "192.0.2.9", &asked));
  resolve_reverse_cancel(start_reverse(fixture, "127.0.0.1", &known));
  assert_int_equal(ask_reverse(fixture, "192.0.2.9", &other), 0);
  bench_settle(&fixture->bench);
  assert_int_equal(asked.calls + known.calls, 0);
}

/* The rest is for a leak checker. */
static void a_resolver_goes_with_what_it_was_asked(void **state) {
  struct fixture *fixture = *state;
  struct told waits, cancelled;
  start_with_names(fixture);
  struct resolve_reverse *waiting = start_reverse(fixture, "192.0.2.5", &waits);
  resolve_reverse_cancel(start_reverse(fixture, "192.0.2.5", &cancelled));
  resolver_free(fixture->resolver);
  fixture->resolver = NULL;
  bench_settle(&fixture->bench);
  assert_int_equal(waits.calls + cancelled.calls, 0);
  resolve_reverse_cancel(waiting);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_address_has_the_name_that_dns_tells), TEST(loopback_is_localhost_without_asking),
      TEST(an_address_without_a_name_says_so),      TEST(who_cancels_is_not_told),
      TEST(a_resolver_goes_with_what_it_was_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
