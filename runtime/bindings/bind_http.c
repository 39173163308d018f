/* SPDX-License-Identifier: MIT
 *
 * The module "moongate.http_parser": HTTP requests for Lua, with the body collected into one bounded string.
 *
 *   local parser = http_parser.new { max_head = 16384, max_fields = 100, max_body = 1048576 }
 *   local consumed, event = parser:feed(bytes)
 *
 * `event` is "more" (all was consumed), "head", "complete", or "error" with a status and a reason behind it. From
 * "head" on the parser has method, target, version ("1.1"), keep_alive, upgrade, chunked, length, expect_continue and
 * headers: a list of { name =, value = }, which also maps each name in lower case to its value, repeated ones joined
 * with ", " (Cookie with "; "). From "complete" on it has body. The next feed forgets them.
 *
 * A server on a real socket spares itself the strings and calls of that (bind_http_exchange.c):
 *
 *   local receive, take, answer, tell, pending = http_parser.exchange(parser, socket, status_lines, dated, skips_heads)
 *   local event, failure = receive()
 *   local method, target, path, query, version, keep_alive, length, head, body = take()
 *   local sent, failure = answer { status = 200, headers = {}, body = "" } */
#include "bindings/bind_http.h"

#include "luasocket/socket.h"

#include <lauxlib.h>
#include <stdint.h>

static const char type_name[] = "moongate.http_parser";

enum { DEFAULT_MAX_BODY = 1024 * 1024 };

static uint64_t size_option(lua_State *L, const char *name, uint64_t otherwise) {
  lua_getfield(L, 1, name);
  lua_Number value = luaL_optnumber(L, -1, (lua_Number)otherwise);
  lua_pop(L, 1);
  if (!(value >= 1 && value <= 1e15))
    luaL_error(L, "http_parser.new: %s is not a number of bytes above 0", name);
  return (uint64_t)value;
}

static int parser_new(lua_State *L) {
  lua_settop(L, 1);
  if (lua_isnil(L, 1)) {
    lua_newtable(L);
    lua_replace(L, 1);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  struct http_request_options options = {
      .max_head = size_option(L, "max_head", HTTP_MAX_HEAD),
      .max_fields = size_option(L, "max_fields", HTTP_MAX_FIELDS),
      .max_body = size_option(L, "max_body", DEFAULT_MAX_BODY),
  };
  struct http_parser *parser = lua_newuserdata(L, sizeof *parser);
  *parser = (struct http_parser){0};
  http_request_init(&parser->request, &options);
  luaL_getmetatable(L, type_name);
  lua_setmetatable(L, -2);
  lua_newtable(L); /* the fields of the message */
  lua_setfenv(L, -2);
  return 1;
}

struct http_parser *http_parser_check(lua_State *L, int index) {
  return luaL_checkudata(L, index, type_name);
}

static void count_body(struct http_parser *parser) {
  if (parser->state != NULL)
    script_buffer_count(parser->state, parser->body, &parser->counted);
}

static void forget_body(struct http_parser *parser) {
  buffer_free(parser->body);
  parser->body = NULL;
  count_body(parser);
}

bool http_parser_add_body(struct http_parser *parser) {
  struct http_slice part = parser->request.body;
  bool fits = parser->state == NULL || !script_buffer_is_too_large(parser->state, parser->body, part.size);
  if (fits && buffer_append(&parser->body, part.bytes, part.size) == 0) {
    count_body(parser);
    return true;
  }
  forget_body(parser);
  return false;
}

/* What a script feeds it is no connection's, of which there are only so many: all that is kept of it counts. */
static void count_fed(struct http_parser *parser, size_t size) {
  if (parser->feeder != NULL)
    parser->feeder->memory_used += size - parser->fed;
  parser->fed = size;
}

/* A table with weak keys may hand it out afterwards: then it is one that an error has ended, and has told nothing. */
static int parser_collect(lua_State *L) {
  struct http_parser *parser = luaL_checkudata(L, 1, type_name);
  http_request_deinit(&parser->request);
  http_parser_forget(parser);
  forget_body(parser);
  count_fed(parser, 0);
  return 0;
}

static void push_slice(lua_State *L, struct http_slice slice) { lua_pushlstring(L, slice.bytes, slice.size); }

static void push_lower(lua_State *L, struct http_slice slice) {
  luaL_Buffer lower;
  luaL_buffinit(L, &lower);
  for (size_t i = 0; i < slice.size; i++) {
    char byte = slice.bytes[i];
    luaL_addchar(&lower, byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte);
  }
  luaL_pushresult(&lower);
}

/* Sets headers[name] to the value of the field, or adds it to what is there. */
static void join_field(lua_State *L, int headers, const struct http_field *field) {
  push_lower(L, field->name); /* name */
  lua_pushvalue(L, -1);       /* name, name */
  lua_rawget(L, headers);     /* name, value so far */
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    push_slice(L, field->value);
  } else {
    lua_pushstring(L, http_slice_is(field->name, "cookie") ? "; " : ", ");
    push_slice(L, field->value);
    lua_concat(L, 3); /* name, value */
  }
  lua_rawset(L, headers);
}

void http_parser_add_field(lua_State *L, int headers, int i, const struct http_field *field) {
  lua_createtable(L, 0, 2);
  push_slice(L, field->name);
  lua_setfield(L, -2, "name");
  push_slice(L, field->value);
  lua_setfield(L, -2, "value");
  lua_rawseti(L, headers, i);
  join_field(L, headers, field);
}

static void push_headers(lua_State *L, const struct http_request *request) {
  lua_createtable(L, (int)request->field_count, (int)request->field_count);
  int headers = lua_gettop(L);
  for (size_t i = 0; i < request->field_count; i++)
    http_parser_add_field(L, headers, (int)i + 1, &request->fields[i]);
}

static void set_flag(lua_State *L, const char *name, bool flag) {
  lua_pushboolean(L, flag);
  lua_setfield(L, -2, name);
}

void http_parser_set_head(lua_State *L, const struct http_request *request) {
  lua_createtable(L, 0, 10);
  push_slice(L, request->method);
  lua_setfield(L, -2, "method");
  push_slice(L, request->target);
  lua_setfield(L, -2, "target");
  lua_pushstring(L, request->minor ? "1.1" : "1.0");
  lua_setfield(L, -2, "version");
  push_headers(L, request);
  lua_setfield(L, -2, "headers");
  set_flag(L, "keep_alive", request->keep_alive);
  set_flag(L, "upgrade", request->upgrade);
  set_flag(L, "chunked", request->chunked);
  set_flag(L, "expect_continue", request->expect_continue);
  lua_pushnumber(L, (lua_Number)request->length);
  lua_setfield(L, -2, "length");
  lua_setfenv(L, 1);
}

void http_parser_push_body(lua_State *L, struct http_parser *parser) {
  size_t size = buffer_size(parser->body);
  lua_pushlstring(L, size ? (const char *)buffer_bytes(parser->body) : "", size);
  forget_body(parser);
}

static void set_body(lua_State *L, struct http_parser *parser) {
  lua_getfenv(L, 1);
  http_parser_push_body(L, parser);
  lua_setfield(L, -2, "body");
  lua_pop(L, 1);
}

static int push_parse_error(lua_State *L, size_t consumed, unsigned status, const char *reason) {
  lua_pushnumber(L, (lua_Number)consumed);
  lua_pushliteral(L, "error");
  lua_pushinteger(L, (lua_Integer)status);
  lua_pushstring(L, reason);
  return 4; /* consumed, "error", status, reason */
}

static int push_event(lua_State *L, size_t consumed, const char *event) {
  lua_pushnumber(L, (lua_Number)consumed);
  lua_pushstring(L, event);
  return 2;
}

/* In the registry: an empty table, what a parser has between two messages. */
static const char no_fields_key;

static void push_no_fields(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&no_fields_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
}

static int feed_parser(lua_State *L, struct http_parser *parser) {
  struct http_request *request = &parser->request;
  size_t size, at = 0, consumed;
  const char *bytes = luaL_checklstring(L, 2, &size);
  http_parser_forget(parser);
  if (parser->complete_is_reported) {
    push_no_fields(L);
    lua_setfenv(L, 1);
    parser->complete_is_reported = false;
  }
  for (;;) {
    enum http_event event = http_request_feed(request, bytes + at, size - at, &consumed);
    at += consumed;
    switch (event) {
    case HTTP_EVENT_MORE:
      return push_event(L, at, "more");
    case HTTP_EVENT_HEAD:
      http_parser_set_head(L, request);
      if (lua_toboolean(L, 3) && !request->chunked && request->length == 0)
        break; /* nobody wants to be asked before a body that there is none of */
      return push_event(L, at, "head");
    case HTTP_EVENT_BODY:
      if (!http_parser_add_body(parser))
        return push_parse_error(L, at, 503, "no memory left");
      break;
    case HTTP_EVENT_COMPLETE:
      set_body(L, parser);
      parser->complete_is_reported = true;
      return push_event(L, at, "complete");
    case HTTP_EVENT_ERROR:
      return push_parse_error(L, at, request->status, request->reason);
    }
  }
}

static int parser_feed(lua_State *L) {
  struct http_parser *parser = luaL_checkudata(L, 1, type_name);
  const struct http_request *request = &parser->request;
  size_t size;
  luaL_checklstring(L, 2, &size);
  parser->feeder = script_state_if_any(L);
  if (parser->feeder != NULL && !script_buffer_has_room(parser->feeder, size))
    return push_parse_error(L, 0, 503, "no memory left");
  int results = feed_parser(L, parser);
  size = request->field_room != NULL ? request->field_space * sizeof *request->field_room : 0;
  size += request->head != NULL ? request->head->capacity : 0;
  count_fed(parser, size + (parser->body != NULL ? parser->body->capacity : 0));
  return results;
}

/* Whether nothing of a message has come yet. */
static int parser_is_idle(lua_State *L) {
  struct http_parser *parser = luaL_checkudata(L, 1, type_name);
  lua_pushboolean(L, http_request_is_idle(&parser->request));
  return 1;
}

/* All fields of the message at once, in a table that the parser does not change once the message is complete: asking
 * for one by one costs a call each. */
static int parser_fields(lua_State *L) {
  luaL_checkudata(L, 1, type_name);
  lua_getfenv(L, 1);
  return 1;
}

/* Fields of the message before methods; nil for what is neither. Upvalue 1 has the methods. */
static int parser_index(lua_State *L) {
  luaL_checkudata(L, 1, type_name);
  lua_getfenv(L, 1);
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  if (lua_isnil(L, -1)) {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
  }
  return 1;
}

int luaopen_moongate_http_parser(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"feed", parser_feed}, {"is_idle", parser_is_idle}, {"fields", parser_fields}, {NULL, NULL}};
  if (luaL_newmetatable(L, type_name)) {
    lua_createtable(L, 0, 3); /* metatable, methods */
    luaL_register(L, NULL, methods);
    lua_pushcclosure(L, parser_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, parser_collect);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0); /* scripts do not get at it */
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&no_fields_key);
  lua_newtable(L);
  lua_rawset(L, LUA_REGISTRYINDEX);
  static const luaL_Reg functions[] = {
      {"new", parser_new}, {"exchange", http_parser_exchange}, {"headers", http_parser_headers}, {NULL, NULL}};
  lua_createtable(L, 0, 3);
  luaL_register(L, NULL, functions);
  return 1;
}
