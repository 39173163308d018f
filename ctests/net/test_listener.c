/* SPDX-License-Identifier: MIT
 *
 * Listening sockets: what is accepted, refused, inherited and said about errors. */
#include "net/listener.h"

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { MOST_ACCEPTED = 512 };

struct fixture {
  struct bench bench;
  int accepted[MOST_ACCEPTED];
  int accepted_count, refused_count, refused_status;
  sa_family_t family; /* of the last peer */
  char directory[64];
  int files_before;
  struct listener *pausing; /* after each so many; NULL */
  int pause_after;
};

static void on_accept(void *context, int fd, const struct sockaddr *peer, socklen_t length) {
  struct fixture *fixture = context;
  assert_true(fixture->accepted_count < MOST_ACCEPTED);
  assert_true(length >= sizeof(sa_family_t));
  fixture->family = peer->sa_family;
  fixture->accepted[fixture->accepted_count++] = fd;
  if (fixture->pausing && fixture->accepted_count % fixture->pause_after == 0)
    listener_pause(fixture->pausing);
}

static void on_refused(void *context, int status) {
  struct fixture *fixture = context;
  fixture->refused_count++;
  fixture->refused_status = status;
}

static const struct listener_callbacks callbacks = {.on_accept = on_accept, .on_refused = on_refused};

static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  strcpy(fixture->directory, "/tmp/listener-XXXXXX");
  assert_non_null(mkdtemp(fixture->directory));
  fixture->files_before = count_open_files();
  bench_init(&fixture->bench);
  *state = fixture;
  return 0;
}

static void drop_accepted(struct fixture *fixture) {
  while (fixture->accepted_count > 0)
    close(fixture->accepted[--fixture->accepted_count]);
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  drop_accepted(fixture);
  bench_deinit(&fixture->bench);
  int files = count_open_files();
  int leaked = files - fixture->files_before;
  if (leaked != 0)
    print_error("%d descriptors leaked\n", leaked);
  int kept = rmdir(fixture->directory);
  if (kept != 0)
    print_error("files are left in %s\n", fixture->directory);
  free(fixture);
  return leaked != 0 || kept != 0;
}

static struct endpoint literal(const char *host, uint16_t port) {
  struct endpoint endpoint;
  assert_int_equal(endpoint_from_literal(&endpoint, host, port), 0);
  return endpoint;
}

static struct endpoint unix_in(struct fixture *fixture, const char *name) {
  char path[100];
  struct endpoint endpoint;
  snprintf(path, sizeof path, "%s/%s", fixture->directory, name);
  assert_int_equal(endpoint_from_unix_path(&endpoint, path), 0);
  return endpoint;
}

static const char *path_of(const struct endpoint *endpoint) {
  return (const char *)&endpoint->storage + offsetof(struct sockaddr_un, sun_path);
}

static struct listener *open_listener(struct fixture *fixture, const struct endpoint *endpoint,
                                      const struct tcp_options *tcp) {
  struct error error;
  struct listener *listener = listener_open(&fixture->bench.loop, endpoint, tcp, &callbacks, fixture, &error);
  if (!listener)
    fail_msg("%s: %s", error.place, error.message);
  return listener;
}

static int connect_to(const struct endpoint *endpoint) {
  int fd = socket(endpoint->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  if (connect(fd, (const struct sockaddr *)&endpoint->storage, endpoint->length) == 0)
    return fd;
  close(fd);
  return -1;
}

static void accepted_sockets_do_not_block_and_are_closed_on_exec(void **state) {
  struct fixture *fixture = *state;
  struct endpoint endpoint = literal("127.0.0.1", 0);
  struct listener *listener = open_listener(fixture, &endpoint, NULL);
  assert_int_not_equal(endpoint_port(listener_endpoint(listener)), 0);
  int client = connect_to(listener_endpoint(listener));
  assert_true(client >= 0);
  AWAIT(&fixture->bench, fixture->accepted_count == 1);
  assert_true(fcntl(fixture->accepted[0], F_GETFL) & O_NONBLOCK);
  assert_true(fcntl(fixture->accepted[0], F_GETFD) & FD_CLOEXEC);
  assert_int_equal(fixture->family, AF_INET);
  close(client);
  listener_close(listener);
}

static int option_of(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
  return value;
}

static void accepted_sockets_inherit_the_tcp_options(void **state) {
  struct fixture *fixture = *state;
  const struct tcp_options tcp = {
      .no_delay = true, .keep_alive = true, .probe_after_ms = 601999, .probe_interval_ms = 61000, .probes = 7};
  struct endpoint endpoint = literal("127.0.0.1", 0);
  struct listener *listener = open_listener(fixture, &endpoint, &tcp);
  int client = connect_to(listener_endpoint(listener));
  AWAIT(&fixture->bench, fixture->accepted_count == 1);
  int fd = fixture->accepted[0];
  assert_int_not_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 0);
  assert_int_not_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
  assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 601);
  assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 61);
  assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 7);
  close(client);
  listener_close(listener);
}

static void a_burst_is_accepted_whole(void **state) {
  struct fixture *fixture = *state;
  enum { BURST = 200 };
  int clients[BURST];
  struct endpoint endpoint = literal("127.0.0.1", 0);
  struct listener *listener = open_listener(fixture, &endpoint, NULL);
  for (int i = 0; i < BURST; i++) {
    clients[i] = connect_to(listener_endpoint(listener));
    assert_true(clients[i] >= 0);
  }
  AWAIT(&fixture->bench, fixture->accepted_count == BURST);
  assert_int_equal(fixture->refused_count, 0);
  for (int i = 0; i < BURST; i++)
    close(clients[i]);
  listener_close(listener);
}

static void a_pause_holds_in_the_middle_of_a_burst_and_whoever_waits_is_accepted_after_it(void **state) {
  struct fixture *fixture = *state;
  enum { CLIENTS = 96, ROUND = 40 };
  int clients[CLIENTS];
  struct endpoint endpoint = literal("127.0.0.1", 0);
  struct listener *listener = open_listener(fixture, &endpoint, NULL);
  fixture->pausing = listener;
  fixture->pause_after = ROUND;
  for (int i = 0; i < CLIENTS; i++)
    clients[i] = connect_to(listener_endpoint(listener));
  for (int round = 1; round <= 2; round++) {
    AWAIT(&fixture->bench, fixture->accepted_count == round * ROUND);
    bench_settle(&fixture->bench);
    assert_int_equal(fixture->accepted_count, round * ROUND);
    listener_start(listener);
  }
  AWAIT(&fixture->bench, fixture->accepted_count == CLIENTS);
  listener_pause(listener);
  listener_close(listener);
  for (int i = 0; i < CLIENTS; i++)
    close(clients[i]);
}

static void closing_accepts_what_waits_in_the_queue(void **state) {
  struct fixture *fixture = *state;
  int clients[20];
  struct endpoint endpoint = literal("127.0.0.1", 0);
  struct listener *listener = open_listener(fixture, &endpoint, NULL);
  for (int i = 0; i < 20; i++)
    clients[i] = connect_to(listener_endpoint(listener));
  listener_close(listener);
  assert_int_equal(fixture->accepted_count, 20);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(write(fixture->accepted[i], "x", 1), 1);
    char byte;
    assert_int_equal(read(clients[i], &byte, 1), 1);
    close(clients[i]);
  }
}

static void an_ipv6_wildcard_takes_ipv4_too(void **state) {
  struct fixture *fixture = *state;
  struct endpoint endpoint = literal("::", 0);
  struct listener *listener = open_listener(fixture, &endpoint, NULL);
  struct endpoint four = literal("127.0.0.1", endpoint_port(listener_endpoint(listener)));
  int client = connect_to(&four);
  assert_true(client >= 0);
  AWAIT(&fixture->bench, fixture->accepted_count == 1);
  close(client);
  listener_close(listener);
}

static void several_workers_listen_on_one_port(void **state) {
  struct fixture *fixture = *state;
  struct endpoint endpoint = literal("127.0.0.1", 0);
  struct listener *first = open_listener(fixture, &endpoint, NULL);
  struct listener *second = open_listener(fixture, listener_endpoint(first), NULL);
  assert_int_equal(endpoint_port(listener_endpoint(first)), endpoint_port(listener_endpoint(second)));
  listener_close(first);
  int client = connect_to(listener_endpoint(second));
  assert_true(client >= 0);
  AWAIT(&fixture->bench, fixture->accepted_count == 1);
  close(client);
  listener_close(second);
}

static void a_probe_finds_the_owner_of_a_port(void **state) {
  struct fixture *fixture = *state;
  struct error error;
  struct endpoint endpoint = literal("127.0.0.1", 0);
  assert_int_equal(listener_probe(&endpoint, &error), 0);
  struct listener *listener = open_listener(fixture, &endpoint, NULL);
  uint16_t port = endpoint_port(listener_endpoint(listener));
  static const char *const hosts[] = {"127.0.0.1", "0.0.0.0", "::"};
  for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
    struct endpoint other = literal(hosts[i], port);
    char place[ENDPOINT_TEXT_SIZE], number[16];
    assert_int_equal(listener_probe(&other, &error), -EADDRINUSE);
    assert_string_equal(error.place, endpoint_format(&other, place));
    snprintf(number, sizeof number, "port %u ", port);
    assert_non_null(strstr(error.message, number));
    assert_non_null(strstr(error.message, "ss -ltnp"));
  }
  struct endpoint elsewhere = literal("127.0.0.2", port);
  assert_int_equal(listener_probe(&elsewhere, &error), 0);
  int client = connect_to(listener_endpoint(listener));
  AWAIT(&fixture->bench, fixture->accepted_count == 1);
  listener_close(listener);
  /* What is left of a former owner, connections and TIME_WAIT, is not in the way. */
  assert_int_equal(listener_probe(&endpoint, &error), 0);
  struct endpoint same = literal("127.0.0.1", port);
  assert_int_equal(listener_probe(&same, &error), 0);
  drop_accepted(fixture);
  close(client);
  assert_int_equal(listener_probe(&same, &error), 0);
}

static void errors_say_what_to_do(void **state) {
  struct fixture *fixture = *state;
  struct error error;
  struct endpoint foreign = literal("192.0.2.1", 8080);
  assert_int_equal(listener_probe(&foreign, &error), -EADDRNOTAVAIL);
  assert_string_equal(error.place, "192.0.2.1:8080");
  assert_non_null(strstr(error.message, "no interface of this machine has the address "));
  assert_int_equal(listener_probe(&foreign, NULL), -EADDRNOTAVAIL);

  assert_null(listener_open(&fixture->bench.loop, &foreign, NULL, &callbacks, fixture, &error));
  assert_int_equal(error.code, EADDRNOTAVAIL);

  struct endpoint nowhere = unix_in(fixture, "none/socket");
  assert_null(listener_open(&fixture->bench.loop, &nowhere, NULL, &callbacks, fixture, &error));
  assert_int_equal(error.code, ENOENT);
  assert_non_null(strstr(error.message, "directory"));
}

static void without_descriptors_one_is_refused_and_accepting_pauses(void **state) {
  struct fixture *fixture = *state;
  struct endpoint endpoint = literal("127.0.0.1", 0);
  struct listener *listener = open_listener(fixture, &endpoint, NULL);
  int first = connect_to(listener_endpoint(listener));
  int second = connect_to(listener_endpoint(listener));
  assert_true(first >= 0 && second >= 0);

  struct rlimit before, none;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  /* All numbers below the limit are taken: then there is none for accept4(2). */
  int fillers[256], filler_count = 0;
  none = before;
  none.rlim_cur = 128;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
  for (int fd; (fd = dup(first)) >= 0;)
    fillers[filler_count++] = fd;
  assert_int_equal(errno, EMFILE);

  AWAIT(&fixture->bench, fixture->refused_count > 0);
  assert_int_equal(fixture->refused_status, -EMFILE);
  assert_int_equal(fixture->refused_count, 1);
  assert_int_equal(fixture->accepted_count, 0);
  bench_settle(&fixture->bench);
  assert_int_equal(fixture->refused_count, 1);

  for (int i = 0; i < filler_count; i++)
    close(fillers[i]);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  struct pollfd refused = {.fd = first, .events = POLLIN};
  assert_int_equal(poll(&refused, 1, AWAIT_LIMIT_S * 1000), 1); /* closed, not left to wait */
  char byte;
  assert_int_equal(read(first, &byte, 1), -1);
  assert_int_equal(errno, ECONNRESET); /* nothing that could be taken for an answer */
  AWAIT(&fixture->bench, fixture->accepted_count == 1);
  close(first);
  close(second);
  listener_close(listener);
}

static void a_listener_may_be_closed_while_it_pauses(void **state) {
  struct fixture *fixture = *state;
  struct endpoint endpoint = literal("127.0.0.1", 0);
  struct listener *listener = open_listener(fixture, &endpoint, NULL);
  int client = connect_to(listener_endpoint(listener));
  struct rlimit before, none;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  none = before;
  none.rlim_cur = 0;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
  AWAIT(&fixture->bench, fixture->refused_count == 1);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  listener_close(listener);
  close(client);
  clock_advance(&fixture->bench.clock, 1000000000);
  bench_settle(&fixture->bench);
}

static void a_unix_socket_is_the_owners_alone_and_goes_at_the_end(void **state) {
  struct fixture *fixture = *state;
  struct endpoint endpoint = unix_in(fixture, "socket");
  mode_t before = umask(0);
  struct listener *listener = open_listener(fixture, &endpoint, NULL);
  umask(before);
  struct stat file;
  assert_int_equal(stat(path_of(&endpoint), &file), 0);
  assert_int_equal(file.st_mode & 07777, 0600);
  int client = connect_to(&endpoint);
  assert_true(client >= 0);
  AWAIT(&fixture->bench, fixture->accepted_count == 1);
  assert_int_equal(fixture->family, AF_UNIX);
  close(client);
  listener_close(listener);
  assert_int_equal(stat(path_of(&endpoint), &file), -1);
}

static void a_dead_unix_socket_is_replaced_and_a_living_one_is_not(void **state) {
  struct fixture *fixture = *state;
  struct endpoint endpoint = unix_in(fixture, "socket");
  struct error error;
  int dead = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(dead, (struct sockaddr *)&endpoint.storage, endpoint.length), 0);
  close(dead);
  assert_int_equal(listener_probe(&endpoint, &error), 0);
  struct listener *listener = open_listener(fixture, &endpoint, NULL);
  assert_int_equal(listener_probe(&endpoint, &error), -EADDRINUSE);
  assert_null(listener_open(&fixture->bench.loop, &endpoint, NULL, &callbacks, fixture, &error));
  assert_int_equal(error.code, EADDRINUSE);
  assert_non_null(strstr(error.place, "unix:/"));
  int client = connect_to(&endpoint);
  assert_true(client >= 0); /* the failed attempts did not remove it */
  close(client);
  listener_close(listener);
}

static void a_file_that_is_no_socket_is_left_alone(void **state) {
  struct fixture *fixture = *state;
  struct endpoint endpoint = unix_in(fixture, "file");
  struct error error;
  int fd = open(path_of(&endpoint), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  close(fd);
  assert_null(listener_open(&fixture->bench.loop, &endpoint, NULL, &callbacks, fixture, &error));
  assert_int_equal(error.code, EEXIST);
  assert_int_equal(unlink(path_of(&endpoint)), 0);
}

static void the_socket_of_a_successor_is_not_removed(void **state) {
  struct fixture *fixture = *state;
  struct endpoint endpoint = unix_in(fixture, "socket");
  struct listener *first = open_listener(fixture, &endpoint, NULL);
  char aside[128];
  snprintf(aside, sizeof aside, "%s.old", path_of(&endpoint)); /* kept, so that its inode is not used again */
  assert_int_equal(rename(path_of(&endpoint), aside), 0);
  struct listener *second = open_listener(fixture, &endpoint, NULL);
  listener_close(first);
  int client = connect_to(&endpoint);
  assert_true(client >= 0);
  close(client);
  listener_close(second);
  assert_int_equal(unlink(aside), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(accepted_sockets_do_not_block_and_are_closed_on_exec),
      TEST(accepted_sockets_inherit_the_tcp_options),
      TEST(a_burst_is_accepted_whole),
      TEST(a_pause_holds_in_the_middle_of_a_burst_and_whoever_waits_is_accepted_after_it),
      TEST(closing_accepts_what_waits_in_the_queue),
      TEST(an_ipv6_wildcard_takes_ipv4_too),
      TEST(several_workers_listen_on_one_port),
      TEST(a_probe_finds_the_owner_of_a_port),
      TEST(errors_say_what_to_do),
      TEST(without_descriptors_one_is_refused_and_accepting_pauses),
      TEST(a_listener_may_be_closed_while_it_pauses),
      TEST(a_unix_socket_is_the_owners_alone_and_goes_at_the_end),
      TEST(a_dead_unix_socket_is_replaced_and_a_living_one_is_not),
      TEST(a_file_that_is_no_socket_is_left_alone),
      TEST(the_socket_of_a_successor_is_not_removed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
