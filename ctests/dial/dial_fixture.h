/* SPDX-License-Identifier: MIT
 *
 * For tests of dials: a loop, a name server with a few names, a dialer, and addresses that refuse or say nothing. */
#pragma once

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

static inline void on_done(void *context, int status, int fd, const struct endpoint *peer) {
  struct fixture *fixture = context;
  fixture->calls++;
  fixture->status = status;
  fixture->fd = fd;
  fixture->has_peer = peer != NULL;
  if (peer)
    fixture->peer = *peer;
}

static inline int setup(void **state) {
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

static inline int teardown(void **state) {
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

static inline struct dial *start(struct fixture *fixture, const char *host, uint16_t port, uint64_t ms) {
  struct dial_terms terms = {.ms = ms, .done = on_done, .context = fixture};
  return dial_start(&fixture->dialer, host, port, &terms);
}

static inline int dial(struct fixture *fixture, const char *host, uint16_t port, uint64_t ms) {
  fixture->calls = 0;
  struct dial *dial = start(fixture, host, port, ms);
  assert_int_equal(fixture->calls, dial == NULL);
  AWAIT(&fixture->bench, fixture->calls > 0);
  bench_settle(&fixture->bench);
  assert_int_equal(fixture->calls, 1);
  assert_int_equal(fixture->fd >= 0, fixture->status == 0);
  return fixture->status;
}

static inline void expect_peer(const struct fixture *fixture, const char *host, uint16_t port) {
  char text[ENDPOINT_TEXT_SIZE], expected[ENDPOINT_TEXT_SIZE];
  assert_true(fixture->has_peer);
  snprintf(expected, sizeof expected, "%s:%u", host, port);
  assert_string_equal(endpoint_format(&fixture->peer, text), expected);
}

/* The descriptor is handed over connected, and leads to `listener`. */
static inline void expect_connection(struct fixture *fixture, int listener) {
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
static inline int refuse_on_loopback(uint16_t *port) {
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

static inline void blackhole_open_on(struct blackhole *blackhole, const char *host) {
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

static inline void blackhole_open(struct blackhole *blackhole) {
  blackhole->port = 0;
  blackhole_open_on(blackhole, "127.0.0.1");
}

/* From now on it takes the SYNs that are sent again. */
static inline void blackhole_lift(struct blackhole *blackhole) {
  for (int i = 0; i < 3; i++) {
    close(blackhole->fillers[i]);
    blackhole->fillers[i] = -1;
  }
  assert_int_equal(fcntl(blackhole->listener, F_SETFL, O_NONBLOCK), 0);
  for (int fd; (fd = accept(blackhole->listener, NULL, NULL)) >= 0;)
    close(fd);
  assert_int_equal(fcntl(blackhole->listener, F_SETFL, 0), 0);
}

static inline void blackhole_close(struct blackhole *blackhole) {
  for (int i = 0; i < 3; i++)
    close(blackhole->fillers[i]);
  close(blackhole->listener);
}

static inline int listen_on(const char *host, uint16_t *port) {
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
