/* SPDX-License-Identifier: MIT
 *
 * "mime.core", on which LuaSocket's mime.lua stands: the encodings of RFC 2045 as low-level filters of LTN 12. One
 * takes what was left over and a chunk, nil at the end, and returns what it makes of them and what is left over now.
 * Answers are those of LuaSocket's own, but where RFC 2045 has it otherwise (see unqp_step and unb64_step). */
#include "luasocket/bind_mime.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MIME_LINE = 76, HELD_MOST = 80 /* a line is shorter (section 6.7, rule 5) */ };
static const char CRLF[] = "\r\n";
static const char SOFT_BREAK[] = "=\r\n";

struct mime_filter {
  uint8_t held[HELD_MOST + 2]; /* what can't be said yet what it is */
  size_t size;
  const char *marker; /* what a CRLF becomes */
  luaL_Buffer output;
};

typedef void mime_step_fn(struct mime_filter *filter, uint8_t byte);
typedef void mime_end_fn(struct mime_filter *filter);

static void feed_filter(struct mime_filter *filter, mime_step_fn *step, const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    step(filter, (uint8_t)bytes[i]);
}

/* filter(left, chunk, marker) */
static int run_filter(lua_State *L, mime_step_fn *step, mime_end_fn *end) {
  size_t size;
  const char *bytes = luaL_optlstring(L, 1, NULL, &size);
  struct mime_filter filter;
  filter.marker = luaL_optstring(L, 3, CRLF);
  filter.size = 0;
  if (bytes == NULL) {
    lua_pushnil(L);
    lua_pushnil(L);
    return 2;
  }
  lua_settop(L, 3);
  luaL_buffinit(L, &filter.output);
  feed_filter(&filter, step, bytes, size);
  bytes = luaL_optlstring(L, 2, NULL, &size);
  if (bytes == NULL)
    end(&filter);
  else
    feed_filter(&filter, step, bytes, size);
  luaL_pushresult(&filter.output);
  if (bytes != NULL) {
    lua_pushlstring(L, (const char *)filter.held, filter.size);
    return 2;
  }
  if (lua_objlen(L, -1) == 0)
    lua_pushnil(L); /* that was all of it */
  lua_pushnil(L);
  return 2;
}

static void put_held(struct mime_filter *filter, size_t count) {
  luaL_addlstring(&filter->output, (const char *)filter->held, count);
}

static void drop_held(struct mime_filter *filter, size_t count) {
  filter->size -= count;
  memmove(filter->held, filter->held + count, filter->size);
}

static void forget_held(struct mime_filter *filter) { filter->size = 0; }

/* --- base64 --- */

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_base64(struct mime_filter *filter) {
  const uint8_t *held = filter->held;
  uint32_t bits = (uint32_t)held[0] << 16;
  if (filter->size > 1)
    bits |= (uint32_t)held[1] << 8;
  if (filter->size > 2)
    bits |= held[2];
  char text[4] = {BASE64[bits >> 18], BASE64[bits >> 12 & 63], BASE64[bits >> 6 & 63], BASE64[bits & 63]};
  for (size_t i = filter->size + 1; i < sizeof text; i++)
    text[i] = '=';
  luaL_addlstring(&filter->output, text, sizeof text);
  filter->size = 0;
}

static void b64_step(struct mime_filter *filter, uint8_t byte) {
  filter->held[filter->size++] = byte;
  if (filter->size == 3)
    put_base64(filter);
}

static void b64_end(struct mime_filter *filter) {
  if (filter->size > 0)
    put_base64(filter);
}

/* -1: none of the alphabet. */
static int base64_value(uint8_t byte) {
  if (byte >= 'A' && byte <= 'Z')
    return byte - 'A';
  if (byte >= 'a' && byte <= 'z')
    return byte - 'a' + 26;
  if (byte >= '0' && byte <= '9')
    return byte - '0' + 52;
  return byte == '+' ? 62 : byte == '/' ? 63 : byte == '=' ? 0 : -1;
}

/* Four that begin with '=' or have it second stand for no byte; LuaSocket makes one of them (section 6.8: "=" is there
 * for padding at the end of the data only). */
static void unb64_step(struct mime_filter *filter, uint8_t byte) {
  if (base64_value(byte) < 0)
    return;
  filter->held[filter->size++] = byte;
  if (filter->size < 4)
    return;
  const uint8_t *held = filter->held;
  uint32_t bits = 0;
  for (int i = 0; i < 4; i++)
    bits = bits << 6 | (uint32_t)base64_value(held[i]);
  char bytes[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
  if (held[0] != '=' && held[1] != '=')
    luaL_addlstring(&filter->output, bytes, held[2] == '=' ? 1 : held[3] == '=' ? 2 : 3);
  filter->size = 0;
}

/* --- quoted-printable --- */

static bool qp_is_blank(uint8_t byte) { return byte == ' ' || byte == '\t'; }

static bool qp_is_plain(uint8_t byte) { return byte > ' ' && byte < 127 && byte != '='; }

static void qp_put_quoted(struct mime_filter *filter, uint8_t byte) {
  static const char digits[] = "0123456789ABCDEF";
  char text[3] = {'=', digits[byte >> 4], digits[byte & 15]};
  luaL_addlstring(&filter->output, text, sizeof text);
}

/* A CR, or a blank, waits for what says whether it is of a line's end. */
static void qp_step(struct mime_filter *filter, uint8_t byte) {
  uint8_t *held = filter->held;
  held[filter->size++] = byte;
  while (filter->size > 0) {
    bool blank = qp_is_blank(held[0]);
    if ((held[0] == '\r' && filter->size < 2) || (blank && filter->size < 3))
      return;
    const uint8_t *ending = held + blank;
    if (ending[0] == '\r' && ending[1] == '\n') {
      if (blank)
        qp_put_quoted(filter, held[0]);
      luaL_addstring(&filter->output, filter->marker);
      filter->size = 0;
      return;
    }
    if (blank || qp_is_plain(held[0]))
      put_held(filter, 1);
    else
      qp_put_quoted(filter, held[0]);
    drop_held(filter, 1);
  }
}

static void qp_end(struct mime_filter *filter) {
  for (size_t i = 0; i < filter->size; i++)
    if (qp_is_plain(filter->held[i]))
      luaL_addchar(&filter->output, (char)filter->held[i]);
    else
      qp_put_quoted(filter, filter->held[i]);
  if (filter->size > 0)
    luaL_addstring(&filter->output, SOFT_BREAK);
}

static int hex_value(uint8_t byte) {
  if (byte >= '0' && byte <= '9')
    return byte - '0';
  byte |= 0x20;
  return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The first of `held` from `at` on that is no blank. */
static size_t behind_blanks(const struct mime_filter *filter, size_t at) {
  while (at < filter->size && qp_is_blank(filter->held[at]))
    at++;
  return at;
}

/* Whether what stands at `at` is a line's end, or may become one. */
static bool may_end_line(const struct mime_filter *filter, size_t at, bool *is_one) {
  *is_one = at + 1 < filter->size && filter->held[at] == '\r' && filter->held[at + 1] == '\n';
  return at == filter->size ? at < HELD_MOST : filter->held[at] == '\r' && (*is_one || at + 1 == filter->size);
}

/* What begins with '='. False: more must come. */
static bool unquote(struct mime_filter *filter) {
  bool is_break;
  size_t end = behind_blanks(filter, 1);
  if (filter->size < 2)
    return false;
  if (end > 1 || filter->held[1] == '\r') {
    bool may_be = may_end_line(filter, end, &is_break);
    if (is_break)
      filter->size = 0;
    if (may_be)
      return is_break;
  }
  if (filter->size < 3)
    return false;
  int high = hex_value(filter->held[1]), low = hex_value(filter->held[2]);
  if (high < 0 || low < 0)
    put_held(filter, 3);
  else
    luaL_addchar(&filter->output, (char)(high << 4 | low));
  drop_held(filter, 3);
  return true;
}

/* Blanks. False: more must come. */
static bool unblank(struct mime_filter *filter) {
  bool is_end;
  size_t count = behind_blanks(filter, 0);
  if (may_end_line(filter, count, &is_end) && !is_end)
    return false;
  if (!is_end)
    put_held(filter, count);
  drop_held(filter, count);
  return true;
}

/* Blanks at the end of a line were put there on the way, and go (section 6.7, rule 3); LuaSocket keeps them. A CR alone
 * goes, without what follows it. */
static void unqp_step(struct mime_filter *filter, uint8_t byte) {
  filter->held[filter->size++] = byte;
  while (filter->size > 0) {
    uint8_t first = filter->held[0];
    if (first == '=' ? !unquote(filter) : qp_is_blank(first) && !unblank(filter))
      return;
    if (first == '=' || qp_is_blank(first))
      continue;
    if (first == '\r' && filter->size < 2)
      return;
    bool is_end = first == '\r' && filter->held[1] == '\n';
    if (is_end || qp_is_plain(first))
      put_held(filter, is_end ? 2 : 1);
    drop_held(filter, is_end ? 2 : 1);
  }
}

/* What is a part of an escape, or of a line's end, goes. */
static void unqp_end(struct mime_filter *filter) {
  bool is_raw = filter->size >= 3 && filter->held[0] == '=';
  size_t blanks = behind_blanks(filter, is_raw);
  put_held(filter, is_raw && blanks < 3 ? 3 : blanks);
}

static int mime_b64(lua_State *L) { return run_filter(L, b64_step, b64_end); }
static int mime_unb64(lua_State *L) { return run_filter(L, unb64_step, forget_held); }
static int mime_qp(lua_State *L) { return run_filter(L, qp_step, qp_end); }
static int mime_unqp(lua_State *L) { return run_filter(L, unqp_step, unqp_end); }

/* --- what is left over is a number --- */

/* wrp(left, chunk, length): lines of at most `length`, of which the present one has room for `left`; with `soft` breaks
 * that are none, and never within an escape. */
static int wrap_lines(lua_State *L, bool soft) {
  int left = (int)luaL_checknumber(L, 1), length = (int)luaL_optnumber(L, 3, MIME_LINE);
  size_t size;
  const char *bytes = luaL_optlstring(L, 2, NULL, &size), *ending = soft ? SOFT_BREAK : CRLF;
  if (bytes == NULL) {
    lua_pushstring(L, left < length ? ending : NULL);
    lua_pushinteger(L, length);
    return 2;
  }
  luaL_Buffer output;
  luaL_buffinit(L, &output);
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] == '\n') {
      luaL_addstring(&output, CRLF);
      left = length;
    } else if (bytes[i] != '\r') {
      if (left <= (!soft ? 0 : bytes[i] == '=' ? 3 : 1)) {
        luaL_addstring(&output, ending);
        left = length;
      }
      luaL_addchar(&output, bytes[i]);
      left--;
    }
  }
  luaL_pushresult(&output);
  lua_pushinteger(L, left);
  return 2;
}

static int mime_wrp(lua_State *L) { return wrap_lines(L, false); }
static int mime_qpwrp(lua_State *L) { return wrap_lines(L, true); }

/* eol(last, chunk, marker): any kind of line end becomes `marker`. `last` is the CR or LF that may be the first half of
 * one; 0: none. */
static int mime_eol(lua_State *L) {
  int last = (int)luaL_checkinteger(L, 1);
  size_t size;
  const char *bytes = luaL_optlstring(L, 2, NULL, &size), *marker = luaL_optstring(L, 3, CRLF);
  if (bytes == NULL) {
    lua_pushnil(L);
    lua_pushinteger(L, 0);
    return 2;
  }
  luaL_Buffer output;
  luaL_buffinit(L, &output);
  for (size_t i = 0; i < size; i++) {
    bool ends = bytes[i] == '\r' || bytes[i] == '\n', had_one = last == '\r' || last == '\n';
    if (!ends)
      luaL_addchar(&output, bytes[i]);
    else if (!had_one || bytes[i] == last)
      luaL_addstring(&output, marker);
    last = ends && !had_one ? bytes[i] : 0;
  }
  luaL_pushresult(&output);
  lua_pushinteger(L, last);
  return 2;
}

/* dot(state, chunk): a dot that begins a line is doubled (RFC 5321, section 4.5.2). `state`: 2 behind CR LF, as at the
 * start, 1 behind CR. */
static int mime_dot(lua_State *L) {
  int state = (int)luaL_checknumber(L, 1);
  size_t size;
  const char *bytes = luaL_optlstring(L, 2, NULL, &size);
  if (bytes == NULL) {
    lua_pushnil(L);
    lua_pushinteger(L, 2);
    return 2;
  }
  luaL_Buffer output;
  luaL_buffinit(L, &output);
  for (size_t i = 0; i < size; i++) {
    luaL_addchar(&output, bytes[i]);
    if (bytes[i] == '.' && state == 2)
      luaL_addchar(&output, '.');
    state = bytes[i] == '\r' ? 1 : bytes[i] == '\n' && state == 1 ? 2 : 0;
  }
  luaL_pushresult(&output);
  lua_pushinteger(L, state);
  return 2;
}

int luaopen_mime_core(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"b64", mime_b64},     {"unb64", mime_unb64}, {"qp", mime_qp},   {"unqp", mime_unqp}, {"wrp", mime_wrp},
      {"qpwrp", mime_qpwrp}, {"eol", mime_eol},     {"dot", mime_dot}, {NULL, NULL},
  };
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  lua_pushliteral(L, "MIME 1.0.3");
  lua_setfield(L, -2, "_VERSION");
  return 1;
}
