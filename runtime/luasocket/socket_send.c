/* SPDX-License-Identifier: MIT
 *
 * Sending: a string, a part of one, or a table of strings, as LuaSocket has it. What the kernel does not take at once
 * waits in the Lua string itself, kept alive by the coroutine: nothing is copied or queued. */
#include "luasocket/socket.h"
#include "script/arguments.h"

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

enum { SMALL = 4 * 1024 }; /* a table that is copied rather than made a Lua string */

bool socket_write_on(struct script_socket *socket) {
  struct socket_writer *writer = &socket->writer;
  writer->error = NULL;
  while (writer->next < writer->end) {
    if (socket->stream == NULL || socket->shut_send) {
      writer->error = "closed";
      return true;
    }
    if (!(socket->stream->readiness & STREAM_WRITABLE))
      return false;
    ssize_t put = stream_write(socket->stream, writer->bytes + writer->next, writer->end - writer->next);
    if (put == STREAM_WANT_WRITE || put == STREAM_WANT_READ)
      return false;
    if (put < 0) {
      writer->error = socket_failure_text((int)put);
      return true;
    }
    writer->next += (size_t)put;
    socket_touch(socket, writer->wait.task);
    socket_restart_step(socket, false);
  }
  return true;
}

/* The index of the last byte sent; or nil, why, and that index. */
int socket_push_sent(lua_State *L, void *context) {
  struct script_socket *socket = context;
  const struct socket_writer *writer = &socket->writer;
  if (writer->error == NULL) {
    lua_pushnumber(L, (lua_Number)writer->next);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, writer->error);
  lua_pushnumber(L, (lua_Number)writer->next);
  return 3;
}

/* Puts all strings of the table at 2 in its place. */
static void join_table(lua_State *L) {
  luaL_Buffer buffer;
  int count = (int)lua_objlen(L, 2);
  luaL_buffinit(L, &buffer);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, 2, i);
    if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
      argument_error(L, 2, lua_pushfstring(L, "element %d is a %s, not a string", i, luaL_typename(L, -1)));
    luaL_addvalue(&buffer);
  }
  luaL_pushresult(&buffer);
  lua_replace(L, 2);
}

/* Copies the strings of the table at 2 together. Their size; 0 when it is none, or they are more than there is room
 * for, or what is in it is not all strings. */
static size_t gather_table(lua_State *L, char bytes[SMALL]) {
  size_t size = 0;
  int count = (int)lua_objlen(L, 2);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, 2, i);
    size_t length = 0;
    const char *part = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
    bool fits = part != NULL && length <= SMALL - size;
    if (fits)
      memcpy(bytes + size, part, length);
    lua_pop(L, 1);
    if (!fits)
      return 0;
    size += length;
  }
  return size;
}

static size_t position(lua_Number index, size_t length) {
  if (index < 0)
    index += (lua_Number)length + 1;
  return index < 0 ? 0 : index > (lua_Number)length ? length : (size_t)index;
}

static void check_idle(lua_State *L, struct script_socket *socket) {
  if (socket_has_writer(socket) || socket_is_shaking(socket))
    luaL_error(L, "the socket is busy: another task is sending on it");
  socket->cut_short = false;
}

/* The writer is set up: sends as much as goes now, and waits for the rest. */
static int perform_sending(lua_State *L, struct script_task *task, struct script_socket *socket) {
  struct socket_writer *writer = &socket->writer;
  bool polls = socket_polls(&socket->send_time);
  if (polls && socket->stream != NULL)
    socket->stream->readiness |= STREAM_WRITABLE; /* who polls wants to know, not to hear of it in the next event */
  bool done = socket_write_on(socket);
  if (done && writer->next == writer->end && socket->stream == NULL)
    writer->error = "closed";
  if (done && (!task_has_had_its_turn(task) || !lua_isyieldable(L)))
    return socket_push_sent(L, socket);
  if (!done && polls) {
    writer->error = "timeout";
    return socket_push_sent(L, socket);
  }
  if (!done)
    task_check(L);
  return socket_wait_to_write(L, socket, done);
}

static bool is_broken(ssize_t put) { return put < 0 && put != STREAM_WANT_WRITE && put != STREAM_WANT_READ; }

static int push_broken(lua_State *L, struct script_socket *socket, ssize_t put) {
  socket->writer.next = 0;
  socket->writer.error = socket_failure_text((int)put);
  return socket_push_sent(L, socket);
}

/* Sends what goes now of the table at 2, before a Lua string is made of it, which mostly nobody needs then. Sets the
 * writer up, but for its bytes; false: nothing is done, or not all. */
static bool send_table(lua_State *L, struct script_socket *socket, ssize_t *put) {
  struct socket_writer *writer = &socket->writer;
  char bytes[SMALL];
  *put = 0;
  if (socket->stream == NULL || socket->shut_send || !(socket->stream->readiness & STREAM_WRITABLE))
    return false;
  size_t size = gather_table(L, bytes);
  if (size == 0)
    return false;
  *put = stream_write(socket->stream, bytes, size);
  if (*put <= 0)
    return false;
  socket_touch(socket, NULL);
  writer->bytes = "";
  writer->from = 0;
  writer->next = writer->end = size;
  return (size_t)*put == size;
}

int socket_send(lua_State *L) {
  struct script_task *task = task_enter(L);
  struct script_socket *socket = socket_check(L, 1);
  struct socket_writer *writer = &socket->writer;
  check_idle(L, socket);
  ssize_t put = 0;
  if (lua_istable(L, 2)) {
    if (lua_isnoneornil(L, 3) && lua_isnoneornil(L, 4) && send_table(L, socket, &put))
      return perform_sending(L, task, socket);
    if (is_broken(put))
      return push_broken(L, socket, put);
    join_table(L);
  }
  size_t length;
  const char *bytes = argument_check_string(L, 2, &length);
  size_t first = position(argument_opt_number(L, 3, 1), length);
  size_t last = position(argument_opt_number(L, 4, -1), length);
  writer->bytes = bytes;
  writer->from = writer->next = first > 0 ? first - 1 : 0;
  writer->end = last > writer->next ? last : writer->next;
  if (put > 0)
    writer->next = (size_t)put;
  return perform_sending(L, task, socket);
}

/* The usual case, that the kernel takes all at once, makes no Lua string of the two. */
int socket_send_parts(lua_State *L, struct script_socket *socket, const struct iovec *head, int body) {
  struct script_task *task = task_enter(L);
  struct socket_writer *writer = &socket->writer;
  check_idle(L, socket);
  size_t size = 0;
  const char *bytes = body != 0 ? lua_tolstring(L, body, &size) : "";
  ssize_t put = 0;
  if (socket->stream != NULL && !socket->shut_send && (socket->stream->readiness & STREAM_WRITABLE)) {
    struct iovec parts[] = {*head, {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size}};
    put = size > 0 ? stream_writev(socket->stream, parts, 2)
                   : stream_write(socket->stream, head->iov_base, head->iov_len);
    if (put > 0)
      socket_touch(socket, NULL);
    else if (is_broken(put))
      return push_broken(L, socket, put);
  }
  size_t sent = put > 0 ? (size_t)put : 0;
  if (sent < head->iov_len) {
    lua_pushlstring(L, (const char *)head->iov_base + sent, head->iov_len - sent);
    if (body != 0) {
      lua_pushvalue(L, body);
      lua_concat(L, 2);
    }
    bytes = lua_tolstring(L, -1, &size);
    sent = 0;
  } else {
    sent -= head->iov_len;
  }
  writer->bytes = bytes;
  writer->from = 0;
  writer->next = sent;
  writer->end = size;
  return perform_sending(L, task, socket);
}
