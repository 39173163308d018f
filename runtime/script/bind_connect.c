/* SPDX-License-Identifier: MIT
 *
 * moongate.connect: a connection of the script's own, as a socket. */
#include "connection/connection.h"
#include "net/dial.h"
#include "script/arguments.h"
#include "script/bind_moongate.h"
#include "script/socket.h"
#include "script/worker_script.h"
#include "tls/stream.h"

#include <errno.h>
#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_TIMEOUT_MS = 30 * 1000 };

/* A userdata, so that nothing has to free it: the waiting coroutine keeps it. */
struct connecting {
  struct script_wait wait;
  struct script_state *state;
  struct script_run *run; /* whose the socket will be; NULL outside of connections */
  struct dial *dial;      /* NULL: done */
  int status, fd;
  struct tls_context *tls;      /* NULL: plain. One reference, until it is used */
  struct script_socket **place; /* of the socket that TLS will be on; it is what is yielded last */
  const char *server_name, *host;
  clock_ms deadline;
};

/* For a starttls that comes later; a unix socket has no name. */
static void keep_host(struct script_socket *socket, const char *host) {
  if (strncmp(host, "unix:", 5) != 0)
    socket->host = strdup(host); /* without memory starttls asks for a name */
}

static int push_result(lua_State *L, void *context) {
  struct connecting *connecting = context;
  if (connecting->status == 0) {
    connecting->status = socket_push_own(connecting->state, L, connecting->fd, connecting->run);
    if (connecting->status == 0) {
      connecting->fd = -1;
      struct script_socket *socket = *(struct script_socket **)lua_touserdata(L, -1);
      keep_host(socket, connecting->host);
      return 1;
    }
  }
  lua_pushnil(L);
  lua_pushstring(L, socket_error_text(connecting->status));
  return 2;
}

static void close_unused(struct connecting *connecting) {
  if (connecting->fd >= 0)
    close(connecting->fd);
  connecting->fd = -1;
}

/* The socket is there, and its handshake begins. */
static int begin_tls(struct connecting *connecting) {
  int status = socket_fill(connecting->place, connecting->state, connecting->fd, connecting->run);
  if (status != 0)
    return status;
  connecting->fd = -1;
  struct script_socket *socket = *connecting->place;
  status = tls_stream_start(socket->stream, connecting->tls, connecting->server_name);
  tls_context_unref(connecting->tls);
  connecting->tls = NULL;
  if (status != 0) {
    socket_close(socket);
    return status;
  }
  socket->reader.connecting = true;
  return 0;
}

static int64_t time_left(const struct connecting *connecting) {
  clock_ms now = loop_now(connecting->state->place->loop);
  return now < connecting->deadline ? (int64_t)(connecting->deadline - now) : 0;
}

static void on_dialled(void *context, int status, int fd, const struct endpoint *peer) {
  (void)peer;
  struct connecting *connecting = context;
  bool waits = connecting->wait.task != NULL;
  connecting->dial = NULL;
  connecting->status = status;
  connecting->fd = fd;
  if (status == 0 && connecting->tls != NULL) {
    connecting->status = begin_tls(connecting);
    if (connecting->status == 0) {
      if (waits)
        socket_shake_instead(&connecting->wait, *connecting->place, time_left(connecting));
      return;
    }
  }
  if (waits)
    task_resume_with(&connecting->wait, push_result, connecting);
}

static void on_cancel(struct script_wait *wait) {
  struct connecting *connecting = (struct connecting *)(void *)((char *)wait - offsetof(struct connecting, wait));
  if (connecting->dial != NULL)
    dial_cancel(connecting->dial);
  connecting->dial = NULL;
}

/* A descriptor that found no memory for its socket. */
static int on_collect(lua_State *L) {
  struct connecting *connecting = lua_touserdata(L, 1);
  close_unused(connecting);
  tls_context_unref(connecting->tls);
  connecting->tls = NULL;
  return 0;
}

static struct connecting *push_connecting(lua_State *L, const struct script_task *task) {
  struct connecting *connecting = lua_newuserdata(L, sizeof *connecting);
  *connecting = (struct connecting){.state = task->state, .run = task->run, .fd = -1};
  script_lift_limit(L);
  if (luaL_newmetatable(L, "moongate.connecting")) {
    lua_pushcfunction(L, on_collect);
    lua_setfield(L, -2, "__gc");
  }
  script_restore_limit(L);
  lua_setmetatable(L, -2);
  return connecting;
}

static void check_options(lua_State *L, int index) {
  argument_check(L, lua_istable(L, index), index, "a table of options");
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING &&
        (strcmp(lua_tostring(L, -1), "timeout") == 0 || strcmp(lua_tostring(L, -1), "tls") == 0))
      continue;
    const char *key = lua_isstring(L, -1) ? lua_tostring(L, -1) : luaL_typename(L, -1);
    argument_error(L, index, lua_pushfstring(L, "there is no option '%s'; there are: timeout, tls", key));
  }
}

static uint64_t timeout_of(lua_State *L, int index, const struct script_task *task) {
  const struct script_run *run = task->run;
  const struct route *route = run != NULL ? connection_route(run->connection) : NULL;
  uint64_t ms = route != NULL && route->timeouts.connect != 0 ? route->timeouts.connect : DEFAULT_TIMEOUT_MS;
  if (lua_isnoneornil(L, index))
    return ms;
  check_options(L, index);
  lua_getfield(L, index, "timeout");
  if (!lua_isnil(L, -1)) {
    double seconds;
    if (!argument_duration(L, -1, &seconds) || seconds <= 0)
      argument_error(L, index, "options with timeout = a duration above 0 expected");
    ms = (uint64_t)(seconds * 1000 + 0.5);
  }
  lua_pop(L, 1);
  return ms > 0 ? ms : 1;
}

/* The option `tls`: false when it can't be, with the failure pushed. */
static bool prepare_tls(lua_State *L, struct connecting *connecting, int options, const char *host) {
  if (!lua_istable(L, options))
    return true;
  lua_getfield(L, options, "tls");
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    return true;
  }
  lua_replace(L, options);
  bool has_name = strncmp(host, "unix:", 5) != 0;
  connecting->server_name = has_name ? host : NULL;
  connecting->tls = socket_check_tls(L, options, false, &connecting->server_name);
  if (connecting->tls == NULL)
    return false;
  if (connecting->server_name == NULL && SSL_CTX_get_verify_mode(connecting->tls->ssl) != SSL_VERIFY_NONE)
    luaL_error(L, "tls needs options with server_name here: the name that the certificate has to have");
  return true;
}

int core_connect(lua_State *L) {
  bool has_port = !lua_isnoneornil(L, 2) && !lua_istable(L, 2);
  struct argument_target target;
  argument_check_target(L, 1, has_port ? 2 : 0, &target);
  struct script_task *task = task_check(L);
  if (task->state->place->dialer == NULL)
    return luaL_error(L, "connect is not there in this place");
  int options = lua_istable(L, 2) ? 2 : 3;
  lua_settop(L, options);
  uint64_t ms = timeout_of(L, options, task);
  struct connecting *connecting = push_connecting(L, task);
  connecting->deadline = loop_now(task->state->place->loop) + ms;
  lua_pushstring(L, target.host);
  connecting->host = lua_tostring(L, -1);
  if (!prepare_tls(L, connecting, options, connecting->host))
    return 3;
  if (connecting->tls != NULL)
    connecting->place = socket_push_empty(L);
  connecting->dial = dial_start(task->state->place->dialer, target.host, target.port > 0 ? (uint16_t)target.port : 0,
                                ms, on_dialled, connecting);
  if (connecting->dial != NULL)
    return task_wait(L, &connecting->wait, on_cancel);
  if (connecting->status == 0 && connecting->place != NULL)
    return socket_wait_to_shake(L, *connecting->place, time_left(connecting));
  return push_result(L, connecting);
}
