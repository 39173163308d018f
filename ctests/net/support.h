/* SPDX-License-Identifier: MIT
 *
 * For the tests of runtime/net: a loop that is run until something has happened, and servers on loopback. */
#pragma once

#include "../support/scratch.h"

#include "core/loop.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { AWAIT_LIMIT_S = 30 };

struct bench {
  struct clock clock;
  struct loop loop;
  struct wheel_timer tick; /* so that no round waits forever, even when what is awaited never happens */
};

static void on_tick(struct wheel_timer *timer) {
  struct bench *bench = (struct bench *)(void *)((char *)timer - offsetof(struct bench, tick));
  loop_set_timer(&bench->loop, timer, 100);
}

static inline void bench_init(struct bench *bench) {
  memset(bench, 0, sizeof *bench);
  assert_int_equal(loop_init(&bench->loop, &bench->clock, NULL), 0);
  bench->tick.on_expired = on_tick;
  loop_set_timer(&bench->loop, &bench->tick, 100);
}

static inline void bench_deinit(struct bench *bench) {
  loop_cancel_timer(&bench->loop, &bench->tick);
  loop_deinit(&bench->loop);
}

static inline uint64_t real_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Runs the loop until `condition` holds, which is looked at after each round. */
#define AWAIT(bench, condition)                                                                                        \
  do {                                                                                                                 \
    uint64_t await_limit = real_ms() + AWAIT_LIMIT_S * 1000;                                                           \
    while (!(condition)) {                                                                                             \
      if (real_ms() > await_limit)                                                                                     \
        fail_msg("not within %d s: %s", AWAIT_LIMIT_S, #condition);                                                    \
      loop_round(&(bench)->loop, true);                                                                                \
    }                                                                                                                  \
  } while (0)

/* Everything that is ready now, and the work that it put off. */
static inline void bench_settle(struct bench *bench) {
  for (int i = 0; i < 5; i++)
    loop_round(&bench->loop, false);
}

/* A blocking IPv4 socket that listens on loopback; `*port` is which. */
static inline int listen_on_loopback(int backlog, uint16_t *port) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port)};
  socklen_t length = sizeof in;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&in, length), 0);
  assert_int_equal(listen(fd, backlog), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &length), 0);
  *port = ntohs(in.sin_port);
  return fd;
}
