/* SPDX-License-Identifier: MIT
 *
 * A socket before it is connected, for lua/moongate/luasocket/tcp.lua: options that it is to have, a local address, and
 * connecting it without waiting. Once it is connected it becomes a socket of Lua's like any other. None of it waits;
 * who has to, waits by core.select. */
#include "connection/connection.h"
#include "dial/dial.h"
#include "luasocket/socket.h"
#include "script/arguments.h"
#include "script/worker_script.h"

#include <errno.h>
#include <lauxlib.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

struct open_socket {
  int fd;                /* -1: closed, or another socket's by now */
  struct list_node node; /* while it is open, in run->opened, if it is a connection's */
};

static const char open_type[] = "moongate.open_socket";

static struct open_socket *open_socket_check(lua_State *L) { return luaL_checkudata(L, 1, open_type); }

bool open_socket_descriptor(lua_State *L, int index, int *fd) {
  if (!lua_getmetatable(L, index))
    return false;
  luaL_getmetatable(L, open_type);
  bool is_one = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  if (is_one)
    *fd = ((struct open_socket *)lua_touserdata(L, index))->fd;
  return is_one;
}

/* LuaSocket's words, where it has its own. */
static const char *open_error_text(int error) {
  switch (error) {
  case EADDRINUSE:
    return "address already in use";
  case EISCONN:
    return "already connected";
  case EACCES:
    return "permission denied";
  case ECONNREFUSED:
    return "connection refused";
  case ECONNABORTED:
  case ECONNRESET:
    return "closed";
  case ETIMEDOUT:
    return "timeout";
  default:
    return strerror(error);
  }
}

static int push_open_failure(lua_State *L, int error) {
  lua_pushnil(L);
  lua_pushstring(L, open_error_text(error));
  return 2;
}

static int push_one(lua_State *L) {
  lua_pushinteger(L, 1);
  return 1;
}

static void close_open_socket(struct open_socket *opened) {
  if (opened->fd >= 0)
    close(opened->fd);
  opened->fd = -1;
  list_remove(&opened->node);
}

void open_sockets_close(struct list_node *opened) {
  while (!list_is_empty(opened))
    close_open_socket(LIST_OWNER(opened->next, struct open_socket, node));
}

static int open_close(lua_State *L) {
  close_open_socket(open_socket_check(L));
  return push_one(L);
}

/* open:bind(address, port), open:connect(address, port): a literal address, or a path and no port. 0 or an errno. */
static int check_endpoint(lua_State *L, struct endpoint *endpoint) {
  const char *host = argument_text(L, 2);
  if (host == NULL)
    return EINVAL;
  if (lua_isnoneornil(L, 3))
    return -endpoint_from_unix_path(endpoint, host);
  return -endpoint_from_literal(endpoint, host, (uint16_t)luaL_checkinteger(L, 3));
}

static int open_bind(lua_State *L) {
  const struct open_socket *opened = open_socket_check(L);
  struct endpoint endpoint;
  int error = check_endpoint(L, &endpoint);
  if (error == 0 && bind(opened->fd, (const struct sockaddr *)&endpoint.storage, endpoint.length) != 0)
    error = errno;
  return error == 0 ? push_one(L) : push_open_failure(L, error);
}

/* A connection to a port on which nobody listens may get that very port as its own (dial/dial.c). */
static bool is_of_itself(int fd) {
  struct sockaddr_storage own = {0}, peer = {0};
  socklen_t own_size = sizeof own, peer_size = sizeof peer;
  return getsockname(fd, (struct sockaddr *)&own, &own_size) == 0 &&
         getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0 && own.ss_family != AF_UNIX &&
         own_size == peer_size && memcmp(&own, &peer, own_size) == 0;
}

/* 1 when it is connected, false when it will be. */
static int open_connect(lua_State *L) {
  const struct open_socket *opened = open_socket_check(L);
  struct endpoint endpoint;
  int error = check_endpoint(L, &endpoint);
  if (error == 0 && connect(opened->fd, (const struct sockaddr *)&endpoint.storage, endpoint.length) != 0)
    error = errno;
  if (error == 0 && is_of_itself(opened->fd))
    error = ECONNREFUSED;
  if (error != EINPROGRESS && error != EINTR)
    return error == 0 ? push_one(L) : push_open_failure(L, error);
  lua_pushboolean(L, false);
  return 1;
}

/* What came of connecting: 1, or nil and why it failed. Once it is writable. */
static int open_connected(lua_State *L) {
  const struct open_socket *opened = open_socket_check(L);
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(opened->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  if (error == 0 && is_of_itself(opened->fd))
    error = ECONNREFUSED;
  return error == 0 ? push_one(L) : push_open_failure(L, error);
}

static int open_setoption(lua_State *L) { return socket_set_option_of(L, open_socket_check(L)->fd); }
static int open_getoption(lua_State *L) { return socket_get_option_of(L, open_socket_check(L)->fd); }

static int peer_name(int fd, struct sockaddr *address, socklen_t *length) { return getpeername(fd, address, length); }
static int own_name(int fd, struct sockaddr *address, socklen_t *length) { return getsockname(fd, address, length); }

static int open_getpeername(lua_State *L) { return socket_push_name(L, open_socket_check(L)->fd, peer_name); }
static int open_getsockname(lua_State *L) { return socket_push_name(L, open_socket_check(L)->fd, own_name); }

static int open_getfd(lua_State *L) {
  lua_pushinteger(L, open_socket_check(L)->fd);
  return 1;
}

/* open:become(): a socket of Lua's, connected or about to be; this one is none any more. */
static int open_become(lua_State *L) {
  struct open_socket *opened = open_socket_check(L);
  struct script_task *task = task_running(L);
  struct script_state *state = script_state_of(L);
  int status = socket_push_own(state, L, opened->fd, task != NULL ? task->run : NULL);
  if (status != 0)
    return push_open_failure(L, -status);
  opened->fd = -1;
  list_remove(&opened->node);
  (*(struct script_socket **)lua_touserdata(L, -1))->has_long_lines = true;
  return 1;
}

static void push_open_metatable(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"bind", open_bind},
      {"connect", open_connect},
      {"connected", open_connected},
      {"setoption", open_setoption},
      {"getoption", open_getoption},
      {"getpeername", open_getpeername},
      {"getfd", open_getfd},
      {"getsockname", open_getsockname},
      {"become", open_become},
      {"close", open_close},
      {NULL, NULL},
  };
  if (!luaL_newmetatable(L, open_type))
    return;
  lua_newtable(L);
  luaL_register(L, NULL, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, open_close);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "moongate.open_socket");
  lua_setfield(L, -2, "__metatable");
}

/* A descriptor that scripts may have, or a negative errno. */
static int open_descriptor(const struct dialer *dialer, int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  if (!dialer->descriptors || fd < dialer->descriptors)
    return fd;
  close(fd);
  return -EMFILE;
}

/* core.open_socket("inet" | "inet6" | "unix"): one, or nil and why there is none. */
int core_open_socket(lua_State *L) {
  static const char *const families[] = {"inet", "inet6", "unix", NULL};
  static const int numbers[] = {AF_INET, AF_INET6, AF_UNIX};
  int family = numbers[luaL_checkoption(L, 1, NULL, families)];
  struct script_task *task = task_check(L);
  const struct dialer *dialer = task->state->place->dialer;
  if (dialer == NULL)
    return luaL_error(L, "sockets are not there in this place");
  struct open_socket *opened = lua_newuserdata(L, sizeof *opened);
  opened->fd = -1;
  list_init(&opened->node);
  script_lift_limit(L);
  push_open_metatable(L);
  script_restore_limit(L);
  lua_setmetatable(L, -2);
  int fd = open_descriptor(dialer, family);
  if (fd == -EMFILE && script_has_descriptor(L))
    fd = open_descriptor(dialer, family);
  if (fd == -EMFILE)
    script_report_unopened(task->state, task->run, L, "a script can't open a socket", false);
  if (fd < 0)
    return push_open_failure(L, -fd);
  opened->fd = fd;
  struct script_run *run = task->run;
  if (run != NULL)
    list_add_tail(&run->opened, &opened->node);
  int only = 1; /* LuaSocket's IPv6 sockets are that alone */
  if (family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  return 1;
}

/* core.connected_state(socket, long_lines): how many bytes it has read ahead; and its lines may be long from now on. */
int core_connected_state(lua_State *L) {
  struct script_socket *socket = socket_check(L, 1);
  size_t size;
  if (lua_toboolean(L, 2))
    socket->has_long_lines = true;
  socket_bytes_ahead(socket, &size);
  lua_pushnumber(L, (lua_Number)size);
  return 1;
}

/* core.service("http"): 80, as /etc/services has it; core.service(80): "http". nil: there is none. */
int core_service(lua_State *L) {
  struct servent entry, *found = NULL;
  char buffer[1024];
  if (lua_type(L, 1) == LUA_TNUMBER) {
    if (getservbyport_r(htons((uint16_t)lua_tointeger(L, 1)), "tcp", &entry, buffer, sizeof buffer, &found) != 0 ||
        found == NULL)
      return 0;
    lua_pushstring(L, found->s_name);
    return 1;
  }
  const char *name = argument_text(L, 1);
  if (name == NULL || getservbyname_r(name, "tcp", &entry, buffer, sizeof buffer, &found) != 0 || found == NULL)
    return 0;
  lua_pushinteger(L, ntohs((uint16_t)found->s_port));
  return 1;
}
