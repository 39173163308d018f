/* SPDX-License-Identifier: MIT
 *
 * moongate.connect: a connection of the script's own, as a socket. */
#include "connection/connection.h"
#include "dial/dial.h"
#include "luasocket/socket.h"
#include "script/arguments.h"
#include "script/worker_script.h"
#include "tls/stream.h"

#include <errno.h>
#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_TIMEOUT_MS = 30 * 1000 };

struct connecting {
  struct script_wait wait;
  struct script_state *state;
  struct script_run *run; /* whose the socket will be; NULL outside of connections */
  struct dial *dial;
  int status;
  struct tls_context *tls; /* NULL: plain. One reference, until it is used */
  clock_ms deadline;
  /* What the waiting coroutine keeps, the socket as the last that it has yielded. */
  struct script_socket **place;
  const char *server_name, *host;
  uint16_t port;
  bool has_looked; /* for a descriptor of a socket that Lua has forgotten */
};

/* For a starttls that comes later; a unix socket has no name. */
static void keep_host(struct script_socket *socket, const char *host) {
  if (strncmp(host, "unix:", 5) != 0)
    socket->host = strdup(host); /* without memory starttls asks for a name */
}

static int push_connect_failure(lua_State *L, int status) {
  lua_pushnil(L);
  lua_pushstring(L, socket_error_text(status));
  return 2;
}

static int push_connected(lua_State *L, void *context) {
  const struct connecting *connecting = context;
  if (connecting->status != 0)
    return push_connect_failure(L, connecting->status);
  lua_xmove(connecting->wait.task->coroutine, L, 1);
  return 1;
}

static void connecting_free(struct connecting *connecting) {
  tls_context_unref(connecting->tls);
  free(connecting);
}

/* The socket is there, and with TLS its handshake begins. */
static int connect_begin(struct connecting *connecting, int fd) {
  int status = socket_fill(connecting->place, connecting->state, fd, connecting->run);
  if (status != 0) {
    close(fd);
    return status;
  }
  struct script_socket *socket = *connecting->place;
  if (connecting->tls == NULL) {
    keep_host(socket, connecting->host);
    return 0;
  }
  status = tls_stream_start(socket->stream, connecting->tls, connecting->server_name);
  if (status != 0) {
    socket_close(socket);
    return status;
  }
  socket->reader.connecting = true;
  return 0;
}

static int64_t time_left(struct loop *loop, clock_ms deadline) {
  clock_ms now = loop_now(loop);
  return now < deadline ? (int64_t)(deadline - now) : 0;
}

/* One may be that of a socket which Lua has forgotten; then the status is 0. */
static void look_for_descriptor(struct connecting *connecting, lua_State *L) {
  if (script_has_descriptor(L))
    connecting->status = 0;
  else
    script_report_unopened(connecting->state, connecting->run, L, "a script can't connect", false);
}

static int look_protected(lua_State *L) {
  look_for_descriptor(lua_touserdata(L, 1), L);
  return 0;
}

static bool lacks_descriptor(struct connecting *connecting) {
  bool first = connecting->status == -EMFILE && !connecting->has_looked;
  connecting->has_looked = true;
  return first;
}

static void on_connect_dialled(void *context, int status, int fd, const struct endpoint *peer);

/* NULL: on_connect_dialled() has been called already. */
static struct dial *begin_dial(struct connecting *connecting) {
  const struct script_place *place = connecting->state->place;
  int64_t left = time_left(place->loop, connecting->deadline);
  struct dial_terms terms = {.ms = (uint64_t)left, .done = on_connect_dialled, .context = connecting};
  return dial_start(place->dialer, connecting->host, connecting->port, &terms);
}

static void on_connect_dialled(void *context, int status, int fd, const struct endpoint *peer) {
  (void)peer;
  struct connecting *connecting = context;
  connecting->status = status == 0 ? connect_begin(connecting, fd) : status;
  if (connecting->wait.task == NULL) /* dial_start() has not returned yet */
    return;
  if (lacks_descriptor(connecting) && script_protect(connecting->state, look_protected, connecting) == 0 &&
      connecting->status == 0) {
    struct dial *dial = begin_dial(connecting);
    if (dial != NULL)
      connecting->dial = dial;
    return;
  }
  if (connecting->status == 0 && connecting->tls != NULL)
    socket_shake_instead(&connecting->wait, *connecting->place,
                         time_left(connecting->state->place->loop, connecting->deadline));
  else
    task_resume_with(&connecting->wait, push_connected, connecting);
  connecting_free(connecting);
}

static void on_connect_cancel(struct script_wait *wait) {
  struct connecting *connecting = (struct connecting *)(void *)((char *)wait - offsetof(struct connecting, wait));
  dial_cancel(connecting->dial);
  connecting_free(connecting);
}

static uint64_t timeout_of(lua_State *L, int index, const struct script_task *task) {
  static const char *const known[] = {"timeout", "tls", NULL};
  const struct route *route = script_run_route(task->run);
  uint64_t ms = route != NULL && route->timeouts.connect != 0 ? route->timeouts.connect : DEFAULT_TIMEOUT_MS;
  if (lua_isnoneornil(L, index))
    return ms;
  argument_check(L, lua_istable(L, index), index, "a table of options");
  argument_check_options(L, index, known);
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

/* What the option `tls` at index `options` asks for, and the name for it: NULL for none, or, with `*failed`, when it
 * can't be; then the failure is pushed. */
static struct tls_context *prepare_tls(lua_State *L, int options, const char *host, const char **server_name,
                                       bool *failed) {
  if (!lua_istable(L, options))
    return NULL;
  lua_getfield(L, options, "tls");
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    return NULL;
  }
  lua_replace(L, options);
  bool has_name = strncmp(host, "unix:", 5) != 0;
  *server_name = has_name ? host : NULL;
  struct tls_context *tls = socket_check_tls(L, options, false, server_name);
  *failed = tls == NULL;
  if (tls != NULL && *server_name == NULL && SSL_CTX_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE) {
    tls_context_unref(tls);
    luaL_error(L, "tls needs options with server_name here: the name that the certificate has to have");
  }
  return tls;
}

/* What is there at once. The socket is on top. */
static int connect_finish(lua_State *L, struct connecting *connecting) {
  struct script_socket *socket = *connecting->place;
  int status = connecting->status;
  bool has_tls = connecting->tls != NULL;
  int64_t ms = time_left(connecting->state->place->loop, connecting->deadline);
  connecting_free(connecting);
  if (status != 0)
    return push_connect_failure(L, status);
  return has_tls ? socket_wait_to_shake(L, socket, ms) : 1;
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
  struct connecting made = {
      .state = task->state, .run = task->run, .port = target.port > 0 ? (uint16_t)target.port : 0};
  uint64_t ms = timeout_of(L, options, task);
  made.deadline = loop_now(task->state->place->loop) + ms;
  lua_pushstring(L, target.host);
  made.host = lua_tostring(L, -1);
  socket_push_empty(L);
  int socket = lua_gettop(L);
  bool failed = false;
  luaL_checkstack(L, 2 * LUA_MINSTACK, "too many arguments"); /* behind what has to be freed nothing raises */
  made.tls = prepare_tls(L, options, made.host, &made.server_name, &failed);
  if (failed)
    return 3;
  struct connecting *connecting = malloc(sizeof *connecting);
  if (connecting == NULL) {
    tls_context_unref(made.tls);
    return push_connect_failure(L, -ENOMEM);
  }
  lua_pushvalue(L, socket);
  made.place = lua_touserdata(L, -1);
  *connecting = made;
  connecting->dial = begin_dial(connecting);
  if (connecting->dial == NULL && lacks_descriptor(connecting)) {
    look_for_descriptor(connecting, L);
    if (connecting->status == 0)
      connecting->dial = begin_dial(connecting);
  }
  if (connecting->dial != NULL)
    return task_wait(L, &connecting->wait, on_connect_cancel);
  return connect_finish(L, connecting);
}
