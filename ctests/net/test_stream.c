/* SPDX-License-Identifier: MIT
 *
 * What a stream knows of its peer: what that has not taken yet, and whether our end has come to it. */
#include "net/stream.h"

#include "support.h"

#include <fcntl.h>

struct ends {
  struct bench bench;
  struct stream stream;
  int peer;
};

/* Over loopback, with a peer that has little room. */
static int set_up(void **context) {
  struct ends *ends = test_calloc(1, sizeof *ends);
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  uint16_t port = 0;
  int listener = listen_on_loopback(1, &port), small = 4096;
  bench_init(&ends->bench);
  in.sin_port = htons(port);
  ends->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(setsockopt(ends->peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
  assert_int_equal(connect(ends->peer, (struct sockaddr *)&in, sizeof in), 0);
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  close(listener);
  assert_int_equal(stream_open(&ends->stream, &ends->bench.loop, fd, NULL, STREAM_WRITABLE), 0);
  *context = ends;
  return 0;
}

static int tear_down(void **context) {
  struct ends *ends = *context;
  stream_close(&ends->stream, false);
  close(ends->peer);
  bench_deinit(&ends->bench);
  test_free(ends);
  return 0;
}

static void the_end_arrives_when_the_peers_kernel_has_it(void **context) {
  struct ends *ends = *context;
  assert_int_equal(stream_write(&ends->stream, "bytes", 5), 5);
  AWAIT(&ends->bench, stream_unsent(&ends->stream) == 0);
  assert_false(stream_end_arrived(&ends->stream));
  assert_int_equal(stream_shutdown(&ends->stream), 0);
  AWAIT(&ends->bench, stream_end_arrived(&ends->stream));
}

static void the_end_does_not_arrive_before_what_the_peer_has_no_room_for(void **context) {
  struct ends *ends = *context;
  char bytes[64 * 1024] = {0};
  ssize_t sent = stream_write(&ends->stream, bytes, sizeof bytes), got;
  assert_true(sent > 0);
  assert_int_equal(stream_shutdown(&ends->stream), 0);
  bench_settle(&ends->bench);
  assert_true(stream_unsent(&ends->stream) > 0);
  assert_false(stream_end_arrived(&ends->stream));
  while ((got = read(ends->peer, bytes, sizeof bytes)) > 0)
    sent -= got;
  assert_int_equal(sent, 0);
  AWAIT(&ends->bench, stream_end_arrived(&ends->stream));
  assert_int_equal(stream_unsent(&ends->stream), 0);
}

static void what_is_closed_has_no_end_that_arrives(void **context) {
  struct ends *ends = *context;
  assert_int_equal(stream_shutdown(&ends->stream), 0);
  stream_close(&ends->stream, false);
  assert_false(stream_end_arrived(&ends->stream));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_end_arrives_when_the_peers_kernel_has_it),
      TEST(the_end_does_not_arrive_before_what_the_peer_has_no_room_for),
      TEST(what_is_closed_has_no_end_that_arrives),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
