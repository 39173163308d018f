/* SPDX-License-Identifier: MIT
 *
 * Dials: to addresses, names and unix sockets, that succeed, fail, time out and are cancelled. */
#include "net/dial.h"

#include "dns_server.h"

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
  fixture->dialer.resolver = resolver_new(&fixture->bench.loop, &options, &error);
  assert_non_null(fixture->dialer.resolver);
  *state = fixture;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  resolver_free(fixture->dialer.resolver);
  dns_server_stop(&fixture->server);
  bench_deinit(&fixture->bench);
  int leaked = count_open_files() - fixture->files_before;
  if (leaked != 0)
    print_error("%d descriptors leaked\n", leaked);
  rmdir(fixture->directory);
  free(fixture);
  return leaked != 0;
}

static int dial(struct fixture *fixture, const char *host, uint16_t port, uint64_t ms) {
  fixture->calls = 0;
  struct dial *dial = dial_start(&fixture->dialer, host, port, ms, on_done, fixture);
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

static void blackhole_open(struct blackhole *blackhole) {
  blackhole->port = 0;
  blackhole->listener = listen_on_loopback(0, &blackhole->port);
  struct sockaddr_in in = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(blackhole->port)};
  for (int i = 0; i < 3; i++) {
    blackhole->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)connect(blackhole->fillers[i], (struct sockaddr *)&in, sizeof in);
  }
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
  assert_true(ip_address_from_literal(&address, "127.0.0.1"));
  struct resolver *resolver = fixture->dialer.resolver;
  fixture->dialer.resolver = NULL;
  assert_null(dial_start_address(&fixture->dialer, &address, port, PATIENCE_MS, on_done, fixture));
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
  assert_non_null(dial_start(&fixture->dialer, "127.0.0.1", blackhole.port, 3600000, on_done, fixture));
  bench_settle(&fixture->bench);
  assert_int_equal(fixture->calls, 0);
  clock_advance(&fixture->bench.clock, UINT64_C(3600) * 1000000000);
  AWAIT(&fixture->bench, fixture->calls == 1);
  assert_int_equal(fixture->status, -ETIMEDOUT);
  blackhole_close(&blackhole);
}

static void each_address_has_its_share_of_the_time(void **state) {
  struct fixture *fixture = *state;
  struct blackhole blackhole;
  blackhole_open(&blackhole);
  struct sockaddr_in in = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002), .sin_port = htons(blackhole.port)};
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof in), 0);
  assert_int_equal(listen(listener, 5), 0);
  uint16_t refused;
  int bound = refuse_on_loopback(&refused);
  assert_int_equal(dial(fixture, "good.test.", refused, PATIENCE_MS), -ECONNREFUSED); /* now the name is in the cache */
  close(bound);
  fixture->calls = 0;
  assert_non_null(dial_start(&fixture->dialer, "good.test.", blackhole.port, 3600000, on_done, fixture));
  clock_advance(&fixture->bench.clock, UINT64_C(1790) * 1000000000);
  bench_settle(&fixture->bench);
  assert_int_equal(fixture->calls, 0);
  clock_advance(&fixture->bench.clock, UINT64_C(20) * 1000000000);
  AWAIT(&fixture->bench, fixture->calls == 1);
  assert_int_equal(fixture->status, 0);
  expect_peer(fixture, "127.0.0.2", blackhole.port);
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
  struct dial *begun = dial_start(&fixture->dialer, "127.0.0.1", 80, PATIENCE_MS, on_done, fixture);
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
  assert_non_null(dial_start(&fixture->dialer, host, 0, PATIENCE_MS, on_done, fixture));
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
  dial_cancel(dial_start(&fixture->dialer, "silent.test.", 80, PATIENCE_MS, on_done, fixture));

  blackhole_open(&blackhole);
  int files = count_open_files();
  for (int i = 0; i < 2; i++) { /* twice, for the second one has the first one's descriptor */
    struct dial *connecting = dial_start(&fixture->dialer, "127.0.0.1", blackhole.port, PATIENCE_MS, on_done, fixture);
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
  struct dial *pausing = dial_start(&fixture->dialer, host, 0, PATIENCE_MS, on_done, fixture);
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
      TEST(each_address_has_its_share_of_the_time),
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
