/* SPDX-License-Identifier: MIT
 *
 * HTTP between a parser and a real socket, as three functions that lua/moongate/http_server.lua calls for a request:
 * one waits and parses where the bytes are, one tells what was asked, one encodes an answer and sends it. They do the
 * usual case. Whatever is out of the ordinary in an answer (also what is wrong with it) is left to Lua. */
#include "bindings/bind_http.h"
#include "connection/connection.h"
#include "luasocket/socket.h"
#include "script/worker_script.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  UP_PARSER = 1,
  UP_SOCKET,
  UP_LINES, /* answer(): "HTTP/1.1 200 OK\r\n" and its like by their status */
  UP_STATUS,
  UP_HEADERS,
  UP_BODY,
  UP_CLOSE,
  UP_VERSION_0 = UP_LINES, /* take() */
  UP_VERSION_1,
  UP_EMPTY,
  MOST_HEADERS = 16,
  MOST_HEAD = 4 * 1024, /* and a small body behind it */
};

static struct http_parser *parser_of(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(UP_PARSER)); }

static struct script_socket *exchange_socket(lua_State *L) {
  return socket_check_userdata(L, lua_touserdata(L, lua_upvalueindex(UP_SOCKET)));
}

/* A socket_feed_fn; returns an enum http_event, never HTTP_EVENT_BODY. */
static int feed_request(void *context, const void *bytes, size_t size, size_t *consumed) {
  struct http_parser *parser = context;
  struct http_request *request = &parser->request;
  http_parser_forget(parser);
  *consumed = 0;
  for (;;) {
    size_t taken;
    enum http_event event = http_request_feed(request, (const char *)bytes + *consumed, size - *consumed, &taken);
    *consumed += taken;
    parser->fed_head = event == HTTP_EVENT_HEAD;
    parser->is_whole = event == HTTP_EVENT_COMPLETE;
    if (event == HTTP_EVENT_BODY) {
      if (http_parser_add_body(parser))
        continue;
      request->status = 503;
      request->reason = "no memory left";
      return HTTP_EVENT_ERROR;
    }
    if (event != HTTP_EVENT_HEAD || !parser->skips_heads || request->chunked || request->length > 0)
      return (int)event;
  }
}

/* The next event, a number, and what there is to say of it: for HTTP_EVENT_ERROR status and reason; or nil and why
 * nothing comes. */
static int exchange_receive(lua_State *L) {
  struct http_parser *parser = parser_of(L);
  struct script_socket *socket = exchange_socket(L);
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(UP_PARSER));
  lua_pushvalue(L, lua_upvalueindex(UP_SOCKET));
  if (parser->fed_head && socket->reader.wait.task == NULL) {
    socket->reader.feed = feed_request;
    socket->reader.feed_context = parser;
    int event = socket_feed(socket);
    if (event != HTTP_EVENT_MORE) {
      lua_pushinteger(L, event);
      return 1;
    }
  }
  return socket_receive_into(L, socket, feed_request, parser);
}

/* "/path?query", or the same behind "http://host" (RFC 9112, 3.2.2), as path and query or nil. */
static void push_target(lua_State *L, struct http_slice target) {
  const char *at = target.bytes, *end = at + target.size;
  const char *mark = memchr(at, '?', target.size), *path_end = mark != NULL ? mark : end;
  lua_pushlstring(L, at, target.size);
  if (*at == '/' && mark == NULL) {
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    return;
  }
  if (*at != '/') {
    const char *slash = memchr(at, '/', (size_t)(path_end - at));
    if (slash != NULL && slash[-1] == ':' && path_end - slash >= 2 && slash[1] == '/') {
      at = memchr(slash + 2, '/', (size_t)(path_end - slash - 2));
      at = at != NULL ? at : path_end;
    }
  }
  if (at == path_end)
    lua_pushliteral(L, "/");
  else
    lua_pushlstring(L, at, (size_t)(path_end - at));
  if (mark != NULL)
    lua_pushlstring(L, mark + 1, (size_t)(end - mark - 1));
  else
    lua_pushnil(L);
}

/* What was asked, once it is complete. */
static int exchange_take(lua_State *L) {
  struct http_parser *parser = parser_of(L);
  const struct http_request *request = &parser->request;
  if (!parser->is_whole)
    return luaL_error(L, "take: no request has come whole");
  lua_settop(L, 0);
  lua_pushlstring(L, request->method.bytes, request->method.size);
  push_target(L, request->target);
  lua_pushvalue(L, lua_upvalueindex(request->minor ? UP_VERSION_1 : UP_VERSION_0));
  lua_pushboolean(L, request->keep_alive);
  if (request->chunked)
    lua_pushnil(L);
  else
    lua_pushnumber(L, (lua_Number)request->length);
  lua_pushlstring(L, (const char *)buffer_bytes(request->head), buffer_size(request->head));
  if (parser->body == NULL)
    lua_pushvalue(L, lua_upvalueindex(UP_EMPTY));
  else
    http_parser_push_body(L, parser);
  parser->is_whole = false;
  parser->has_request = true;
  return 9; /* method, target, path, query, version, keep_alive, length, head, body */
}

/* A head being written; `size` past MOST_HEAD: it does not fit. */
struct head {
  size_t size;
  bool has_type, has_date;
  char bytes[MOST_HEAD];
};

static void head_put(struct head *head, const char *bytes, size_t size) {
  if (head->size <= MOST_HEAD && size <= MOST_HEAD - head->size) {
    memcpy(head->bytes + head->size, bytes, size);
    head->size += size;
  } else {
    head->size = MOST_HEAD + 1;
  }
}

static void head_put_text(struct head *head, const char *text) { head_put(head, text, strlen(text)); }

static void head_put_number(struct head *head, size_t number) {
  char digits[24], *at = digits + sizeof digits;
  do
    *--at = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  head_put(head, at, (size_t)(digits + sizeof digits - at));
}

/* The line of the present second's Date, which is the same for many answers. */
static void put_date(struct head *head, struct http_parser *parser, const struct script_socket *socket) {
  struct loop *loop = socket->state->place->loop;
  if (loop_now(loop) >= parser->date_ends) {
    double now = clock_wall(loop->clock);
    time_t second = (time_t)now;
    struct tm parts;
    gmtime_r(&second, &parts);
    parser->date_size = strftime(parser->date, sizeof parser->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    parser->date_ends = loop_now(loop) + (clock_ms)(((double)second + 1 - now) * 1000);
  }
  head_put(head, parser->date, parser->date_size);
}

static bool is_token_byte(unsigned char byte) {
  return (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z') ||
         (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

/* Whether it is a field that may stand in an answer (RFC 9110, 5.1 and 5.5), and is not the server's own. */
static bool check_field(struct head *head, const struct http_field *field) {
  if (field->name.size == 0)
    return false;
  for (size_t i = 0; i < field->name.size; i++)
    if (!is_token_byte((unsigned char)field->name.bytes[i]))
      return false;
  for (size_t i = 0; i < field->value.size; i++)
    if ((unsigned char)field->value.bytes[i] < 0x20 || field->value.bytes[i] == 0x7f)
      return false;
  head->has_type = head->has_type || http_slice_is(field->name, "content-type");
  head->has_date = head->has_date || http_slice_is(field->name, "date");
  return !http_slice_is(field->name, "content-length") && !http_slice_is(field->name, "transfer-encoding") &&
         !http_slice_is(field->name, "connection");
}

static bool comes_before(struct http_slice left, struct http_slice right) {
  size_t size = left.size < right.size ? left.size : right.size;
  int order = memcmp(left.bytes, right.bytes, size);
  return order != 0 ? order < 0 : left.size < right.size;
}

/* The fields of the table on top of the stack, sorted by their names. False: they are more than is usual. */
static bool put_headers(lua_State *L, struct head *head) {
  struct http_field fields[MOST_HEADERS];
  size_t count = 0;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1))
      continue;
    if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING || count == MOST_HEADERS)
      return false;
    struct http_field field;
    field.name.bytes = lua_tolstring(L, -2, &field.name.size);
    field.value.bytes = lua_tolstring(L, -1, &field.value.size);
    if (!check_field(head, &field))
      return false;
    size_t at = count++;
    for (; at > 0 && comes_before(field.name, fields[at - 1].name); at--)
      fields[at] = fields[at - 1];
    fields[at] = field;
  }
  for (size_t i = 0; i < count; i++) {
    head_put(head, fields[i].name.bytes, fields[i].name.size);
    head_put(head, ": ", 2);
    head_put(head, fields[i].value.bytes, fields[i].value.size);
    head_put(head, "\r\n", 2);
  }
  return true;
}

/* Pushes the field of the answer at index 1. */
static int push_field(lua_State *L, int upvalue) {
  lua_pushvalue(L, lua_upvalueindex(upvalue));
  lua_rawget(L, 1);
  return lua_type(L, -1);
}

/* Writes the head of the answer at index 1, and leaves the body at index 2. False: it is not a usual one. */
static bool put_head(lua_State *L, struct head *head) {
  static const char plain[] = "Content-Type: text/plain; charset=utf-8\r\n";
  struct http_parser *parser = parser_of(L);
  int type = push_field(L, UP_BODY);
  if (type == LUA_TNIL)
    lua_pushliteral(L, "");
  else if (type != LUA_TSTRING)
    return false;
  if (type == LUA_TNIL)
    lua_remove(L, 2);
  size_t size = lua_objlen(L, 2);
  if (push_field(L, UP_CLOSE) != LUA_TNIL && lua_toboolean(L, -1))
    return false;
  type = push_field(L, UP_STATUS);
  lua_Number status = type == LUA_TNIL ? 200 : type == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  if (!(status >= 200 && status <= 599) || status != (lua_Number)(int)status)
    return false;
  lua_rawgeti(L, lua_upvalueindex(UP_LINES), (int)status);
  size_t line_size;
  const char *line = lua_tolstring(L, -1, &line_size);
  if (line == NULL)
    return false;
  head_put(head, line, line_size);
  type = push_field(L, UP_HEADERS);
  if (type != LUA_TNIL && (type != LUA_TTABLE || !put_headers(L, head)))
    return false;
  if (size > 0 && !head->has_type)
    head_put(head, plain, sizeof plain - 1);
  if (parser->dated && !head->has_date)
    put_date(head, parser, exchange_socket(L));
  head_put_text(head, "Content-Length: ");
  head_put_number(head, size);
  head_put_text(head, "\r\n\r\n");
  return head->size <= MOST_HEAD;
}

/* Sends the answer, when it is a usual one to a usual request: false says that it is not. Otherwise what send()
 * returns. */
static int exchange_answer(lua_State *L) {
  struct http_parser *parser = parser_of(L);
  const struct http_request *request = &parser->request;
  bool usual = parser->has_request && request->keep_alive && request->minor == 1 &&
               !http_slice_is(request->method, "head") && lua_istable(L, 1);
  struct head head;
  head.size = 0;
  head.has_type = head.has_date = false;
  lua_settop(L, 1);
  usual = usual && !lua_getmetatable(L, 1); /* whose fields would be Lua's to ask for */
  if (!usual || !put_head(L, &head)) {
    lua_pushboolean(L, 0);
    return 1;
  }
  lua_settop(L, 2);
  parser->has_request = false;
  size_t size;
  const char *body = lua_tolstring(L, 2, &size);
  bool joined = size <= MOST_HEAD - head.size; /* copying a little is cheaper than a message of two parts */
  if (joined)
    head_put(&head, body, size);
  struct iovec bytes = {.iov_base = head.bytes, .iov_len = head.size};
  return socket_send_parts(L, exchange_socket(L), &bytes, joined ? 0 : 2);
}

/* After an error event: status and reason. After a head: the parser's fields are those of it. */
static int exchange_tell(lua_State *L) {
  struct http_parser *parser = parser_of(L);
  lua_settop(L, 0);
  if (parser->fed_head) {
    lua_pushvalue(L, lua_upvalueindex(UP_PARSER));
    http_parser_set_head(L, &parser->request);
    return 0;
  }
  lua_pushinteger(L, (lua_Integer)parser->request.status);
  lua_pushstring(L, parser->request.reason);
  return 2;
}

/* Whether bytes have come that nobody has asked for yet. */
static int exchange_pending(lua_State *L) {
  size_t size;
  lua_pushboolean(L, socket_bytes_ahead(exchange_socket(L), &size) != NULL);
  return 1;
}

static void push_closure(lua_State *L, lua_CFunction function, int more) {
  lua_pushvalue(L, 1);
  lua_insert(L, -1 - more);
  lua_pushvalue(L, 2);
  lua_insert(L, -1 - more);
  lua_pushcclosure(L, function, 2 + more);
}

/* (parser, socket, status_lines, dated, skips_heads): the functions receive, take, answer, tell and pending. */
int http_parser_exchange(lua_State *L) {
  struct http_parser *parser = http_parser_check(L, 1);
  parser->state = socket_check(L, 2)->state;
  luaL_checktype(L, 3, LUA_TTABLE);
  parser->dated = lua_toboolean(L, 4);
  parser->skips_heads = lua_toboolean(L, 5);
  lua_settop(L, 3);
  push_closure(L, exchange_receive, 0);
  lua_pushliteral(L, "1.0");
  lua_pushliteral(L, "1.1");
  lua_pushliteral(L, "");
  push_closure(L, exchange_take, 3);
  lua_pushvalue(L, 3);
  lua_pushliteral(L, "status");
  lua_pushliteral(L, "headers");
  lua_pushliteral(L, "body");
  lua_pushliteral(L, "close");
  push_closure(L, exchange_answer, 5);
  push_closure(L, exchange_tell, 0);
  push_closure(L, exchange_pending, 0);
  return 5;
}

static bool is_value_blank(char byte) { return byte == ' ' || byte == '\t'; }

/* Of one line, without its LF. False: it is none. */
static bool split_field(const char *line, const char *end, struct http_field *field) {
  const char *colon = memchr(line, ':', (size_t)(end - line));
  if (colon == NULL)
    return false;
  const char *value = colon + 1;
  while (value < end && is_value_blank(*value))
    value++;
  while (end > value && (is_value_blank(end[-1]) || end[-1] == '\r'))
    end--;
  *field = (struct http_field){.name = {line, (size_t)(colon - line)}, .value = {value, (size_t)(end - value)}};
  return true;
}

/* (head): the headers of a request's head, as it was taken. What is no field in it is left out. */
int http_parser_headers(lua_State *L) {
  size_t size;
  const char *at = luaL_checklstring(L, 1, &size), *end = at + size;
  lua_settop(L, 1);
  lua_createtable(L, 4, 8);
  const char *line_end = memchr(at, '\n', size); /* of the request line */
  for (int count = 0; line_end != NULL;) {
    struct http_field field;
    at = line_end + 1;
    line_end = memchr(at, '\n', (size_t)(end - at));
    if (line_end != NULL && split_field(at, line_end, &field))
      http_parser_add_field(L, 2, ++count, &field);
  }
  return 1;
}
