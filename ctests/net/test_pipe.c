/* SPDX-License-Identifier: MIT
 *
 * Two socket pairs joined by a pipe: what goes in at one end comes out at the other, whole, in both ways of moving
 * it, and each kind of end is told as what it is. */
#include "net/pipe.h"
#include "net/splice_pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
  struct clock clock;
  struct loop loop;
  struct flow_shared shared;
  struct stream streams[2];
  struct tally tally;
  struct pipe pipe;
  clock_ms active;
  int ends[2]; /* ours: what stands for the client, and for the target */
  int ended[2], failed[2], endings[2], ending_status[2];
  bool stop_at_end;
};

static void on_ended(void *context, enum pipe_side side) {
  struct fixture *f = context;
  f->ended[side]++;
  if (f->stop_at_end)
    pipe_stop(&f->pipe);
}

static void on_ending(void *context, enum pipe_side side, int status) {
  struct fixture *f = context;
  f->endings[side]++;
  f->ending_status[side] = status;
}

static void on_failed(void *context, enum pipe_side side, int status) {
  struct fixture *f = context;
  f->failed[side] = status;
  pipe_stop(&f->pipe);
}

static const struct pipe_callbacks callbacks = {.on_ending = on_ending, .on_ended = on_ended, .on_failed = on_failed};

/* A connected pair of TCP sockets over loopback, non-blocking: resets are only real on TCP. */
static void tcp_pair(int pair[2]) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof in;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof in), 0);
  assert_int_equal(listen(listener, 1), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &length), 0);
  pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(pair[0], (struct sockaddr *)&in, sizeof in), 0);
  pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  assert_true(pair[1] >= 0);
  close(listener);
  for (int i = 0; i < 2; i++)
    assert_int_equal(fcntl(pair[i], F_SETFL, O_NONBLOCK), 0);
}

static struct fixture *setup_with(size_t buffer, bool splice) {
  struct fixture *f = calloc(1, sizeof *f);
  assert_int_equal(loop_init(&f->loop, &f->clock, NULL), 0);
  f->shared = (struct flow_shared){.loop = &f->loop, .bytes = malloc(buffer), .size = buffer};
  f->shared.pool = splice ? splice_pool_new(&f->loop, 8, 0) : NULL;
  for (int side = 0; side < 2; side++) {
    int pair[2];
    tcp_pair(pair);
    f->ends[side] = pair[0];
    assert_int_equal(
        stream_open(&f->streams[side], &f->loop, pair[1], side == PIPE_CLIENT ? &f->tally : NULL, STREAM_WRITABLE), 0);
  }
  pipe_start(&f->pipe, &f->shared, &f->streams[PIPE_CLIENT], &f->streams[PIPE_TARGET], &callbacks, f, &f->active);
  return f;
}

static void teardown(struct fixture *f) {
  pipe_stop(&f->pipe);
  for (int side = 0; side < 2; side++) {
    stream_close(&f->streams[side], false);
    if (f->ends[side] >= 0)
      close(f->ends[side]);
  }
  splice_pool_free(f->shared.pool);
  loop_deinit(&f->loop);
  free(f->shared.bytes);
  free(f);
}

static uint8_t pattern(uint64_t position) { return (uint8_t)(position * 2654435761u >> 13); }

/* Sends `size` bytes from one end, reading them at the other no faster than `most` at a time, and ends the sending
 * side. */
static void transfer(struct fixture *f, enum pipe_side from, uint64_t size, size_t most) {
  uint8_t bytes[65536];
  uint64_t sent = 0, received = 0;
  bool over = false;
  int in = f->ends[from], out = f->ends[pipe_other(from)];
  for (long round = 0; !over; round++) {
    assert_true(round < 10 * 1000 * 1000);
    while (sent < size) {
      size_t want = size - sent < sizeof bytes ? (size_t)(size - sent) : sizeof bytes;
      for (size_t i = 0; i < want; i++)
        bytes[i] = pattern(sent + i);
      ssize_t put = send(in, bytes, want, MSG_NOSIGNAL);
      if (put < 0)
        break;
      sent += (uint64_t)put;
      if (sent == size)
        shutdown(in, SHUT_WR);
    }
    loop_round(&f->loop, false);
    ssize_t got = recv(out, bytes, most < sizeof bytes ? most : sizeof bytes, 0);
    for (ssize_t i = 0; i < got; i++)
      if (bytes[i] != pattern(received + (uint64_t)i))
        fail_msg("byte %llu is wrong", (unsigned long long)(received + (uint64_t)i));
    if (got > 0)
      received += (uint64_t)got;
    over = got == 0;
  }
  assert_int_equal(received, size);
}

static void bytes_arrive_whole_when_copied(void **state) {
  (void)state;
  static const uint64_t sizes[] = {1, 1000, 65536, 1000000, 20000000};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    struct fixture *f = setup_with(16384, false);
    transfer(f, PIPE_CLIENT, sizes[i], 65536);
    transfer(f, PIPE_TARGET, sizes[i], 65536);
    assert_int_equal(f->tally.own.in, sizes[i]);
    assert_int_equal(f->tally.own.out, sizes[i]);
    assert_int_equal(f->ended[PIPE_CLIENT] + f->ended[PIPE_TARGET], 2);
    teardown(f);
  }
}

static void bulk_is_spliced_and_arrives_whole(void **state) {
  (void)state;
  for (int side = 0; side < 2; side++) {
    struct fixture *f = setup_with(4096, true);
    transfer(f, (enum pipe_side)side, 50000000, 65536);
    assert_true(splice_pool_count(f->shared.pool) > 0);
    assert_int_equal(side == PIPE_CLIENT ? f->tally.own.in : f->tally.own.out, 50000000);
    teardown(f);
  }
}

static void a_slow_reader_loses_nothing(void **state) {
  (void)state;
  for (int splice = 0; splice < 2; splice++) {
    struct fixture *f = setup_with(4096, splice);
    transfer(f, PIPE_TARGET, 6000000, 3000);
    teardown(f);
  }
}

static void small_messages_go_back_from_splicing_to_copying(void **state) {
  (void)state;
  struct fixture *f = setup_with(1024, true);
  uint8_t bytes[8192] = {0};
  for (int i = 0; i < 20; i++) {
    assert_int_equal(send(f->ends[PIPE_CLIENT], bytes, sizeof bytes, 0), sizeof bytes);
    loop_round(&f->loop, true);
    while (recv(f->ends[PIPE_TARGET], bytes, sizeof bytes, 0) > 0)
      ;
  }
  for (int i = 0; i < 40; i++) {
    assert_int_equal(send(f->ends[PIPE_CLIENT], "x", 1, 0), 1);
    loop_round(&f->loop, true);
    while (recv(f->ends[PIPE_TARGET], bytes, sizeof bytes, 0) > 0)
      ;
  }
  assert_true(splice_pool_count(f->shared.pool) > 0);
  assert_null(f->pipe.flows[PIPE_CLIENT].splice);
  teardown(f);
}

/* Sends until nothing more is taken, then reads all of it at the other end, unless it is to stay on the way. */
static size_t send_bulk(struct fixture *f, bool read_it) {
  static uint8_t bytes[65536];
  size_t size = 0;
  for (int i = 0; i < 200; i++) {
    for (ssize_t put; size < 8000000 && (put = send(f->ends[PIPE_CLIENT], bytes, sizeof bytes, 0)) > 0;)
      size += (size_t)put;
    loop_round(&f->loop, false);
    while (read_it && recv(f->ends[PIPE_TARGET], bytes, sizeof bytes, 0) > 0)
      ;
  }
  return size;
}

static void pass_time(struct fixture *f) {
  for (int i = 0; i < 4; i++) {
    clock_advance(&f->clock, (uint64_t)SPLICE_POOL_KEEP_MS * 1000000);
    loop_round(&f->loop, false);
  }
}

static void a_quiet_flow_gives_its_kernel_pipe_back(void **state) {
  (void)state;
  struct fixture *f = setup_with(4096, true);
  send_bulk(f, true);
  assert_non_null(f->pipe.flows[PIPE_CLIENT].splice);
  pass_time(f);
  assert_null(f->pipe.flows[PIPE_CLIENT].splice);
  assert_int_equal(splice_pool_count(f->shared.pool), 0);
  transfer(f, PIPE_CLIENT, 5000000, 65536);
  assert_true(splice_pool_count(f->shared.pool) > 0);
  teardown(f);
}

static void a_kernel_pipe_with_bytes_in_it_is_kept(void **state) {
  (void)state;
  struct fixture *f = setup_with(4096, true);
  send_bulk(f, true);
  size_t before = (size_t)f->tally.own.in, received = 0;
  send_bulk(f, false);
  assert_true(f->pipe.flows[PIPE_CLIENT].spliced > 0);
  pass_time(f);
  assert_true(f->pipe.flows[PIPE_CLIENT].spliced > 0);
  static uint8_t bytes[65536];
  shutdown(f->ends[PIPE_CLIENT], SHUT_WR);
  for (int i = 0; i < 10000 && !f->ended[PIPE_CLIENT]; i++) {
    loop_round(&f->loop, false);
    for (ssize_t got; (got = recv(f->ends[PIPE_TARGET], bytes, sizeof bytes, 0)) > 0;)
      received += (size_t)got;
  }
  assert_int_equal(f->ended[PIPE_CLIENT], 1);
  for (ssize_t got; (got = recv(f->ends[PIPE_TARGET], bytes, sizeof bytes, 0)) > 0;)
    received += (size_t)got;
  assert_int_equal(received, f->tally.own.in - before);
  teardown(f);
}

/* The urgent one among them, on a socket that has it out of band as yet. */
static void expect_urgent_bytes_in_line(struct fixture *f) {
  uint8_t bytes[16];
  size_t size = 0;
  int client = f->ends[PIPE_CLIENT];
  assert_int_equal(send(client, "abc", 3, 0) + send(client, "!", 1, MSG_OOB) + send(client, "ef", 2, 0), 6);
  for (int i = 0; i < 1000 && size < 6; i++) {
    loop_round(&f->loop, false);
    ssize_t got = recv(f->ends[PIPE_TARGET], bytes + size, sizeof bytes - size, 0);
    size += got > 0 ? (size_t)got : 0;
  }
  assert_int_equal(size, 6);
  assert_memory_equal(bytes, "abc!ef", 6);
}

static void urgent_data_holds_nothing_up(void **state) {
  (void)state;
  struct fixture *f = setup_with(4096, true);
  expect_urgent_bytes_in_line(f);
  teardown(f);
  f = setup_with(4096, true);
  send_bulk(f, true);
  assert_non_null(f->pipe.flows[PIPE_CLIENT].splice);
  expect_urgent_bytes_in_line(f);
  transfer(f, PIPE_CLIENT, 5000000, 65536);
  teardown(f);
}

static void rounds_until(struct fixture *f, const int *value) {
  for (int i = 0; i < 1000 && !*value; i++)
    loop_round(&f->loop, true);
  assert_true(*value != 0);
}

static void close_with_reset(struct fixture *f, enum pipe_side side) {
  struct linger linger = {.l_onoff = 1};
  setsockopt(f->ends[side], SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  close(f->ends[side]);
  f->ends[side] = -1;
}

static void a_reset_is_told_after_what_came_before_it(void **state) {
  (void)state;
  struct fixture *f = setup_with(4096, false);
  uint8_t bytes[16];
  assert_int_equal(send(f->ends[PIPE_TARGET], "last words", 10, 0), 10);
  close_with_reset(f, PIPE_TARGET);
  rounds_until(f, &f->failed[PIPE_TARGET]);
  assert_int_equal(f->failed[PIPE_TARGET], -ECONNRESET);
  assert_int_equal(recv(f->ends[PIPE_CLIENT], bytes, sizeof bytes, 0), 10);
  teardown(f);
}

static void a_reset_after_an_end_is_told_though_the_other_side_is_silent(void **state) {
  (void)state;
  for (int side = 0; side < 2; side++) {
    struct fixture *f = setup_with(4096, false);
    uint8_t bytes[16];
    assert_int_equal(send(f->ends[side], "question", 8, 0), 8);
    shutdown(f->ends[side], SHUT_WR);
    rounds_until(f, &f->ended[side]);
    assert_int_equal(f->failed[side], 0);
    close_with_reset(f, (enum pipe_side)side);
    rounds_until(f, &f->failed[side]);
    assert_int_equal(f->failed[side], -ECONNRESET);
    assert_int_equal(recv(f->ends[pipe_other((enum pipe_side)side)], bytes, sizeof bytes, 0), 8);
    teardown(f);
  }
}

static void a_reset_after_an_end_is_told_when_the_other_side_has_taken_all_that_came_before(void **state) {
  (void)state;
  struct fixture *f = setup_with(4096, false);
  static uint8_t bytes[65536];
  size_t sent = 0, received = 0;
  while (pipe_pending(&f->pipe, PIPE_CLIENT) == 0) {
    ssize_t put = send(f->ends[PIPE_CLIENT], bytes, 4096, 0);
    sent += put > 0 ? (size_t)put : 0;
    loop_round(&f->loop, false);
  }
  shutdown(f->ends[PIPE_CLIENT], SHUT_WR);
  close_with_reset(f, PIPE_CLIENT);
  for (int i = 0; i < 10; i++)
    loop_round(&f->loop, false);
  assert_int_equal(f->ended[PIPE_CLIENT] + f->failed[PIPE_CLIENT], 0);
  for (int i = 0; i < 100000 && !f->failed[PIPE_CLIENT]; i++) {
    ssize_t got = recv(f->ends[PIPE_TARGET], bytes, sizeof bytes, 0);
    received += got > 0 ? (size_t)got : 0;
    loop_round(&f->loop, false);
  }
  assert_int_equal(f->ended[PIPE_CLIENT], 1);
  assert_int_equal(f->failed[PIPE_CLIENT], -ECONNRESET);
  for (ssize_t got; (got = recv(f->ends[PIPE_TARGET], bytes, sizeof bytes, 0)) > 0;)
    received += (size_t)got;
  assert_int_equal(received, sent);
  teardown(f);
}

/* Until nothing more is taken, neither on the way nor by the sender's socket, unless `most` bytes are. */
static size_t fill(struct fixture *f, enum pipe_side from, size_t most) {
  static uint8_t bytes[4096];
  size_t size = 0;
  for (int idle = 0; idle < 20 && size < most; idle++) {
    for (ssize_t put; size < most && (put = send(f->ends[from], bytes, sizeof bytes, 0)) > 0; idle = 0)
      size += (size_t)put;
    loop_round(&f->loop, false);
  }
  return size;
}

static void read_all(struct fixture *f, enum pipe_side side, size_t size) {
  static uint8_t bytes[65536];
  size_t received = 0;
  for (int i = 0; i < 100000 && received < size; i++) {
    ssize_t got = recv(f->ends[side], bytes, sizeof bytes, 0);
    received += got > 0 ? (size_t)got : 0;
    loop_round(&f->loop, false);
  }
  assert_int_equal(received, size);
}

static void a_reset_behind_bytes_that_nobody_takes_is_told(void **state) {
  (void)state;
  for (int variant = 0; variant < 4; variant++) {
    struct fixture *f = setup_with(4096, variant & 2);
    enum pipe_side from = variant & 1;
    fill(f, from, SIZE_MAX);
    assert_int_equal(f->pipe.flows[from].splice != NULL, (variant & 2) != 0);
    assert_int_equal(send(f->ends[pipe_other(from)], "back", 4, 0), 4);
    close_with_reset(f, from);
    rounds_until(f, &f->endings[from]);
    assert_int_equal(f->ending_status[from], -ECONNRESET);
    assert_true(pipe_pending(&f->pipe, from) > 0);
    assert_true(f->pipe.flows[pipe_other(from)].broken);
    for (int i = 0; i < 10; i++)
      loop_round(&f->loop, false);
    assert_int_equal(f->endings[from] + f->endings[pipe_other(from)], 1);
    assert_int_equal(f->failed[from] + f->ended[from], 0);
    teardown(f);
  }
}

static void an_end_behind_bytes_that_nobody_takes_is_told_and_comes_after_them(void **state) {
  (void)state;
  for (int variant = 0; variant < 4; variant++) {
    struct fixture *f = setup_with(4096, variant & 2);
    enum pipe_side from = variant & 1;
    size_t size = 0;
    while (pipe_pending(&f->pipe, from) == 0)
      size += fill(f, from, 65536);
    shutdown(f->ends[from], SHUT_WR);
    rounds_until(f, &f->endings[from]);
    assert_int_equal(f->ending_status[from], 0);
    assert_false(f->pipe.flows[pipe_other(from)].broken);
    read_all(f, pipe_other(from), size);
    rounds_until(f, &f->ended[from]);
    assert_int_equal(f->endings[from], 1);
    teardown(f);
  }
}

static void a_reset_behind_an_end_that_nobody_takes_is_told_after_it(void **state) {
  (void)state;
  struct fixture *f = setup_with(4096, false);
  size_t size = 0;
  while (pipe_pending(&f->pipe, PIPE_CLIENT) == 0)
    size += fill(f, PIPE_CLIENT, 65536);
  shutdown(f->ends[PIPE_CLIENT], SHUT_WR);
  rounds_until(f, &f->endings[PIPE_CLIENT]);
  close_with_reset(f, PIPE_CLIENT);
  for (int i = 0; i < 1000 && f->endings[PIPE_CLIENT] < 2; i++)
    loop_round(&f->loop, false);
  assert_int_equal(f->endings[PIPE_CLIENT], 2);
  assert_int_equal(f->ending_status[PIPE_CLIENT], -ECONNRESET);
  read_all(f, PIPE_TARGET, size);
  for (int i = 0; i < 1000 && !f->failed[PIPE_CLIENT]; i++)
    loop_round(&f->loop, false);
  assert_int_equal(f->ended[PIPE_CLIENT], 1); /* it had said all */
  assert_int_equal(f->failed[PIPE_CLIENT], -ECONNRESET);
  teardown(f);
}

/* The target answers, and closes without reading what still comes: its answer must get through although writing fails.
 */
static void an_answer_survives_a_failed_write(void **state) {
  (void)state;
  struct fixture *f = setup_with(4096, false);
  static uint8_t bytes[65536];
  size_t answered = 0, received = 0;
  for (ssize_t put; answered < 200000 && (put = send(f->ends[PIPE_TARGET], bytes, sizeof bytes, 0)) > 0;)
    answered += (size_t)put;
  assert_int_equal(send(f->ends[PIPE_CLIENT], bytes, 30000, 0), 30000);
  for (int i = 0; i < 3; i++)
    loop_round(&f->loop, false);
  close(f->ends[PIPE_TARGET]); /* with unread input: a reset */
  f->ends[PIPE_TARGET] = -1;
  for (int i = 0; i < 100000 && !f->failed[PIPE_TARGET] && !f->ended[PIPE_TARGET]; i++) {
    send(f->ends[PIPE_CLIENT], bytes, 1000, MSG_NOSIGNAL);
    loop_round(&f->loop, false);
    ssize_t got = recv(f->ends[PIPE_CLIENT], bytes, sizeof bytes, 0);
    received += got > 0 ? (size_t)got : 0;
  }
  for (ssize_t got; (got = recv(f->ends[PIPE_CLIENT], bytes, sizeof bytes, 0)) > 0;)
    received += (size_t)got;
  assert_int_equal(received, answered);
  assert_true(f->failed[PIPE_TARGET] != 0);
  teardown(f);
}

/* The target breaks while the client takes nothing of what it sent; then the client breaks too. */
static void two_sides_that_break_one_after_the_other_are_told(void **state) {
  (void)state;
  for (int first = 0; first < 2; first++) {
    struct fixture *f = setup_with(4096, false);
    enum pipe_side second = pipe_other((enum pipe_side)first);
    static uint8_t bytes[65536];
    for (int i = 0; i < 1000; i++) {
      while (send(f->ends[first], bytes, sizeof bytes, 0) > 0)
        ;
      loop_round(&f->loop, false);
    }
    close_with_reset(f, (enum pipe_side)first);
    for (int i = 0; i < 1000 && !f->pipe.flows[second].broken; i++) {
      send(f->ends[second], "x", 1, MSG_NOSIGNAL);
      loop_round(&f->loop, false);
    }
    assert_true(f->pipe.flows[second].broken);
    assert_int_equal(f->failed[first], 0); /* what it sent may still be taken */
    close_with_reset(f, second);
    for (int i = 0; i < 1000 && !f->failed[first]; i++)
      loop_round(&f->loop, false);
    assert_true(f->failed[first] != 0);
    assert_int_equal(f->failed[second], 0);
    teardown(f);
  }
}

static void stopping_in_a_callback_is_allowed(void **state) {
  (void)state;
  struct fixture *f = setup_with(4096, false);
  f->stop_at_end = true;
  shutdown(f->ends[PIPE_CLIENT], SHUT_WR);
  rounds_until(f, &f->ended[PIPE_CLIENT]);
  assert_false(pipe_is_running(&f->pipe));
  teardown(f);
}

static void bytes_given_back_come_first(void **state) {
  (void)state;
  struct fixture *f = setup_with(4096, false);
  uint8_t bytes[32];
  pipe_stop(&f->pipe);
  assert_int_equal(stream_unread(&f->streams[PIPE_CLIENT], "world", 5), 0);
  assert_int_equal(stream_unread(&f->streams[PIPE_CLIENT], "hello ", 6), 0);
  pipe_start(&f->pipe, &f->shared, &f->streams[PIPE_CLIENT], &f->streams[PIPE_TARGET], &callbacks, f, &f->active);
  assert_int_equal(recv(f->ends[PIPE_TARGET], bytes, sizeof bytes, 0), 11);
  assert_memory_equal(bytes, "hello world", 11);
  assert_int_equal(f->tally.own.in, 0);
  teardown(f);
}

/* Bulk that was read ahead and given back must not make pipes that nobody uses. */
static void bytes_given_back_in_bulk_cost_no_pipe(void **state) {
  (void)state;
  enum { SIZE = 100000 };
  struct fixture *f = setup_with(4096, true);
  static uint8_t bytes[SIZE];
  size_t received = 0;
  pipe_stop(&f->pipe);
  assert_int_equal(stream_unread(&f->streams[PIPE_CLIENT], bytes, SIZE), 0);
  pipe_start(&f->pipe, &f->shared, &f->streams[PIPE_CLIENT], &f->streams[PIPE_TARGET], &callbacks, f, &f->active);
  for (int i = 0; i < 10000 && received < SIZE; i++) {
    loop_round(&f->loop, false);
    ssize_t got = recv(f->ends[PIPE_TARGET], bytes, sizeof bytes, 0);
    received += got > 0 ? (size_t)got : 0;
  }
  assert_int_equal(received, SIZE);
  assert_int_equal(splice_pool_count(f->shared.pool), 0);
  teardown(f);
}

static void a_client_end_lets_the_target_answer(void **state) {
  (void)state;
  struct fixture *f = setup_with(4096, false);
  uint8_t bytes[16];
  shutdown(f->ends[PIPE_CLIENT], SHUT_WR);
  rounds_until(f, &f->ended[PIPE_CLIENT]);
  assert_int_equal(recv(f->ends[PIPE_TARGET], bytes, sizeof bytes, 0), 0);
  assert_int_equal(send(f->ends[PIPE_TARGET], "answer", 6, 0), 6);
  loop_round(&f->loop, true);
  assert_int_equal(recv(f->ends[PIPE_CLIENT], bytes, sizeof bytes, 0), 6);
  teardown(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_arrive_whole_when_copied),
      cmocka_unit_test(bulk_is_spliced_and_arrives_whole),
      cmocka_unit_test(a_slow_reader_loses_nothing),
      cmocka_unit_test(small_messages_go_back_from_splicing_to_copying),
      cmocka_unit_test(a_quiet_flow_gives_its_kernel_pipe_back),
      cmocka_unit_test(a_kernel_pipe_with_bytes_in_it_is_kept),
      cmocka_unit_test(urgent_data_holds_nothing_up),
      cmocka_unit_test(a_reset_is_told_after_what_came_before_it),
      cmocka_unit_test(a_reset_after_an_end_is_told_though_the_other_side_is_silent),
      cmocka_unit_test(a_reset_after_an_end_is_told_when_the_other_side_has_taken_all_that_came_before),
      cmocka_unit_test(a_reset_behind_bytes_that_nobody_takes_is_told),
      cmocka_unit_test(an_end_behind_bytes_that_nobody_takes_is_told_and_comes_after_them),
      cmocka_unit_test(a_reset_behind_an_end_that_nobody_takes_is_told_after_it),
      cmocka_unit_test(an_answer_survives_a_failed_write),
      cmocka_unit_test(two_sides_that_break_one_after_the_other_are_told),
      cmocka_unit_test(stopping_in_a_callback_is_allowed),
      cmocka_unit_test(bytes_given_back_come_first),
      cmocka_unit_test(bytes_given_back_in_bulk_cost_no_pipe),
      cmocka_unit_test(a_client_end_lets_the_target_answer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
