/* SPDX-License-Identifier: MIT
 *
 * The socket as Lua sees it: the userdata, and the methods that never wait. Reading, sending, joining and ending are in
 * files of their own. */
#include "connection/connection.h"
#include "luasocket/socket.h"
#include "script/arguments.h"
#include "script/worker_script.h"

#include <errno.h>
#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char type_name[] = "moongate.socket";

static void *check_userdata(lua_State *L, int index) {
  bool ok = false;
  if (lua_type(L, index) == LUA_TUSERDATA && lua_getmetatable(L, index)) {
    ok = lua_topointer(L, -1) == script_state_of(L)->socket_metatable;
    lua_pop(L, 1);
  }
  argument_check(L, ok, index, "a socket");
  return lua_touserdata(L, index);
}

struct script_socket *socket_check(lua_State *L, int index) {
  return socket_check_userdata(L, check_userdata(L, index));
}

struct script_socket *socket_check_userdata(lua_State *L, void *userdata) {
  struct script_socket *socket = *(struct script_socket **)userdata;
  struct script_task *task = task_running(L);
  if (socket == NULL) /* its finalizer has run */
    luaL_error(L, "this socket is gone: nothing held it any more (a table with weak keys does not)");
  if (socket->run != NULL && (task == NULL || task->run != socket->run))
    luaL_error(L, "this socket belongs to another connection: only the handler that got it may use it");
  return socket;
}

int socket_nil_closed(lua_State *L) {
  lua_pushnil(L);
  lua_pushliteral(L, "closed");
  return 2;
}

/* Nobody in Lua has it any more. */
static void socket_let_go(struct script_socket *socket) {
  list_remove(&socket->held);
  if (socket->piped)
    task_disarm(socket->piped);
  socket_flows_let_go(socket);
  task_disarm(&socket->reader.wait);
  task_disarm(&socket->writer.wait);
  if (socket->stream != NULL)
    socket_close(socket);
  if (socket->is_client && socket->run != NULL)
    socket->run->socket = NULL;
  list_remove(&socket->mine);
  socket->run = NULL;
  socket_collected(socket);
}

/* LuaJIT calls it also where no memory is left (state.c). The userdata may be seen again afterwards: as a key of a
 * table with weak keys it stays until it is freed. */
static int on_collect(lua_State *L) {
  struct script_socket **place = lua_touserdata(L, 1);
  struct script_socket *socket = *place;
  *place = NULL;
  if (socket != NULL)
    socket_let_go(socket);
  return 0;
}

void script_sockets_let_go(struct script_state *state) {
  LIST_FOREACH(node, &state->sockets) { socket_let_go(LIST_OWNER(node, struct script_socket, held)); }
}

static int socket_method_close(lua_State *L) {
  struct script_socket *socket = socket_check(L, 1);
  if (socket->stream == NULL)
    return socket_nil_closed(L);
  if (socket->piped)
    return luaL_error(L, "the socket is busy: it is joined to another by pipe()");
  socket_flows_end(socket);
  socket->cut_short = false; /* by the script's own will */
  socket_close(socket);
  lua_pushinteger(L, 1);
  return 1;
}

enum side { SIDE_BOTH, SIDE_SEND, SIDE_RECEIVE };

static enum side check_side(lua_State *L, int index) {
  const char *word = lua_isnoneornil(L, index) ? "both" : lua_tostring(L, index);
  if (word != NULL && strcmp(word, "send") == 0)
    return SIDE_SEND;
  if (word != NULL && strcmp(word, "receive") == 0)
    return SIDE_RECEIVE;
  if (word == NULL || strcmp(word, "both") != 0)
    argument_error(L, index, "\"send\", \"receive\" or \"both\"");
  return SIDE_BOTH;
}

static int socket_method_shutdown(lua_State *L) {
  struct script_socket *socket = socket_check(L, 1);
  enum side side = check_side(L, 2);
  if (socket->stream == NULL)
    return socket_nil_closed(L);
  if (side != SIDE_RECEIVE && socket_has_writer(socket))
    return luaL_error(L, "the socket is busy: another task is sending on it");
  if (side != SIDE_SEND && socket->piped)
    return luaL_error(L, "the socket is busy: it is joined to another by pipe()");
  if (side != SIDE_RECEIVE && !socket->shut_send) {
    socket->cut_short = false;
    socket->shut_send = true;
    int status = stream_shutdown(socket->stream);
    if (status < 0) {
      lua_pushnil(L);
      lua_pushstring(L, socket_failure_text(status));
      return 2;
    }
  }
  if (side != SIDE_SEND) {
    socket->shut_receive = true;
    loop_defer(socket->state->place->loop, &socket->wake);
  }
  lua_pushinteger(L, 1);
  return 1;
}

static int push_endpoint(lua_State *L, const struct endpoint *endpoint) {
  char text[ENDPOINT_TEXT_SIZE];
  struct ip_address address;
  ip_address_from_sockaddr(&address, (const struct sockaddr *)&endpoint->storage);
  if (!address.is_set) {
    lua_pushstring(L, endpoint_format(endpoint, text));
    return 1;
  }
  lua_pushstring(L, ip_address_format(&address, text));
  lua_pushinteger(L, address.port);
  lua_pushstring(L, ip_address_is_ipv4(&address) ? "inet" : "inet6");
  return 3;
}

int socket_push_name(lua_State *L, int fd, int (*name)(int, struct sockaddr *, socklen_t *)) {
  struct endpoint endpoint = {.length = sizeof endpoint.storage};
  if (name(fd, (struct sockaddr *)&endpoint.storage, &endpoint.length) != 0) {
    lua_pushnil(L);
    lua_pushstring(L, socket_error_text(-errno));
    return 2;
  }
  return push_endpoint(L, &endpoint);
}

static int push_name(lua_State *L, int (*name)(int, struct sockaddr *, socklen_t *)) {
  struct script_socket *socket = socket_check(L, 1);
  return socket->stream == NULL ? socket_nil_closed(L) : socket_push_name(L, socket->stream->fd, name);
}

static int peer_of(int fd, struct sockaddr *address, socklen_t *length) { return getpeername(fd, address, length); }
static int self_of(int fd, struct sockaddr *address, socklen_t *length) { return getsockname(fd, address, length); }

/* The client's address is the connection's word: not always the one on the wire. */
static int socket_getpeername(lua_State *L) {
  struct script_socket *socket = socket_check(L, 1);
  if (socket->stream == NULL || !socket->is_client)
    return push_name(L, peer_of);
  const struct ip_address *address = &socket->run->exchange->connection->client_address;
  char text[ADDRESS_TEXT_SIZE];
  lua_pushstring(L, ip_address_format(address, text));
  lua_pushinteger(L, address->port);
  lua_pushstring(L, ip_address_is_ipv4(address) ? "inet" : "inet6");
  return 3;
}

static int socket_getsockname(lua_State *L) { return push_name(L, self_of); }

/* Of no use but to tell sockets apart: the event loop has it. */
static int socket_getfd(lua_State *L) {
  const struct script_socket *socket = socket_check(L, 1);
  lua_pushinteger(L, socket->stream != NULL ? socket->stream->fd : -1);
  return 1;
}

static int socket_dirty(lua_State *L) {
  size_t size;
  socket_bytes_ahead(socket_check(L, 1), &size);
  lua_pushboolean(L, size > 0);
  return 1;
}

static int socket_tostring(lua_State *L) {
  const struct script_socket *socket = *(struct script_socket **)luaL_checkudata(L, 1, type_name);
  bool is_closed = socket == NULL || socket->stream == NULL;
  lua_pushfstring(L, "socket (%s)", is_closed ? "closed" : socket->is_client ? "client" : "connected");
  return 1;
}

const luaL_Reg socket_methods[] = {
    {"receive", socket_receive},
    {"receiveany", socket_receiveany},
    {"peek", socket_peek},
    {"lines", socket_lines},
    {"send", socket_send},
    {"pipe", socket_pipe},
    {"receiveuntil", socket_receiveuntil},
    {"starttls", socket_starttls},
    {"tls", socket_tls},
    {"settimeout", socket_settimeout},
    {"gettimeout", socket_gettimeout},
    {"setoption", socket_setoption},
    {"getoption", socket_getoption},
    {"getstats", socket_getstats},
    {"shutdown", socket_method_shutdown},
    {"getpeername", socket_getpeername},
    {"getsockname", socket_getsockname},
    {"getfd", socket_getfd},
    {"dirty", socket_dirty},
    {"close", socket_method_close},
    {NULL, NULL},
};

static void push_socket_metatable(lua_State *L) {
  if (!luaL_newmetatable(L, type_name))
    return;
  script_state_of(L)->socket_metatable = lua_topointer(L, -1);
  lua_newtable(L);
  luaL_register(L, NULL, socket_methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, on_collect);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, socket_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushliteral(L, "moongate.socket");
  lua_setfield(L, -2, "__metatable");
}

struct script_socket **socket_push_empty(lua_State *L) {
  struct script_socket **place = lua_newuserdata(L, sizeof *place);
  *place = NULL;
  script_lift_limit(L);
  push_socket_metatable(L);
  script_restore_limit(L);
  lua_setmetatable(L, -2);
  return place;
}

int socket_fill(struct script_socket **place, struct script_state *state, int fd, struct script_run *run) {
  struct script_socket *socket = calloc(1, sizeof *socket + sizeof socket->own[0]);
  int status =
      socket != NULL ? stream_open(socket->own, state->place->loop, fd, &socket->tally, STREAM_WRITABLE) : -ENOMEM;
  if (status != 0) {
    free(socket);
    return status;
  }
  socket->stream = socket->own;
  socket->run = run;
  socket_prepare(socket, state);
  socket_watch(socket);
  if (run != NULL)
    list_add_tail(&run->sockets, &socket->mine);
  *place = socket;
  return 0;
}

int socket_push_own(struct script_state *state, lua_State *L, int fd, struct script_run *run) {
  struct script_socket **place = socket_push_empty(L);
  int status = socket_fill(place, state, fd, run);
  if (status != 0)
    lua_pop(L, 1);
  return status;
}

int script_push_socket(struct script_state *state, lua_State *L, int fd) { return socket_push_own(state, L, fd, NULL); }

struct script_socket *socket_push_client(struct script_state *state, lua_State *L, struct script_run *run,
                                         struct stream *client) {
  struct script_socket **place = socket_push_empty(L);
  struct script_socket *socket = calloc(1, sizeof *socket);
  if (socket == NULL) {
    lua_pop(L, 1);
    return NULL;
  }
  socket->is_client = true;
  socket->run = run;
  socket->stream = client;
  socket_prepare(socket, state);
  *place = socket;
  return socket;
}
