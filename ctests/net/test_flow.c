/* SPDX-License-Identifier: MIT
 *
 * A flow between two sockets: exactly what it was told to move is moved, in both ways of moving it, and what it has
 * read and could not pass on goes back to its source. */
#include "net/flow.h"
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

enum { BUFFER = 4096, MOST_ROUNDS = 1000 * 1000 };

struct fixture {
  struct clock clock;
  struct loop loop;
  struct flow_shared shared;
  struct stream from, to;
  struct tally tally; /* of the source */
  struct flow flow;
  uint64_t count;
  enum flow_result result;
  clock_ms active;
  int sender, receiver;    /* ours */
  uint64_t sent, received; /* of the pattern */
};

/* A connected pair of TCP sockets over loopback, non-blocking: resets are only real on TCP. */
static void tcp_pair(int *ours, int *theirs) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof in;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof in), 0);
  assert_int_equal(listen(listener, 1), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &length), 0);
  *ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(*ours, (struct sockaddr *)&in, sizeof in), 0);
  *theirs = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  assert_true(*theirs >= 0);
  assert_int_equal(fcntl(*ours, F_SETFL, O_NONBLOCK), 0);
  close(listener);
}

static struct fixture *setup_with(bool splice, uint64_t count) {
  struct fixture *f = calloc(1, sizeof *f);
  int from, to;
  assert_int_equal(loop_init(&f->loop, &f->clock, NULL), 0);
  f->shared = (struct flow_shared){.loop = &f->loop, .bytes = malloc(BUFFER), .size = BUFFER};
  f->shared.pool = splice ? splice_pool_new(&f->loop, 8, 0) : NULL;
  tcp_pair(&f->sender, &from);
  tcp_pair(&f->receiver, &to);
  assert_int_equal(stream_open(&f->from, &f->loop, from, &f->tally, STREAM_WRITABLE), 0);
  assert_int_equal(stream_open(&f->to, &f->loop, to, NULL, STREAM_WRITABLE), 0);
  f->count = count;
  flow_begin(&f->flow, &f->from, &f->to, count);
  return f;
}

static void teardown(struct fixture *f) {
  flow_drop(&f->flow, &f->shared);
  stream_close(&f->from, false);
  stream_close(&f->to, false);
  if (f->sender >= 0)
    close(f->sender);
  if (f->receiver >= 0)
    close(f->receiver);
  splice_pool_free(f->shared.pool);
  loop_deinit(&f->loop);
  free(f->shared.bytes);
  free(f);
}

static uint8_t pattern(uint64_t position) { return (uint8_t)(position * 2654435761u >> 13); }

static void fill_pattern(uint8_t *bytes, size_t size, uint64_t position) {
  for (size_t i = 0; i < size; i++)
    bytes[i] = pattern(position + i);
}

static void expect_pattern(const uint8_t *bytes, size_t size, uint64_t position) {
  for (size_t i = 0; i < size; i++)
    if (bytes[i] != pattern(position + i))
      fail_msg("byte %llu is wrong", (unsigned long long)(position + i));
}

/* Sends of the pattern what goes, up to its first `size` bytes. */
static void send_up_to(struct fixture *f, uint64_t size) {
  static uint8_t bytes[65536];
  while (f->sent < size) {
    size_t want = size - f->sent < sizeof bytes ? (size_t)(size - f->sent) : sizeof bytes;
    fill_pattern(bytes, want, f->sent);
    ssize_t put = send(f->sender, bytes, want, MSG_NOSIGNAL);
    if (put < 0)
      return;
    f->sent += (uint64_t)put;
  }
}

static void receive_all(struct fixture *f) {
  static uint8_t bytes[65536];
  for (ssize_t got; (got = recv(f->receiver, bytes, sizeof bytes, 0)) > 0; f->received += (uint64_t)got)
    expect_pattern(bytes, (size_t)got, f->received);
}

static void move(struct fixture *f) { f->result = flow_move(&f->flow, &f->shared, &f->active); }

/* Sends `size` bytes and moves until the flow is over, or has failed. */
static void run(struct fixture *f, uint64_t size) {
  for (int round = 0; round < MOST_ROUNDS; round++) {
    send_up_to(f, size);
    loop_round(&f->loop, false);
    move(f);
    receive_all(f);
    if (f->result == FLOW_OVER || f->result == FLOW_BROKEN)
      return;
  }
  fail_msg("it does not end");
}

/* What was sent and not moved is there for who reads the source next, in order. */
static void expect_rest(struct fixture *f) {
  static uint8_t bytes[65536];
  uint64_t position = flow_moved(&f->flow, f->count);
  for (int round = 0; position < f->sent && round < MOST_ROUNDS; round++) {
    loop_round(&f->loop, false);
    ssize_t got = stream_may_read(&f->from) ? stream_read(&f->from, bytes, sizeof bytes) : 0;
    if (got > 0) {
      expect_pattern(bytes, (size_t)got, position);
      position += (uint64_t)got;
    }
  }
  assert_int_equal(position, f->sent);
}

/* The target takes nothing until the flow is full, be it copied or in a kernel pipe. */
static void jam(struct fixture *f) {
  for (int round = 0, still = 0; still < 50; round++) {
    assert_true(round < MOST_ROUNDS);
    uint64_t before = f->sent;
    send_up_to(f, 64 * 1024 * 1024);
    loop_round(&f->loop, false);
    move(f);
    still = f->result == FLOW_FULL && f->sent == before ? still + 1 : 0;
  }
  assert_true(flow_held(&f->flow) > 0);
}

static void exactly_the_count_is_moved_and_not_a_byte_more_is_read(void **state) {
  (void)state;
  static const uint64_t counts[] = {1, 1000, BUFFER - 1, BUFFER, BUFFER + 1, 4 * BUFFER, 70000, 3000000, 20000000};
  for (int splice = 0; splice < 2; splice++)
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
      struct fixture *f = setup_with(splice, counts[i]);
      run(f, counts[i] + 100);
      assert_int_equal(f->result, FLOW_OVER);
      assert_int_equal(f->flow.left, 0);
      assert_int_equal(f->flow.status, 0);
      assert_int_equal(f->tally.own.in, counts[i]);
      assert_int_equal(flow_moved(&f->flow, counts[i]), counts[i]);
      send_up_to(f, counts[i] + 100);
      for (int round = 0; f->received < counts[i] && round < MOST_ROUNDS; round++)
        receive_all(f);
      assert_int_equal(f->received, counts[i]);
      expect_rest(f);
      teardown(f);
    }
}

static void a_count_of_nothing_is_over_at_once(void **state) {
  (void)state;
  struct fixture *f = setup_with(false, 0);
  send_up_to(f, 10);
  loop_round(&f->loop, false);
  move(f);
  assert_int_equal(f->result, FLOW_OVER);
  assert_int_equal(f->tally.own.in, 0);
  expect_rest(f);
  teardown(f);
}

static void an_end_before_the_count_is_told_from_the_count(void **state) {
  (void)state;
  for (int splice = 0; splice < 2; splice++) {
    struct fixture *f = setup_with(splice, 1000001);
    for (int round = 0; f->sent < 1000000 && round < MOST_ROUNDS; round++) {
      send_up_to(f, 1000000);
      loop_round(&f->loop, false);
      move(f);
      receive_all(f);
    }
    shutdown(f->sender, SHUT_WR);
    run(f, 0);
    assert_int_equal(f->result, FLOW_OVER);
    assert_int_equal(f->flow.left, 1);
    assert_int_equal(f->flow.status, 0);
    assert_int_equal(flow_moved(&f->flow, f->count), 1000000);
    teardown(f);
  }
}

static void without_a_count_it_ends_with_its_source(void **state) {
  (void)state;
  struct fixture *f = setup_with(true, FLOW_TO_THE_END);
  send_up_to(f, 100000);
  shutdown(f->sender, SHUT_WR);
  run(f, 0);
  assert_int_equal(f->result, FLOW_OVER);
  assert_int_equal(flow_moved(&f->flow, FLOW_TO_THE_END), 100000);
  assert_false(f->to.is_shut); /* passing the end on is its user's */
  teardown(f);
}

static void a_reset_is_told_behind_what_came_before_it(void **state) {
  (void)state;
  struct fixture *f = setup_with(false, FLOW_TO_THE_END);
  send_up_to(f, 1000);
  loop_round(&f->loop, false);
  move(f);
  struct linger linger = {.l_onoff = 1};
  setsockopt(f->sender, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  close(f->sender);
  f->sender = -1;
  run(f, 0);
  assert_int_equal(f->result, FLOW_OVER);
  assert_int_equal(f->flow.status, -ECONNRESET);
  assert_int_equal(flow_moved(&f->flow, FLOW_TO_THE_END), 1000);
  teardown(f);
}

static void what_it_holds_goes_back_to_the_source(void **state) {
  (void)state;
  for (int splice = 0; splice < 2; splice++) {
    struct fixture *f = setup_with(splice, FLOW_TO_THE_END);
    jam(f);
    assert_int_equal(f->flow.spliced > 0, splice);
    assert_int_equal(flow_give_back(&f->flow, &f->shared, &f->from.unread), 0);
    assert_int_equal(flow_held(&f->flow), 0);
    shutdown(f->sender, SHUT_WR);
    expect_rest(f);
    assert_int_equal(f->tally.own.in, f->sent);
    uint64_t moved = flow_moved(&f->flow, FLOW_TO_THE_END);
    for (int round = 0; f->received < moved && round < MOST_ROUNDS; round++)
      receive_all(f);
    assert_int_equal(f->received, moved);
    teardown(f);
  }
}

static void what_a_broken_destination_has_not_taken_goes_back_too(void **state) {
  (void)state;
  for (int splice = 0; splice < 2; splice++) {
    struct fixture *f = setup_with(splice, FLOW_TO_THE_END);
    jam(f);
    close(f->receiver); /* with unread input: a reset */
    f->receiver = -1;
    for (int round = 0; f->result != FLOW_BROKEN && round < MOST_ROUNDS; round++) {
      loop_round(&f->loop, false);
      move(f);
    }
    assert_int_equal(f->result, FLOW_BROKEN);
    assert_int_equal(f->flow.status, -ECONNRESET);
    assert_int_equal(flow_give_back(&f->flow, &f->shared, &f->from.unread), 0);
    expect_rest(f);
    teardown(f);
  }
}

static void bytes_read_ahead_go_first_and_count(void **state) {
  (void)state;
  static const uint64_t counts[] = {10, 3000, 5000, FLOW_TO_THE_END};
  uint8_t ahead[3000];
  fill_pattern(ahead, sizeof ahead, 0);
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    struct fixture *f = setup_with(false, counts[i]);
    uint64_t expected = counts[i] < 6000 ? counts[i] : 6000;
    f->sent = sizeof ahead;
    assert_int_equal(flow_pass(&f->flow, ahead, sizeof ahead), expected < sizeof ahead ? expected : sizeof ahead);
    send_up_to(f, 6000);
    shutdown(f->sender, SHUT_WR);
    run(f, 0);
    assert_int_equal(flow_moved(&f->flow, counts[i]), expected);
    for (int round = 0; f->received < expected && round < MOST_ROUNDS; round++)
      receive_all(f);
    assert_int_equal(f->received, expected);
    assert_int_equal(f->tally.own.in, expected < sizeof ahead ? 0 : expected - sizeof ahead);
    teardown(f);
  }
}

static void bytes_read_ahead_wait_for_a_full_destination(void **state) {
  (void)state;
  struct fixture *f = setup_with(false, FLOW_TO_THE_END);
  jam(f);
  assert_int_equal(flow_give_back(&f->flow, &f->shared, &f->from.unread), 0);
  uint64_t before = flow_moved(&f->flow, FLOW_TO_THE_END);
  struct flow again;
  flow_begin(&again, &f->from, &f->to, 5);
  assert_int_equal(flow_pass(&again, "abcdefgh", 8), 5);
  assert_int_equal(flow_move(&again, &f->shared, &f->active), FLOW_FULL);
  assert_int_equal(flow_held(&again), 5);
  for (int round = 0; f->received < before && round < MOST_ROUNDS; round++)
    receive_all(f);
  for (int round = 0; (f->result = flow_move(&again, &f->shared, &f->active)) != FLOW_OVER; round++) {
    assert_true(round < MOST_ROUNDS);
    loop_round(&f->loop, false);
  }
  assert_int_equal(flow_moved(&again, 5), 5);
  char text[16];
  ssize_t got = -1;
  for (int round = 0; got < 0 && round < MOST_ROUNDS; round++)
    got = recv(f->receiver, text, sizeof text, 0);
  assert_int_equal(got, 5);
  assert_memory_equal(text, "abcde", 5);
  teardown(f);
}

static void others_have_their_turn(void **state) {
  (void)state;
  struct fixture *f = setup_with(false, FLOW_TO_THE_END);
  send_up_to(f, 20 * BUFFER);
  for (int round = 0; f->result != FLOW_AGAIN && round < 1000; round++) {
    loop_round(&f->loop, false);
    if (stream_may_read(&f->from) && f->tally.own.in == 0)
      usleep(20000); /* so that all is there */
    move(f);
  }
  assert_int_equal(f->result, FLOW_AGAIN);
  assert_true(f->tally.own.in <= 16 * BUFFER);
  shutdown(f->sender, SHUT_WR);
  run(f, 0);
  assert_int_equal(flow_moved(&f->flow, FLOW_TO_THE_END), 20 * BUFFER);
  teardown(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exactly_the_count_is_moved_and_not_a_byte_more_is_read),
      cmocka_unit_test(a_count_of_nothing_is_over_at_once),
      cmocka_unit_test(an_end_before_the_count_is_told_from_the_count),
      cmocka_unit_test(without_a_count_it_ends_with_its_source),
      cmocka_unit_test(a_reset_is_told_behind_what_came_before_it),
      cmocka_unit_test(what_it_holds_goes_back_to_the_source),
      cmocka_unit_test(what_a_broken_destination_has_not_taken_goes_back_too),
      cmocka_unit_test(bytes_read_ahead_go_first_and_count),
      cmocka_unit_test(bytes_read_ahead_wait_for_a_full_destination),
      cmocka_unit_test(others_have_their_turn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
