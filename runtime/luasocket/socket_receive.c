/* SPDX-License-Identifier: MIT
 *
 * Reading: receive, receiveany, peek, lines, with LuaSocket's patterns and results. More is read than was asked for,
 * and kept: bytes are never lost. The first read goes into the buffer that all of the place share, so that a socket
 * that is idle, or whose script keeps up, holds none of its own. */
#include "luasocket/socket.h"
#include "script/arguments.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

enum {
  READ_ROUNDS = 16, /* before the others have their turn */
  CHUNK_MIN = 4 * 1024,
  CHUNK_MAX = 256 * 1024,
};
static const size_t MOST_BYTES = (size_t)1 << 30;

/* What one call may bring together: a part of what the state may hold, because it becomes a Lua string then. */
size_t socket_most_bytes(const struct script_socket *socket) {
  size_t memory = (size_t)socket->state->options.memory;
  return memory == 0 ? MOST_BYTES : memory / 4;
}

/* Whether what is ahead is what is wanted. `over`: no more will come. */
static bool is_enough(struct script_socket *socket, bool over) {
  struct socket_reader *reader = &socket->reader;
  size_t size;
  const uint8_t *bytes = socket_bytes_ahead(socket, &size);
  size_t prefix = buffer_size(reader->prefix);
  reader->found = size;
  switch (reader->wanted) {
  case WANTED_COUNT:
    if (prefix + size < reader->size)
      return false;
    reader->found = reader->size > prefix ? reader->size - prefix : 0;
    return true;
  case WANTED_ANY:
    if (size > reader->size)
      reader->found = reader->size;
    return size > 0;
  case WANTED_FEED:
    return size > 0;
  case WANTED_UNTIL:
    return socket_has_until(socket);
  case WANTED_TLS:
    break;
  case WANTED_PEEK:
    if (size > reader->size)
      reader->found = reader->size;
    return size >= reader->size || (over && size > 0);
  case WANTED_ALL:
    if (size > socket_most_bytes(socket))
      reader->error = "too much data";
    return reader->error != NULL || (over && size > 0);
  case WANTED_LINE:
  case WANTED_LAST_LINE: {
    const uint8_t *end = size > reader->scanned ? memchr(bytes + reader->scanned, '\n', size - reader->scanned) : NULL;
    size_t most = socket->has_long_lines ? socket_most_bytes(socket) : SOCKET_MAX_LINE;
    reader->scanned = size;
    if (end != NULL && (size_t)(end - bytes) < most) {
      reader->found = (size_t)(end - bytes) + 1;
      return true;
    }
    if (end != NULL || size >= most) {
      reader->found = most;
      reader->error = "line too long";
      return true;
    }
    return over && size > 0 && reader->wanted == WANTED_LAST_LINE;
  }
  }
  return false;
}

static ssize_t read_more(struct script_socket *socket) {
  struct flow_shared *shared = socket->state->place->pipes;
  size_t have = buffer_size(socket->ahead);
  size_t wants =
      socket->reader.wanted == WANTED_COUNT && socket->reader.size > have ? socket->reader.size - have : CHUNK_MIN;
  if (have == 0 && socket->fresh == NULL && shared != NULL && shared->bytes != NULL && wants <= shared->size) {
    ssize_t got = stream_read(socket->stream, shared->bytes, shared->size);
    if (got > 0) {
      socket->fresh = shared->bytes;
      socket->fresh_size = (size_t)got;
    }
    return got;
  }
  socket_keep_fresh(socket);
  size_t chunk = wants < have ? have : wants; /* twice as much each time */
  chunk = chunk < CHUNK_MIN ? CHUNK_MIN : chunk > CHUNK_MAX ? CHUNK_MAX : chunk;
  if (script_buffer_is_too_large(socket->state, socket->ahead, chunk))
    return -ENOMEM;
  uint8_t *bytes = buffer_reserve(&socket->ahead, chunk);
  socket_count_ahead(socket);
  if (bytes == NULL)
    return -ENOMEM;
  ssize_t got = stream_read(socket->stream, bytes, chunk);
  if (got > 0)
    buffer_commit(socket->ahead, (size_t)got);
  return got;
}

bool socket_read_on(struct script_socket *socket) {
  struct socket_reader *reader = &socket->reader;
  reader->error = NULL;
  if (reader->wanted == WANTED_TLS)
    return socket_shake_on(socket);
  for (int round = 0;; round++) {
    if (socket->stream == NULL) {
      socket_consume(socket, buffer_size(socket->ahead));
      reader->error = "closed";
      return true;
    }
    bool over = socket->ended || socket->shut_receive || socket->failure != NULL;
    if (is_enough(socket, over && socket->failure == NULL))
      return true;
    if (over) {
      reader->error = socket->failure != NULL ? socket->failure : "closed";
      return true;
    }
    if (!stream_may_read(socket->stream))
      break;
    if (round == READ_ROUNDS) {
      loop_defer(socket->state->place->loop, &socket->wake);
      break;
    }
    ssize_t got = read_more(socket);
    if (got > 0) {
      socket_touch(socket, reader->wait.task);
      socket_restart_step(socket, true);
    } else if (got == 0)
      socket->ended = true;
    else if (got == STREAM_WANT_READ || got == STREAM_WANT_WRITE)
      break;
    else
      socket->failure = socket_failure_text((int)got);
  }
  socket_keep_fresh(socket);
  return false;
}

/* LuaSocket drops every CR of a line, wherever it stands. */
static void push_received_line(lua_State *L, const char *prefix, size_t prefix_size, const char *bytes, size_t size) {
  if (size > 0 && bytes[size - 1] == '\n')
    size--;
  if (size > 0 && bytes[size - 1] == '\r')
    size--;
  if (prefix_size == 0 && (size == 0 || memchr(bytes, '\r', size) == NULL)) {
    lua_pushlstring(L, bytes, size);
    return;
  }
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  luaL_addlstring(&buffer, prefix, prefix_size);
  while (size > 0) {
    const char *cr = memchr(bytes, '\r', size);
    size_t run = cr != NULL ? (size_t)(cr - bytes) : size;
    luaL_addlstring(&buffer, bytes, run);
    run += cr != NULL;
    bytes += run;
    size -= run;
  }
  luaL_pushresult(&buffer);
}

static void push_found_bytes(lua_State *L, struct script_socket *socket) {
  struct socket_reader *reader = &socket->reader;
  size_t size;
  const char *bytes = (const char *)socket_bytes_ahead(socket, &size);
  size_t prefix_size = buffer_size(reader->prefix);
  const char *prefix = prefix_size > 0 ? (const char *)buffer_bytes(reader->prefix) : "";
  if (bytes == NULL)
    bytes = "";
  if (reader->wanted == WANTED_LINE || reader->wanted == WANTED_LAST_LINE) {
    push_received_line(L, prefix, prefix_size, bytes, reader->found);
  } else if (prefix_size == 0) {
    lua_pushlstring(L, bytes, reader->found);
  } else {
    lua_pushlstring(L, prefix, prefix_size);
    lua_pushlstring(L, bytes, reader->found);
    lua_concat(L, 2);
  }
}

int socket_feed(struct script_socket *socket) {
  size_t size, consumed = 0;
  const uint8_t *bytes = socket_bytes_ahead(socket, &size);
  int result =
      socket->reader.feed(socket->reader.feed_context, bytes != NULL ? (const void *)bytes : "", size, &consumed);
  socket_consume(socket, consumed);
  socket_keep_fresh(socket);
  return result;
}

/* The data; or nil, why, and what there is of it. */
int socket_push_received(lua_State *L, void *context) {
  struct script_socket *socket = context;
  struct socket_reader *reader = &socket->reader;
  const char *error = reader->error;
  if (reader->wanted == WANTED_TLS)
    return socket_push_shaken(L, socket);
  if (reader->wanted == WANTED_FEED) {
    if (error == NULL) {
      lua_pushinteger(L, socket_feed(socket));
      return 1;
    }
    reader->error = NULL;
    lua_pushnil(L);
    lua_pushstring(L, error);
    return 2;
  }
  if (error == NULL && reader->wanted == WANTED_UNTIL && socket_until_is_over(socket)) {
    lua_pushnil(L);
    return 1;
  }
  if (error != NULL) {
    lua_pushnil(L);
    lua_pushstring(L, error);
    if (reader->wanted != WANTED_ALL && strcmp(error, "line too long") != 0)
      socket_bytes_ahead(socket, &reader->found);
    if (reader->wanted == WANTED_UNTIL && strcmp(error, "timeout") == 0)
      reader->found = reader->scanned - reader->matched; /* a part of the string stays, for the rest to come */
  }
  push_found_bytes(L, socket);
  if (reader->wanted != WANTED_PEEK)
    socket_consume(socket, reader->found + (error == NULL ? reader->dropped : 0));
  reader->dropped = 0;
  socket_keep_fresh(socket);
  buffer_free(reader->prefix);
  reader->prefix = NULL;
  reader->error = NULL;
  return error != NULL ? 3 : 1;
}

static void prepare_reader(struct script_socket *socket) {
  buffer_free(socket->reader.prefix); /* of a call that raised */
  socket->reader.prefix = NULL;
  socket->reader.scanned = 0;
  socket->reader.size = 0;
  socket->reader.dropped = 0;
  socket->reader.matched = 0;
}

static void begin_reading(lua_State *L, struct script_socket *socket) {
  if (socket_has_reader(socket))
    luaL_error(L, "the socket is busy: another task is reading from it");
  prepare_reader(socket);
}

bool socket_is_readable(struct script_socket *socket) {
  prepare_reader(socket);
  socket->reader.wanted = WANTED_PEEK;
  socket->reader.size = 1;
  if (socket->stream != NULL)
    socket->stream->readiness |= STREAM_READABLE; /* who polls wants to know */
  bool is_readable = socket_read_on(socket);
  socket_keep_fresh(socket);
  socket->reader.error = NULL;
  return is_readable;
}

struct script_socket *socket_begin_reading(lua_State *L) {
  task_enter(L);
  struct script_socket *socket = socket_check(L, 1);
  begin_reading(L, socket);
  return socket;
}

int socket_receive_into(lua_State *L, struct script_socket *socket, socket_feed_fn *feed, void *context) {
  task_enter(L);
  begin_reading(L, socket);
  socket->reader.wanted = WANTED_FEED;
  socket->reader.feed = feed;
  socket->reader.feed_context = context;
  return socket_perform_reading(L, socket);
}

int socket_perform_reading(lua_State *L, struct script_socket *socket) {
  struct script_task *task = task_running(L);
  bool polls = socket_polls(&socket->receive_time);
  if (polls && socket->stream != NULL)
    socket->stream->readiness |= STREAM_READABLE; /* who polls wants to know, not to hear of it in the next event */
  if (socket_read_on(socket)) {
    if (!task_has_had_its_turn(task) || !lua_isyieldable(L))
      return socket_push_received(L, socket);
    socket_keep_fresh(socket);
    socket->reader.scanned = socket->reader.matched = socket->reader.dropped = 0;
    return socket_wait_to_read(L, socket, true);
  }
  if (polls) {
    socket->reader.error = "timeout";
    return socket_push_received(L, socket);
  }
  task_check(L);
  return socket_wait_to_read(L, socket, false);
}

/* Without its '*'; "" for what is no pattern. */
static const char *pattern_at(lua_State *L, int index) {
  if (lua_isnoneornil(L, index))
    return "l";
  const char *pattern = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
  return pattern + (*pattern == '*');
}

static void check_pattern(lua_State *L, int index, struct script_socket *socket) {
  struct socket_reader *reader = &socket->reader;
  if (lua_isnumber(L, index)) {
    lua_Number count = lua_tonumber(L, index);
    if (!(count >= 0 && count <= (lua_Number)socket_most_bytes(socket)))
      argument_error(L, index, "a number of bytes, at most a quarter of limits.script_memory");
    reader->wanted = WANTED_COUNT;
    reader->size = (size_t)count;
    return;
  }
  const char *pattern = pattern_at(L, index);
  if (*pattern == 'l')
    reader->wanted = WANTED_LINE;
  else if (*pattern == 'a')
    reader->wanted = WANTED_ALL;
  else
    argument_error(L, index, "\"*l\", \"*a\" or a number of bytes");
}

int socket_receive(lua_State *L) {
  struct script_socket *socket = socket_begin_reading(L);
  check_pattern(L, 2, socket);
  size_t size = 0;
  const char *prefix = lua_isnoneornil(L, 3) ? "" : argument_check_string(L, 3, &size);
  if (size > 0 && (socket->reader.prefix = buffer_new(prefix, size, 0)) == NULL)
    return luaL_error(L, "out of memory");
  return socket_perform_reading(L, socket);
}

int socket_receiveany(lua_State *L) {
  struct script_socket *socket = socket_begin_reading(L);
  lua_Number most = argument_opt_number(L, 2, 64 * 1024);
  if (!(most >= 1))
    argument_error(L, 2, "a number of bytes above 0");
  socket->reader.wanted = WANTED_ANY;
  socket->reader.size = most < (lua_Number)MOST_BYTES ? (size_t)most : MOST_BYTES;
  return socket_perform_reading(L, socket);
}

int socket_peek(lua_State *L) {
  struct script_socket *socket = socket_begin_reading(L);
  lua_Number size = argument_opt_number(L, 2, 1);
  if (!(size >= 1 && size <= SOCKET_MAX_PEEK))
    argument_error(L, 2, "a number of bytes from 1 to 1048576");
  socket->reader.wanted = WANTED_PEEK;
  socket->reader.size = (size_t)size;
  return socket_perform_reading(L, socket);
}

/* What lines() returns; upvalue 1 is the socket. The loop's own arguments are of no interest. */
static int next_line(lua_State *L) {
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(1));
  struct script_socket *socket = socket_begin_reading(L);
  socket->reader.wanted = WANTED_LAST_LINE;
  return socket_perform_reading(L, socket);
}

int socket_lines(lua_State *L) {
  socket_check(L, 1);
  if (*pattern_at(L, 2) != 'l')
    argument_error(L, 2, "\"*l\", or nothing: for anything else there is receive()");
  lua_settop(L, 1);
  lua_pushcclosure(L, next_line, 1);
  return 1;
}
