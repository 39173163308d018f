/* SPDX-License-Identifier: MIT
 *
 * Dials: to addresses, names and unix sockets, that succeed, fail, time out and are cancelled. */
#include "dial/dial.h"

#include "../names/dns_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { PATIENCE_MS = 20000 };

static const struct dns_zone zones[] = {
    {.label = "second", .ipv4 = 3, .first = 2, .ttl = 60},          /* 127.0.0.2, .3, .4 */
    {.label = "good", .ipv4 = 2, .first = 1, .ttl = 60},            /* 127.0.0.1, .2 */
    {.label = "last", .ipv4 = 2, .first = 0, .ttl = 60, .ipv6 = 1}, /* ::1, 127.0.0.1, 127.0.0.2 */
    {.label = "silent", .silent = true},
    {.label = NULL},
};

struct fixture {
  struct bench bench;
  struct dns_server server;
  struct dialer dialer;
  char directory[64];
  int files_before;
  /* of on_done */
  int calls, status, fd;
  bool has_peer;
  struct endpoint peer;
  /* of on_slow */
  int slow;
  struct dial *to_cancel;
};

static void on_done(void *context, int status, int fd, const struct endpoint *peer) {
  struct fixture *fixture = context;
  fixture->calls++;
  fixture->status = status;
  fixture->fd = fd;
  fixture->has_peer = peer != NULL;
  if (peer)
    fixture->peer = *peer;
}

static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  struct error error;
  assert_non_null(fixture);
  strcpy(fixture->directory, "/tmp/dial-XXXXXX");
  assert_non_null(mkdtemp(fixture->directory));
  fixture->files_before = count_open_files();
  bench_init(&fixture->bench);
  dns_server_start(&fixture->server, zones);
  struct resolver_options options = {.servers = fixture->server.servers};
  fixture->dialer = (struct dialer){.loop = &fixture->bench.loop, .tcp = {.no_delay = true}};
  fixture->dialer.failures = failures_new(1000);
  fixture->dialer.resolver = resolver_new(&fixture->bench.loop, &options, &error);
  assert_non_null(fixture->dialer.resolver);
  *state = fixture;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  resolver_free(fixture->dialer.resolver);
  failures_free(fixture->dialer.failures);
  dns_server_stop(&fixture->server);
  bench_deinit(&fixture->bench);
  int leaked = count_open_files() - fixture->files_before;
  if (leaked != 0)
    print_error("%d descriptors leaked\n", leaked);
  rmdir(fixture->directory);
  free(fixture);
  return leaked != 0;
}

static struct dial *start(struct fixture *fixture, const char *host, uint16_t port, uint64_t ms) {
  struct dial_terms terms = {.ms = ms, .done = on_done, .context = fixture};
  return dial_start(&fixture->dialer, host, port, &terms);
}

static int dial(struct fixture *fixture, const char *host, uint16_t port, uint64_t ms) {
  fixture->calls = 0;
  struct dial *dial = start(fixture, host, port, ms);
  assert_int_equal(fixture->calls, dial == NULL);
  AWAIT(&fixture->bench, fixture->calls > 0);
  bench_settle(&fixture->bench);
  assert_int_equal(fixture->calls, 1);
  assert_int_equal(fixture->fd >= 0, fixture->status == 0);
  return fixture->status;
}

static void expect_peer(const struct fixture *fixture, const char *host, uint16_t port) {
  char text[ENDPOINT_TEXT_SIZE], expected[ENDPOINT_TEXT_SIZE];
  assert_true(fixture->has_peer);
  snprintf(expected, sizeof expected, "%s:%u", host, port);
  assert_string_equal(endpoint_format(&fixture->peer, text), expected);
}

/* The descriptor is handed over connected, and leads to `listener`. */
static void expect_connection(struct fixture *fixture, int listener) {
  int accepted = accept(listener, NULL, NULL);
  assert_true(accepted >= 0);
  char byte = 0;
  assert_int_equal(write(fixture->fd, "m", 1), 1);
  assert_int_equal(read(accepted, &byte, 1), 1);
  assert_int_equal(byte, 'm');
  assert_true(fcntl(fixture->fd, F_GETFL) & O_NONBLOCK);
  assert_true(fcntl(fixture->fd, F_GETFD) & FD_CLOEXEC);
  close(accepted);
  close(fixture->fd);
}

/* A port of loopback on which nobody listens, and that nobody is given meanwhile: it is bound. */
static int refuse_on_loopback(uint16_t *port) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
  socklen_t length = sizeof in;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&in, length), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &length), 0);
  *port = ntohs(in.sin_port);
  return fd;
}

/* A listener whose queue is full: the kernel drops further SYNs, as a firewall would. */
struct blackhole {
  int listener, fillers[3];
  uint16_t port;
};

static void blackhole_open_on(struct blackhole *blackhole, const char *host) {
  struct endpoint endpoint;
  assert_int_equal(endpoint_from_literal(&endpoint, host, blackhole->port), 0);
  blackhole->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(blackhole->listener, (struct sockaddr *)&endpoint.storage, endpoint.length), 0);
  assert_int_equal(listen(blackhole->listener, 0), 0);
  assert_int_equal(getsockname(blackhole->listener, (struct sockaddr *)&endpoint.storage, &endpoint.length), 0);
  blackhole->port = endpoint_port(&endpoint);
  for (int i = 0; i < 3; i++) {
    blackhole->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)connect(blackhole->fillers[i], (struct sockaddr *)&endpoint.storage, endpoint.length);
  }
}

static void blackhole_open(struct blackhole *blackhole) {
  blackhole->port = 0;
  blackhole_open_on(blackhole, "127.0.0.1");
}

/* From now on it takes the SYNs that are sent again. */
static void blackhole_lift(struct blackhole *blackhole) {
  for (int i = 0; i < 3; i++) {
    close(blackhole->fillers[i]);
    blackhole->fillers[i] = -1;
  }
  assert_int_equal(fcntl(blackhole->listener, F_SETFL, O_NONBLOCK), 0);
  for (int fd; (fd = accept(blackhole->listener, NULL, NULL)) >= 0;)
    close(fd);
  assert_int_equal(fcntl(blackhole->listener, F_SETFL, 0), 0);
}

static void blackhole_close(struct blackhole *blackhole) {
  for (int i = 0; i < 3; i++)
    close(blackhole->fillers[i]);
  close(blackhole->listener);
}

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

static int listen_on(const char *host, uint16_t *port) {
  struct endpoint endpoint;
  assert_int_equal(endpoint_from_literal(&endpoint, host, *port), 0);
  int fd = socket(endpoint.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int yes = 1;
  if (endpoint.storage.ss_family == AF_INET6) /* only that one */
    assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes), 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&endpoint.storage, endpoint.length), 0);
  assert_int_equal(listen(fd, 5), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&endpoint.storage, &endpoint.length), 0);
  *port = endpoint_port(&endpoint);
  return fd;
}

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_literal_is_connected_without_the_resolver),
      TEST(an_address_that_is_known_is_connected),
      TEST(a_name_is_resolved_and_connected),
      TEST(a_refused_address_leads_to_the_next),
      TEST(the_last_refusal_is_reported),
      TEST(a_syn_that_nobody_answers_times_out_in_time),
      TEST(the_deadline_goes_by_the_clock_that_can_be_moved),
      TEST(the_next_address_begins_when_one_is_silent_for_250_ms),
      TEST(one_that_answers_late_wins_over_one_that_does_not_answer),
      TEST(what_has_failed_lately_comes_last),
      TEST(what_is_silent_to_the_end_has_failed),
      TEST(one_that_nobody_waits_for_any_more_is_reset),
      TEST(who_has_no_patience_is_told_once),
      TEST(one_more_that_there_is_no_descriptor_for_is_put_off),
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
