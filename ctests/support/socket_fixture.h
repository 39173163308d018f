/* SPDX-License-Identifier: MIT
 *
 * For the tests of the Lua socket: two of them on ends of socket pairs, the test on the others. */
#pragma once

#include "native/host.h"
#include "script_fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t SECOND = 1000000000;

struct socket_fixture {
  struct fixture base;
  int peers[2]; /* the test's ends */
  int ends[2];  /* Lua's */
};

static inline void open_pair(struct socket_fixture *fixture, int i) {
  int fds[2];
  assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
  fixture->peers[i] = fds[0];
  fixture->ends[i] = fds[1];
}

static inline int set_up(void **context) {
  struct socket_fixture *fixture = calloc(1, sizeof *fixture);
  fixture_begin(&fixture->base, 1000, 64 * 1024 * 1024);
  open_pair(fixture, 0);
  open_pair(fixture, 1);
  *context = fixture;
  return 0;
}

static inline int tear_down(void **context) {
  struct socket_fixture *fixture = *context;
  fixture_end(&fixture->base);
  for (int i = 0; i < 2; i++) {
    if (fixture->peers[i] >= 0)
      close(fixture->peers[i]);
    if (fixture->ends[i] >= 0)
      close(fixture->ends[i]);
  }
  free(fixture);
  return 0;
}

/* Both sockets are the task's arguments. */
static inline int push_sockets(struct fixture *base, lua_State *L) {
  struct socket_fixture *fixture = (struct socket_fixture *)base;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(0, script_push_socket(base->state, L, fixture->ends[i]));
    fixture->ends[i] = -1;
  }
  return 2;
}

static inline void put(int fd, const char *bytes) { assert_int_equal(strlen(bytes), write(fd, bytes, strlen(bytes))); }

static inline void end(struct socket_fixture *fixture, int i) { shutdown(fixture->peers[i], SHUT_WR); }

static inline void expect_outcome(const struct outcome *outcome, const char *text) {
  if (outcome->end != TASK_RETURNED)
    fail_msg("%s", outcome->text);
  assert_string_equal(text, outcome->text);
}

/* Results as one text: show(socket:receive()) is "data|error|partial". */
#define SHOW                                                                                                           \
  "local s, o = ... local function show(...) local t = {...} for i = 1, select('#', ...) do t[i] = tostring(t[i]) "    \
  "end "                                                                                                               \
  "return table.concat(t, '|') end "

/* What the peer has sent, and perhaps its end, is there before the code runs. */
static inline void expect(void **context, const char *sent, bool ended, const char *code, const char *expected) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  char whole[2048];
  snprintf(whole, sizeof whole, SHOW "%s", code);
  if (*sent != '\0')
    put(fixture->peers[0], sent);
  if (ended)
    end(fixture, 0);
  fixture_start(&fixture->base, whole, &outcome, push_sockets);
  fixture_wait(&fixture->base, &outcome);
  expect_outcome(&outcome, expected);
}
