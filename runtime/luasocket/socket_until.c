/* SPDX-License-Identifier: MIT
 *
 * receiveuntil: reading up to a string, whole or in pieces, with OpenResty's conventions for the reader that it
 * returns. The string is searched for once over each byte, whatever segments it comes in (Knuth, Morris and Pratt
 * 1977). */
#include "luasocket/socket.h"
#include "script/arguments.h"

#include <lauxlib.h>
#include <string.h>

struct socket_pattern {
  size_t size;
  bool inclusive;
  bool came;      /* the string, in this call */
  bool over;      /* … in the last one; a reader of pieces has still to say so */
  uint16_t *fall; /* behind the bytes: how much of the string still matches when the next byte does not */
  uint8_t bytes[];
};

/* The string has come when all of it matches; what certainly stands before it may be handed out earlier. */
bool socket_has_until(struct script_socket *socket) {
  struct socket_reader *reader = &socket->reader;
  struct socket_pattern *pattern = reader->pattern;
  size_t size;
  const uint8_t *bytes = socket_bytes_ahead(socket, &size);
  if (pattern->over)
    return true;
  while (reader->scanned < size && reader->matched < pattern->size) {
    if (reader->size > 0 && reader->scanned - reader->matched >= reader->size)
      break;
    uint8_t byte = bytes[reader->scanned++];
    while (reader->matched > 0 && pattern->bytes[reader->matched] != byte)
      reader->matched = pattern->fall[reader->matched - 1];
    if (pattern->bytes[reader->matched] == byte)
      reader->matched++;
  }
  size_t before = reader->scanned - reader->matched;
  if (reader->size > 0 && before >= reader->size) {
    reader->found = reader->size;
    return true;
  }
  if (reader->matched == pattern->size) {
    reader->found = pattern->inclusive ? reader->scanned : before;
    reader->dropped = reader->scanned - reader->found;
    pattern->came = true;
    return true;
  }
  if (size > socket_most_bytes(socket)) {
    reader->error = "too much data";
    return true;
  }
  reader->found = size;
  return false;
}

/* A reader of pieces says nil once, behind the last one; then it begins anew. */
bool socket_until_is_over(struct script_socket *socket) {
  struct socket_pattern *pattern = socket->reader.pattern;
  bool over = pattern->over;
  pattern->over = pattern->came && socket->reader.size > 0;
  pattern->came = false;
  return over;
}

/* What receiveuntil() returns: upvalues are the socket and the pattern, the argument is the size of a piece. */
static int read_until(lua_State *L) {
  lua_Number size = argument_opt_number(L, 1, 0);
  if (!(size >= 0))
    argument_error(L, 1, "a number of bytes");
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, lua_upvalueindex(2));
  struct script_socket *socket = socket_begin_reading(L);
  struct socket_pattern *pattern = lua_touserdata(L, 2);
  lua_Number most = (lua_Number)socket_most_bytes(socket);
  socket->reader.wanted = WANTED_UNTIL;
  socket->reader.pattern = pattern;
  socket->reader.size = (size_t)(size < most ? size : most);
  return socket_perform_reading(L, socket);
}

static bool check_inclusive(lua_State *L, int index) {
  static const char *const known[] = {"inclusive", NULL};
  if (lua_isnoneornil(L, index))
    return false;
  argument_check(L, lua_istable(L, index), index, "a table of options");
  argument_check_options(L, index, known);
  lua_getfield(L, index, "inclusive");
  if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
    argument_error(L, index, lua_pushfstring(L, "inclusive = true or false expected, got %s", luaL_typename(L, -1)));
  bool inclusive = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return inclusive;
}

static void prepare_pattern(struct socket_pattern *pattern) {
  uint16_t matched = 0;
  pattern->fall[0] = 0;
  for (size_t i = 1; i < pattern->size; i++) {
    while (matched > 0 && pattern->bytes[matched] != pattern->bytes[i])
      matched = pattern->fall[matched - 1];
    if (pattern->bytes[matched] == pattern->bytes[i])
      matched++;
    pattern->fall[i] = matched;
  }
}

int socket_receiveuntil(lua_State *L) {
  size_t size;
  socket_check(L, 1);
  const char *bytes = argument_check_string(L, 2, &size);
  if (size == 0 || size > SOCKET_MAX_PATTERN)
    argument_error(L, 2, "a string of 1 to 4096 bytes to read up to");
  bool inclusive = check_inclusive(L, 3);
  size_t room = (size + 1) & ~(size_t)1;
  lua_pushvalue(L, 1);
  struct socket_pattern *pattern = lua_newuserdata(L, sizeof *pattern + room + size * sizeof pattern->fall[0]);
  *pattern = (struct socket_pattern){.size = size, .inclusive = inclusive};
  pattern->fall = (uint16_t *)(void *)(pattern->bytes + room);
  memcpy(pattern->bytes, bytes, size);
  prepare_pattern(pattern);
  lua_pushcclosure(L, read_until, 2);
  return 1;
}
