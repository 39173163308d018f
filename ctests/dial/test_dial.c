/* SPDX-License-Identifier: MIT
 *
 * Dials: to addresses, names and unix sockets, that succeed, fail, time out and are cancelled. */
#include "dial_fixture.h"

static void a_literal_is_connected_without_the_resolver(void **state) {
  struct fixture *fixture = *state;
  uint16_t port = 0;
  int listener = listen_on_loopback(5, &port);
  struct resolver *resolver = fixture->dialer.resolver;
  fixture->dialer.resolver = NULL;
  assert_int_equal(dial(fixture, "127.0.0.1", port, PATIENCE_MS), 0);
  fixture->dialer.resolver = resolver;
  expect_peer(fixture, "127.0.0.1", port);
  int no_delay = 0;
  socklen_t size = sizeof no_delay;
  assert_int_equal(getsockopt(fixture->fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
  assert_int_not_equal(no_delay, 0);
  expect_connection(fixture, listener);
  close(listener);
}

static void an_address_that_is_known_is_connected(void **state) {
  struct fixture *fixture = *state;
  uint16_t port = 0;
  int listener = listen_on_loopback(5, &port);
  struct ip_address address;
  struct dial_terms terms = {.ms = PATIENCE_MS, .done = on_done, .context = fixture};
  assert_true(ip_address_from_literal(&address, "127.0.0.1"));
  struct resolver *resolver = fixture->dialer.resolver;
  fixture->dialer.resolver = NULL;
  assert_null(dial_start_address(&fixture->dialer, &address, port, &terms));
  fixture->dialer.resolver = resolver;
  assert_int_equal(fixture->calls, 1);
  assert_int_equal(fixture->status, 0);
  expect_peer(fixture, "127.0.0.1", port);
  expect_connection(fixture, listener);
  close(listener);
}

static void a_name_is_resolved_and_connected(void **state) {
  struct fixture *fixture = *state;
  uint16_t port = 0;
  int listener = listen_on_loopback(5, &port);
  assert_int_equal(dial(fixture, "good.test.", port, PATIENCE_MS), 0);
  expect_peer(fixture, "127.0.0.1", port);
  expect_connection(fixture, listener);
  assert_int_equal(dial(fixture, "localhost", port, PATIENCE_MS), 0);
  expect_connection(fixture, listener);
  close(listener);
}

static void a_refused_address_leads_to_the_next(void **state) {
  struct fixture *fixture = *state;
  uint16_t port = 0;
  int listener = listen_on_loopback(5, &port);
  assert_int_equal(dial(fixture, "last.test.", port, PATIENCE_MS), 0); /* nobody listens on ::1 */
  expect_peer(fixture, "127.0.0.1", port);
  expect_connection(fixture, listener);
  close(listener);
}

static void the_last_refusal_is_reported(void **state) {
  struct fixture *fixture = *state;
  uint16_t port;
  int bound = refuse_on_loopback(&port);
  assert_int_equal(dial(fixture, "127.0.0.1", port, PATIENCE_MS), -ECONNREFUSED);
  expect_peer(fixture, "127.0.0.1", port);
  assert_int_equal(dial(fixture, "second.test.", port, PATIENCE_MS), -ECONNREFUSED);
  expect_peer(fixture, "127.0.0.4", port);
  close(bound);
}

static void a_syn_that_nobody_answers_times_out_in_time(void **state) {
  struct fixture *fixture = *state;
  struct blackhole blackhole;
  blackhole_open(&blackhole);
  for (int i = 0; i < 2; i++) {
    uint64_t before = real_ms();
    assert_int_equal(dial(fixture, "127.0.0.1", blackhole.port, 150), -ETIMEDOUT);
    uint64_t took = real_ms() - before;
    assert_in_range(took, 140, 10000); /* the kernel itself would try for two minutes */
    expect_peer(fixture, "127.0.0.1", blackhole.port);
  }
  blackhole_close(&blackhole);
}

static void the_deadline_goes_by_the_clock_that_can_be_moved(void **state) {
  struct fixture *fixture = *state;
  struct blackhole blackhole;
  blackhole_open(&blackhole);
  fixture->calls = 0;
  assert_non_null(start(fixture, "127.0.0.1", blackhole.port, 3600000));
  bench_settle(&fixture->bench);
  assert_int_equal(fixture->calls, 0);
  clock_advance(&fixture->bench.clock, UINT64_C(3600) * 1000000000);
  AWAIT(&fixture->bench, fixture->calls == 1);
  assert_int_equal(fixture->status, -ETIMEDOUT);
  blackhole_close(&blackhole);
}

static void resolving_counts_against_the_deadline(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(dial(fixture, "silent.test.", 80, 50), -ETIMEDOUT);
  assert_false(fixture->has_peer);
}

static void what_names_fail_with_is_reported(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(dial(fixture, "missing.test.", 80, PATIENCE_MS), -ENOENT);
  assert_false(fixture->has_peer);
  assert_int_equal(dial(fixture, "no name", 80, PATIENCE_MS), -EINVAL);
  assert_int_equal(dial(fixture, "", 80, PATIENCE_MS), -EINVAL);
  assert_int_equal(dial(fixture, "unix:", 80, PATIENCE_MS), -EINVAL);
  assert_int_equal(dial(fixture, "unix:/nowhere/at/all", 80, PATIENCE_MS), -ENXIO);
}

static void running_out_of_descriptors_is_reported(void **state) {
  struct fixture *fixture = *state;
  struct rlimit before, none;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  none = before;
  none.rlim_cur = 0;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
  fixture->calls = 0;
  struct dial *begun = start(fixture, "127.0.0.1", 80, PATIENCE_MS);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  assert_null(begun);
  assert_int_equal(fixture->calls, 1);
  assert_int_equal(fixture->status, -EMFILE);
}

static int listen_on_unix(struct fixture *fixture, int backlog, struct endpoint *endpoint, char host[128]) {
  snprintf(host, 128, "unix:%s/socket", fixture->directory);
  assert_int_equal(endpoint_from_unix_path(endpoint, host + 5), 0);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&endpoint->storage, endpoint->length), 0);
  assert_int_equal(listen(fd, backlog), 0);
  return fd;
}

static void a_unix_target_is_connected(void **state) {
  struct fixture *fixture = *state;
  struct endpoint endpoint;
  char host[128], text[ENDPOINT_TEXT_SIZE];
  int listener = listen_on_unix(fixture, 5, &endpoint, host);
  assert_int_equal(dial(fixture, host, 0, PATIENCE_MS), 0);
  assert_string_equal(endpoint_format(&fixture->peer, text), host);
  expect_connection(fixture, listener);
  close(listener);
  unlink(host + 5);
}

static void a_full_unix_queue_is_waited_for(void **state) {
  struct fixture *fixture = *state;
  struct endpoint endpoint;
  char host[128];
  int listener = listen_on_unix(fixture, 0, &endpoint, host);
  int filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(filler, (struct sockaddr *)&endpoint.storage, endpoint.length), 0);
  assert_int_equal(dial(fixture, host, 0, 30), -ETIMEDOUT);

  fixture->calls = 0;
  assert_non_null(start(fixture, host, 0, PATIENCE_MS));
  bench_settle(&fixture->bench);
  assert_int_equal(fixture->calls, 0);
  close(accept(listener, NULL, NULL));
  AWAIT(&fixture->bench, fixture->calls == 1);
  assert_int_equal(fixture->status, 0);
  expect_connection(fixture, listener);

  close(filler);
  close(listener);
  unlink(host + 5);
}

static void a_dial_may_be_cancelled_in_each_phase(void **state) {
  struct fixture *fixture = *state;
  struct blackhole blackhole;
  struct endpoint endpoint;
  char host[128];
  fixture->calls = 0;
  dial_cancel(NULL);
  dial_cancel(start(fixture, "silent.test.", 80, PATIENCE_MS));

  blackhole_open(&blackhole);
  int files = count_open_files();
  for (int i = 0; i < 2; i++) { /* twice, for the second one has the first one's descriptor */
    struct dial *connecting = start(fixture, "127.0.0.1", blackhole.port, PATIENCE_MS);
    assert_non_null(connecting);
    bench_settle(&fixture->bench);
    assert_int_equal(count_open_files(), files + 1);
    dial_cancel(connecting);
    assert_int_equal(count_open_files(), files);
  }
  blackhole_close(&blackhole);

  int listener = listen_on_unix(fixture, 0, &endpoint, host);
  int filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(filler, (struct sockaddr *)&endpoint.storage, endpoint.length), 0);
  files = count_open_files();
  struct dial *pausing = start(fixture, host, 0, PATIENCE_MS);
  assert_non_null(pausing);
  dial_cancel(pausing);
  assert_int_equal(count_open_files(), files);
  close(filler);
  close(listener);
  unlink(host + 5);

  clock_advance(&fixture->bench.clock, UINT64_C(60) * 1000000000);
  bench_settle(&fixture->bench);
  assert_int_equal(fixture->calls, 0);
}

static void a_dial_to_oneself_is_refused(void **state) {
  struct fixture *fixture = *state;
  uint16_t port;
  /* connect(2) gives even numbers in turn, bind(2) odd ones: in a range's length of tries it gives the one that is
   * dialled. */
  close(refuse_on_loopback(&port));
  port &= 0xfffe;
  for (int i = 0; i < 16000; i++) {
    int status = dial(fixture, "127.0.0.1", port, PATIENCE_MS);
    if (status == 0)
      close(fixture->fd);
    assert_int_equal(status, -ECONNREFUSED);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_literal_is_connected_without_the_resolver),
      TEST(an_address_that_is_known_is_connected),
      TEST(a_name_is_resolved_and_connected),
      TEST(a_refused_address_leads_to_the_next),
      TEST(the_last_refusal_is_reported),
      TEST(a_syn_that_nobody_answers_times_out_in_time),
      TEST(the_deadline_goes_by_the_clock_that_can_be_moved),
      TEST(resolving_counts_against_the_deadline),
      TEST(what_names_fail_with_is_reported),
      TEST(running_out_of_descriptors_is_reported),
      TEST(a_unix_target_is_connected),
      TEST(a_full_unix_queue_is_waited_for),
      TEST(a_dial_may_be_cancelled_in_each_phase),
      TEST(a_dial_to_oneself_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
