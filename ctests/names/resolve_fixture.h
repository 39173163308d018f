/* SPDX-License-Identifier: MIT
 *
 * A resolver and a DNS server of the test's own. Names end with a dot, so that no search list of the machine adds
 * questions. */
#pragma once

#include "names/resolve.h"

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
    {.label = "short", .ipv4 = 1, .ttl = 60},
    {.label = "whole", .ipv4 = 3, .ttl = 60, .rotating = true},
    {.label = "unlucky", .ipv4 = 1, .ttl = 60, .refuses_ipv6 = true},
    {.label = NULL},
};

struct fixture {
  struct bench bench;
  struct dns_server server;
  struct resolver *resolver;
  int files_before;
  struct scratch scratch;
  char resolv_conf[256], hosts[256];
};

struct answer {
  struct fixture *fixture;
  int calls;
  struct resolve_result result;
  struct resolve_request *to_cancel; /* in the callback */
  const char *to_start;              /* … */
  struct answer *started;
};

static inline void on_done(void *context, const struct resolve_result *result) {
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

/* A machine that is busy keeps our server from answering for longer than a resolver of the default options waits: what
 * a test doesn't say that it waits for, it waits for longer than AWAIT() does. */
enum { PATIENT_MS = 60000 };

static inline void start_resolver(struct fixture *fixture, struct resolver_options options) {
  struct error error;
  options.timeout_ms = options.timeout_ms ? options.timeout_ms : PATIENT_MS;
  options.delay_ms = options.delay_ms ? options.delay_ms : PATIENT_MS;
  options.servers = fixture->server.servers;
  fixture->resolver = resolver_new(&fixture->bench.loop, &options, &error);
  if (!fixture->resolver)
    fail_msg("%s", error.message);
}

/* One that knows what the last one did. */
static inline void replace_resolver(struct fixture *fixture, struct resolver_options options) {
  struct host_table *table = options.table = host_table_ref(resolver_table(fixture->resolver));
  resolver_free(fixture->resolver);
  start_resolver(fixture, options);
  host_table_unref(table);
}

static inline int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  scratch_init(&fixture->scratch);
  fixture->files_before = count_open_files();
  bench_init(&fixture->bench);
  dns_server_start(&fixture->server, zones);
  *state = fixture;
  return 0;
}

static inline int teardown(void **state) {
  struct fixture *fixture = *state;
  resolver_free(fixture->resolver);
  dns_server_stop(&fixture->server);
  bench_deinit(&fixture->bench);
  int leaked = count_open_files() - fixture->files_before;
  if (leaked != 0)
    print_error("%d descriptors leaked\n", leaked);
  remove_tree(fixture->scratch.directory);
  free(fixture);
  return leaked != 0;
}

/* Asks and waits for the answer. */
static inline int ask(struct fixture *fixture, const char *name, struct answer *answer) {
  memset(answer, 0, sizeof *answer);
  answer->fixture = fixture;
  struct resolve_request *request = resolve_start(fixture->resolver, name, on_done, answer);
  assert_true((request == NULL) == (answer->calls == 1));
  AWAIT(&fixture->bench, answer->calls > 0);
  assert_int_equal(answer->calls, 1);
  return answer->result.status;
}

static inline void advance_s(struct fixture *fixture, uint64_t seconds) {
  clock_advance(&fixture->bench.clock, seconds * 1000000000);
  bench_settle(&fixture->bench);
}

static inline void expect_addresses(const struct answer *answer, const char *const *texts) {
  unsigned count = 0;
  for (; texts[count]; count++) {
    char text[ENDPOINT_TEXT_SIZE];
    assert_true(count < answer->result.count);
    assert_string_equal(endpoint_format(&answer->result.addresses[count], text), texts[count]);
  }
  assert_int_equal(answer->result.count, count);
}

/* Once what is being asked for ahead is known. */
static inline void expect_questions(struct fixture *fixture, int count) {
  AWAIT(&fixture->bench, atomic_load(&fixture->server.questions) >= count);
  bench_settle(&fixture->bench);
  assert_int_equal(atomic_load(&fixture->server.questions), count);
}

static inline struct host_counts counts_of(const struct fixture *fixture) {
  struct host_counts counts;
  host_table_count(resolver_table(fixture->resolver), &counts);
  return counts;
}

static inline uint64_t answers_of(const struct fixture *fixture) {
  struct host_counts counts = counts_of(fixture);
  uint64_t sum = 0;
  for (size_t i = 0; i < HOST_RESULT_COUNT; i++)
    sum += counts.results[i];
  return sum;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
