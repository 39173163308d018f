/* SPDX-License-Identifier: MIT
 *
 * Clients that each send a large body to a file whose memory is small: what is held of them stays within it. */
#include "../support/socket_fixture.h"

enum { CLIENTS = 12, BODY = 1000 * 1000, MEMORY = 8 * 1024 * 1024 };

struct client {
  struct outcome outcome;
  int peer;
  size_t sent;
  char answer[64];
};

struct crowd {
  struct fixture base;
  struct client clients[CLIENTS];
  int end; /* of the client that begins */
};

static int push_client(struct fixture *base, lua_State *L) {
  assert_int_equal(0, script_push_socket(base->state, L, ((struct crowd *)base)->end));
  return 1;
}

static void begin(struct crowd *crowd, struct client *client) {
  static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
  int fds[2];
  assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
  client->peer = fds[0];
  crowd->end = fds[1];
  put(client->peer, head);
  fixture_start(
      &crowd->base,
      "local socket = ... moongate.handlers.http(function(request) return tostring(#request.body) end)(socket)",
      &client->outcome, push_client);
}

/* Sends up to `size` bytes of the body in all, as far as they are taken, and takes what was answered. */
static void go_on(struct crowd *crowd, struct client *client, size_t size) {
  char bytes[64 * 1024] = {0};
  while (client->sent < size && client->answer[0] == '\0') {
    size_t rest = size - client->sent;
    ssize_t put = write(client->peer, bytes, rest < sizeof bytes ? rest : sizeof bytes);
    if (put > 0)
      client->sent += (size_t)put;
    loop_round(&crowd->base.loop, false);
    if (read(client->peer, client->answer, sizeof client->answer - 1) < 0)
      assert_int_equal(EAGAIN, errno);
    assert_in_range(crowd->base.state->memory_used, 0, MEMORY);
  }
}

static void bodies_count_against_the_memory_of_the_state(void **context) {
  (void)context;
  struct crowd crowd;
  unsigned refused = 0;
  memset(&crowd, 0, sizeof crowd);
  fixture_begin(&crowd.base, 1000, MEMORY);
  struct script_state *state = crowd.base.state;
  for (int i = 0; i < CLIENTS; i++) {
    struct client *client = &crowd.clients[i];
    begin(&crowd, client);
    go_on(&crowd, client, BODY - 1);
    if (client->answer[0] != '\0') {
      assert_int_equal(0, strncmp(client->answer, "HTTP/1.1 503 ", 13));
      refused++;
    }
  }
  assert_in_range(refused, 4, CLIENTS - 3);
  assert_in_range(state->memory_used, 3 * BODY, MEMORY - MEMORY / 4 + BODY);
  for (int i = 0; i < CLIENTS; i++) {
    struct client *client = &crowd.clients[i];
    if (client->answer[0] == '\0') {
      go_on(&crowd, client, BODY);
      while (client->answer[0] == '\0') {
        loop_round(&crowd.base.loop, false);
        if (read(client->peer, client->answer, sizeof client->answer - 1) < 0)
          assert_int_equal(EAGAIN, errno);
      }
      assert_int_equal(0, strncmp(client->answer, "HTTP/1.1 200 ", 13));
    }
    close(client->peer);
    fixture_wait(&crowd.base, &client->outcome);
    assert_int_equal(TASK_RETURNED, client->outcome.end);
  }
  lua_gc(state->L, LUA_GCCOLLECT, 0);
  lua_gc(state->L, LUA_GCCOLLECT, 0);
  assert_in_range(state->memory_used, 0, BODY);
  fixture_end(&crowd.base);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(bodies_count_against_the_memory_of_the_state)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
