/* SPDX-License-Identifier: MIT
 *
 * Fields of a table in Lua: their keys, their order, and tables among them, which are written as JSON. */
#include "bindings/log_fields.h"

#include "core/text.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_MOST = 2048, DEEPEST = 4, KEYS_MOST = 64, KEY_SIZE = LOG_FIELD_KEY_SIZE };

/* What a line of the log has of its own: a reader of JSON takes the last of two equal keys, and so a forged one. */
static bool is_reserved(const char *key) {
  static const char *const reserved[] = {"time", "level", "msg"};
  for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
    if (strcmp(key, reserved[i]) == 0)
      return true;
  return false;
}

/* Keys are written as they are: only what logfmt takes in one; a reserved one as "field_time". */
static void copy_key(char key[KEY_SIZE], const char *text) {
  size_t i = 0;
  if (is_reserved(text)) {
    snprintf(key, KEY_SIZE, "field_%s", text);
    return;
  }
  for (; text[i] != '\0' && i < KEY_SIZE - 1; i++) {
    char c = text[i];
    bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    key[i] = plain ? c : '_';
  }
  key[i] = '\0';
}

/* Keys that were told apart by what a key can't have get underscores behind them. False where there is no room. */
static bool make_unique(char keys[][KEY_SIZE], size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(keys[i], keys[count]) != 0)
      continue;
    size_t length = strlen(keys[count]);
    if (length == KEY_SIZE - 1)
      return false;
    memcpy(keys[count] + length, "_", 2);
    i = SIZE_MAX; /* from the start */
  }
  return true;
}

/* A table on its way to text. */
struct writing {
  lua_State *L;
  size_t size;
  bool cut; /* something did not fit, and nothing more is added */
  char text[VALUE_MOST];
};

static void put_bytes(struct writing *out, const char *bytes, size_t size) {
  out->cut = out->cut || size > sizeof out->text - out->size;
  if (out->cut)
    return;
  memcpy(out->text + out->size, bytes, size);
  out->size += size;
}

static void put_words(struct writing *out, const char *words) { put_bytes(out, words, strlen(words)); }

/* Up to a NUL, if there is one. */
static void put_json_string(struct writing *out, const char *text) {
  put_words(out, "\"");
  for (size_t length; *text && !out->cut; text += length ? length : 1) {
    char escape[16];
    length = text_character(text);
    if (length == 0) {
      put_words(out, "\xEF\xBF\xBD");
    } else if (*text == '"' || *text == '\\') {
      put_bytes(out, (const char[]){'\\', *text}, 2);
    } else if (text_is_control(text, length)) {
      snprintf(escape, sizeof escape, "\\u%04x", (unsigned)text_code_point(text, length));
      put_words(out, escape);
    } else {
      put_bytes(out, text, length);
    }
  }
  put_words(out, "\"");
}

static void put_number(struct writing *out, double number) {
  char digits[400];
  if (!isfinite(number))
    snprintf(digits, sizeof digits, "null");
  else
    snprintf(digits, sizeof digits, fabs(number) < 0x1p63 && number == rint(number) ? "%.0f" : "%.15g", number);
  put_words(out, digits);
}

/* Pushes what tostring() says of the value at the top, in its place. */
static void make_text(lua_State *L) {
  lua_getglobal(L, "tostring");
  lua_insert(L, -2);
  lua_call(L, 1, 1);
}

static void put_value(struct writing *out, int depth);

static void put_list(struct writing *out, int depth) {
  lua_State *L = out->L;
  size_t count = lua_objlen(L, -1);
  put_words(out, "[");
  for (size_t i = 1; i <= count && !out->cut; i++) {
    put_words(out, i > 1 ? "," : "");
    lua_rawgeti(L, -1, (int)i);
    put_value(out, depth + 1);
  }
  put_words(out, "]");
}

static int compare_key_texts(const void *left, const void *right) {
  return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The keys that are strings, sorted; a list of them, which keeps them alive, is pushed. What there is no room for is
 * left out. */
static size_t sort_keys(lua_State *L, const char *keys[KEYS_MOST]) {
  size_t count = 0;
  lua_newtable(L);
  lua_pushnil(L); /* table, list, key */
  while (lua_next(L, -3) != 0) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING || count == KEYS_MOST)
      continue;
    keys[count++] = lua_tostring(L, -1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, (int)count);
  }
  qsort(keys, count, sizeof keys[0], compare_key_texts);
  return count;
}

static void put_object(struct writing *out, int depth) {
  lua_State *L = out->L;
  const char *keys[KEYS_MOST];
  size_t count = sort_keys(L, keys);
  put_words(out, "{");
  for (size_t i = 0; i < count && !out->cut; i++) {
    put_words(out, i > 0 ? "," : "");
    put_json_string(out, keys[i]);
    put_words(out, ":");
    lua_pushstring(L, keys[i]);
    lua_rawget(L, -3); /* table, list, value */
    put_value(out, depth + 1);
  }
  put_words(out, "}");
  lua_pop(L, 1);
}

static bool has_own_text(lua_State *L) {
  bool has = lua_istable(L, -1) && luaL_getmetafield(L, -1, "__tostring");
  if (has)
    lua_pop(L, 1);
  return has;
}

static void put_table(struct writing *out, int depth) {
  if (depth > DEEPEST)
    put_words(out, "\"…\"");
  else if (lua_objlen(out->L, -1) > 0)
    put_list(out, depth);
  else
    put_object(out, depth);
}

/* Takes the value from the top. */
static void put_value(struct writing *out, int depth) {
  lua_State *L = out->L;
  luaL_checkstack(L, 8, "a field of the log is nested too deeply");
  if (lua_type(L, -1) == LUA_TNUMBER) {
    put_number(out, lua_tonumber(L, -1));
  } else if (lua_isboolean(L, -1)) {
    put_words(out, lua_toboolean(L, -1) ? "true" : "false");
  } else if (lua_istable(L, -1) && !has_own_text(L)) {
    put_table(out, depth);
  } else {
    if (lua_type(L, -1) != LUA_TSTRING)
      make_text(L);
    put_json_string(out, lua_isstring(L, -1) ? lua_tostring(L, -1) : "?");
  }
  lua_pop(L, 1);
}

/* The table at the top as JSON, in its place; one that is cut is no JSON, but a text. */
static struct log_field write_table(lua_State *L, const char *key) {
  struct writing out = {.L = L};
  lua_pushvalue(L, -1);
  put_value(&out, 1);
  lua_pop(L, 1);
  lua_pushlstring(L, out.text, out.size);
  if (!out.cut)
    return LOG_JSON_TEXT(key, lua_tostring(L, -1));
  lua_pushliteral(L, "…");
  lua_concat(L, 2);
  return LOG_STRING(key, lua_tostring(L, -1));
}

/* The value at the top, which is replaced by its text. */
static struct log_field make_field(lua_State *L, const char *key) {
  if (lua_type(L, -1) == LUA_TNUMBER)
    return LOG_NUMBER(key, lua_tonumber(L, -1));
  if (lua_istable(L, -1) && !has_own_text(L))
    return write_table(L, key);
  if (lua_isboolean(L, -1))
    return LOG_JSON_TEXT(key, lua_toboolean(L, -1) ? "true" : "false");
  make_text(L);
  return LOG_STRING(key, lua_tostring(L, -1));
}

static int by_key(const void *left, const void *right) {
  return strcmp(((const struct log_field *)left)->key, ((const struct log_field *)right)->key);
}

void log_fields_read(lua_State *L, int index, struct log_fields *fields) {
  size_t count = 0;
  luaL_checkstack(L, LOG_FIELDS_MOST + 8, "too many fields");
  lua_pushnil(L);
  while (count < LOG_FIELDS_MOST && lua_next(L, index) != 0) {
    if (lua_type(L, -2) == LUA_TSTRING)
      copy_key(fields->keys[count], lua_tostring(L, -2));
    if (lua_type(L, -2) != LUA_TSTRING || !make_unique(fields->keys, count)) {
      lua_pop(L, 1);
      continue;
    }
    fields->fields[count] = make_field(L, fields->keys[count]);
    count++;
    lua_insert(L, -2); /* the text stays below the key */
  }
  qsort(fields->fields, count, sizeof fields->fields[0], by_key);
  fields->count = count;
}
