/* SPDX-License-Identifier: MIT
 *
 * What is set and asked about a socket: timeouts, the kernel's options under LuaSocket's names, and counts. */
#include "connection/codec.h"
#include "luasocket/socket.h"
#include "script/arguments.h"
#include "script/worker_script.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

static int one(lua_State *L) {
  lua_pushinteger(L, 1);
  return 1;
}

enum mode { MODE_CALL, MODE_STEP, MODE_SEND, MODE_RECEIVE };

static enum mode check_mode(lua_State *L, int index) {
  static const char *const words[][2] = {{"t", "total"}, {"b", "block"}, {"send", "send"}, {"receive", "receive"}};
  const char *word = lua_isnoneornil(L, index) ? "t" : lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
  for (int mode = MODE_CALL; mode <= MODE_RECEIVE; mode++)
    if (strcmp(word, words[mode][0]) == 0 || strcmp(word, words[mode][1]) == 0)
      return (enum mode)mode;
  argument_error(L, index, "\"t\" (the whole call), \"b\" (each step of it), \"send\" or \"receive\"");
  return MODE_CALL;
}

int socket_settimeout(lua_State *L) {
  struct script_socket *socket = socket_check(L, 1);
  int64_t ms = SOCKET_NO_TIMEOUT;
  if (!lua_isnoneornil(L, 2) && !(lua_type(L, 2) == LUA_TNUMBER && lua_tonumber(L, 2) < 0))
    ms = (int64_t)argument_check_ms(L, 2);
  enum mode mode = check_mode(L, 3);
  if (mode == MODE_STEP) {
    socket->receive_time.step_ms = socket->send_time.step_ms = ms;
  } else {
    if (mode != MODE_SEND)
      socket->receive_time.call_ms = ms;
    if (mode != MODE_RECEIVE)
      socket->send_time.call_ms = ms;
  }
  if (mode == MODE_CALL && lua_isnoneornil(L, 3))
    socket->receive_time.step_ms = socket->send_time.step_ms = SOCKET_NO_TIMEOUT;
  return socket->stream == NULL ? socket_nil_closed(L) : one(L);
}

static void push_seconds(lua_State *L, int64_t ms) {
  if (ms < 0)
    lua_pushnil(L);
  else
    lua_pushnumber(L, (lua_Number)ms / 1000);
}

/* A step's, the call's, and, where it differs, the sending call's. */
int socket_gettimeout(lua_State *L) {
  const struct script_socket *socket = socket_check(L, 1);
  push_seconds(L, socket->receive_time.step_ms);
  push_seconds(L, socket->receive_time.call_ms);
  push_seconds(L, socket->send_time.call_ms);
  return 3;
}

enum kind { KIND_SWITCH, KIND_NUMBER };

static const struct option {
  const char *name;
  int level, option;
  enum kind kind;
  bool before; /* of use only before the socket is bound or connected */
} options[] = {
    {"tcp-nodelay", IPPROTO_TCP, TCP_NODELAY, KIND_SWITCH, false},
    {"keepalive", SOL_SOCKET, SO_KEEPALIVE, KIND_SWITCH, false},
    {"reuseaddr", SOL_SOCKET, SO_REUSEADDR, KIND_SWITCH, false},
    {"tcp-keepidle", IPPROTO_TCP, TCP_KEEPIDLE, KIND_NUMBER, false},
    {"tcp-keepintvl", IPPROTO_TCP, TCP_KEEPINTVL, KIND_NUMBER, false},
    {"tcp-keepcnt", IPPROTO_TCP, TCP_KEEPCNT, KIND_NUMBER, false},
    {"recv-buffer-size", SOL_SOCKET, SO_RCVBUF, KIND_NUMBER, false},
    {"send-buffer-size", SOL_SOCKET, SO_SNDBUF, KIND_NUMBER, false},
    {"reuseport", SOL_SOCKET, SO_REUSEPORT, KIND_SWITCH, true},
    {"ipv6-v6only", IPPROTO_IPV6, IPV6_V6ONLY, KIND_SWITCH, true},
    {"tcp-fastopen-connect", IPPROTO_TCP, TCP_FASTOPEN_CONNECT, KIND_NUMBER, true},
};

static const struct option *check_option(lua_State *L, int index, bool before) {
  const char *name = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
  for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
    if (strcmp(options[i].name, name) == 0 && (before || !options[i].before))
      return &options[i];
  argument_error(L, index,
                 "\"tcp-nodelay\", \"keepalive\", \"reuseaddr\", \"tcp-keepidle\", \"tcp-keepintvl\", \"tcp-keepcnt\", "
                 "\"recv-buffer-size\" or \"send-buffer-size\" expected");
  return NULL;
}

static int check_option_value(lua_State *L, int index, enum kind kind) {
  if (kind == KIND_SWITCH) {
    argument_check(L, lua_isnone(L, index) || lua_isboolean(L, index), index, "true or false");
    return lua_isnone(L, index) || lua_toboolean(L, index);
  }
  lua_Number number = lua_tonumber(L, index);
  argument_check(L, lua_isnumber(L, index) && number >= 1 && number <= 1e9, index, "a number from 1");
  return (int)number;
}

static bool is_of_probes(const struct option *option) {
  return option->option == (option->level == SOL_SOCKET ? SO_KEEPALIVE : TCP_KEEPIDLE) ||
         (option->level == IPPROTO_TCP && (option->option == TCP_KEEPINTVL || option->option == TCP_KEEPCNT));
}

static int failed(lua_State *L, int status) {
  lua_pushnil(L);
  lua_pushstring(L, socket_error_text(status));
  return 2;
}

static int set_option(lua_State *L, int fd, const struct option *option, int value) {
  return setsockopt(fd, option->level, option->option, &value, sizeof value) == 0 ? one(L) : failed(L, -errno);
}

static int get_option(lua_State *L, int fd, const struct option *option) {
  int value = 0;
  socklen_t size = sizeof value;
  if (getsockopt(fd, option->level, option->option, &value, &size) != 0)
    return failed(L, -errno);
  if (option->kind == KIND_SWITCH)
    lua_pushboolean(L, value != 0);
  else
    lua_pushinteger(L, value);
  return 1;
}

int socket_setoption(lua_State *L) {
  struct script_socket *socket = socket_check(L, 1);
  const struct option *option = check_option(L, 2, false);
  int value = check_option_value(L, 3, option->kind);
  if (socket->stream == NULL)
    return socket_nil_closed(L);
  socket->probed |= is_of_probes(option);
  return set_option(L, socket->stream->fd, option, value);
}

int socket_getoption(lua_State *L) {
  const struct script_socket *socket = socket_check(L, 1);
  const struct option *option = check_option(L, 2, false);
  return socket->stream == NULL ? socket_nil_closed(L) : get_option(L, socket->stream->fd, option);
}

int socket_set_option_of(lua_State *L, int fd) {
  const struct option *option = check_option(L, 2, true);
  return set_option(L, fd, option, check_option_value(L, 3, option->kind));
}

int socket_get_option_of(lua_State *L, int fd) { return get_option(L, fd, check_option(L, 2, true)); }

/* Bytes received, bytes sent, seconds: of the wire, TLS's own bytes included. */
int socket_getstats(lua_State *L) {
  const struct script_socket *socket = socket_check(L, 1);
  struct loop *loop = socket->state->place->loop;
  const struct exchange *exchange = socket->is_client ? script_run_exchange(socket->run) : NULL;
  const struct byte_count count = exchange != NULL ? exchange_bytes(exchange) : socket->tally.own;
  clock_ms since = exchange != NULL ? exchange->began : socket->opened;
  lua_pushnumber(L, (lua_Number)count.in);
  lua_pushnumber(L, (lua_Number)count.out);
  lua_pushnumber(L, (lua_Number)(loop_now(loop) - since) / 1000);
  return 3;
}
