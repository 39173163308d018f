/* SPDX-License-Identifier: MIT
 *
 * Plain data becomes Lua's. Lua's numbers are doubles, which count to 2^53: what has counted further is a table that
 * keeps the digits for those who write them, and is a number for those who reckon with it. */
#include "script/value_push.h"

#include "script/record.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>

static const char COUNTER[] = "moongate.counter";

enum { DIGITS_SIZE = 24 };
static const uint64_t COUNTED_BY_NUMBERS = UINT64_C(1) << 53;

static int counter_tostring(lua_State *L) {
  lua_getfield(L, 1, "digits");
  return 1;
}

/* As near as a number comes. */
static lua_Number value_number_at(lua_State *L, int index) {
  if (!lua_istable(L, index))
    return luaL_checknumber(L, index);
  lua_getfield(L, index, "digits");
  lua_Number number = luaL_checknumber(L, -1);
  lua_pop(L, 1);
  return number;
}

static int counter_add(lua_State *L) {
  lua_pushnumber(L, value_number_at(L, 1) + value_number_at(L, 2));
  return 1;
}

static int counter_sub(lua_State *L) {
  lua_pushnumber(L, value_number_at(L, 1) - value_number_at(L, 2));
  return 1;
}

static int counter_mul(lua_State *L) {
  lua_pushnumber(L, value_number_at(L, 1) * value_number_at(L, 2));
  return 1;
}

static int counter_div(lua_State *L) {
  lua_pushnumber(L, value_number_at(L, 1) / value_number_at(L, 2));
  return 1;
}

static void push_counter(lua_State *L, uint64_t counter) {
  static const struct luaL_Reg functions[] = {
      {"__tostring", counter_tostring}, {"__add", counter_add}, {"__sub", counter_sub},
      {"__mul", counter_mul},           {"__div", counter_div}, {NULL, NULL},
  };
  char digits[DIGITS_SIZE];
  snprintf(digits, sizeof digits, "%" PRIu64, counter);
  lua_createtable(L, 0, 1);
  lua_pushstring(L, digits);
  lua_setfield(L, -2, "digits");
  if (luaL_newmetatable(L, COUNTER)) { /* counter, metatable */
    luaL_register(L, NULL, functions);
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "is_counter");
  }
  lua_setmetatable(L, -2);
}

static void push_wide(lua_State *L, uint64_t number, bool exactly) {
  if (exactly && number > COUNTED_BY_NUMBERS)
    push_counter(L, number);
  else
    lua_pushnumber(L, (lua_Number)number);
}

enum { HOST_TEXT_SIZE = 512, ID_TEXT_SIZE = 40 };

static bool push_record_text(lua_State *L, const char *text, bool if_any) {
  if (!text || (if_any && !text[0]))
    return false;
  lua_pushstring(L, text);
  return true;
}

/* Of kinds that are no numbers. */
static bool push_other_record_field(lua_State *L, const struct record_field *field, const void *record) {
  char text[HOST_TEXT_SIZE];
  const void *at = record_field_at(field, record);
  bool if_any = field->flags & RECORD_IF_ANY;
  if (field->kind == RECORD_ADDRESS)
    return push_record_text(L, ip_address_format(at, text), if_any);
  if (field->kind == RECORD_PREFIX) {
    const struct record_prefix *prefix = at;
    char address[ADDRESS_TEXT_SIZE];
    bool is_whole = ip_address_is_ipv4(&prefix->address) || prefix->bits >= 128;
    ip_address_format(&prefix->address, address);
    snprintf(text, sizeof text, is_whole ? "%s" : "%s/%u", address, prefix->bits);
    return push_record_text(L, text, false);
  }
  if (field->kind == RECORD_ID) {
    const struct record_id *id = at;
    snprintf(text, ID_TEXT_SIZE, "%u-%" PRIu64, id->worker, id->number);
    return push_record_text(L, text, false);
  }
  const char *own = record_text(field, record);
  if (own && field->kind == RECORD_HOST)
    own = host_format(own, ((const struct record_host *)at)->port, text, sizeof text);
  return push_record_text(L, own, if_any);
}

/* False: nothing is told of it. */
static bool push_record_field(lua_State *L, const struct record_field *field, const void *record, bool exactly) {
  const void *at = record_field_at(field, record);
  uint64_t number = record_number(field, record);
  bool left_out = number == 0 && field->flags & RECORD_IF_ANY;
  switch (field->kind) {
  case RECORD_FLAG:
    lua_pushboolean(L, *(const bool *)at);
    break;
  case RECORD_INTEGER:
    lua_pushnumber(L, *(const int *)at);
    left_out = left_out || *(const int *)at < 0;
    break;
  case RECORD_SMALL:
  case RECORD_COUNT:
  case RECORD_WIDE:
    push_wide(L, number, exactly);
    break;
  case RECORD_MS:
    lua_pushnumber(L, (lua_Number)number / 1000);
    left_out = left_out || number == UINT64_MAX;
    break;
  case RECORD_REAL:
    lua_pushnumber(L, *(const double *)at);
    left_out = false;
    break;
  default:
    return push_other_record_field(L, field, record);
  }
  if (left_out)
    lua_pop(L, 1);
  return !left_out;
}

/* Into the table on top. */
static void push_record_fields(lua_State *L, const struct record_type *type, const void *record, bool exactly) {
  for (size_t i = 0; i < type->field_count; i++) {
    const struct record_field *field = &type->fields[i];
    if (field->flags & RECORD_UNTOLD || !push_record_field(L, field, record, exactly))
      continue; /* table, value */
    if (field->within) {
      lua_getfield(L, -2, field->within);
      if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -4, field->within);
      }
      lua_insert(L, -2); /* table, inner, value */
      lua_setfield(L, -2, field->name);
      lua_pop(L, 1);
    } else {
      lua_setfield(L, -2, field->name);
    }
  }
}

static void push_records(lua_State *L, const struct value *value, bool exactly) {
  lua_createtable(L, (int)value->record_count, 0);
  for (size_t i = 0; i < value->record_count; i++) {
    lua_createtable(L, 0, (int)value->type->field_count);
    push_record_fields(L, value->type, value->records[i], exactly);
    lua_rawseti(L, -2, (int)i + 1);
  }
}

static void push_any(lua_State *L, const struct value *value, bool exactly) {
  luaL_checkstack(L, 8, "the answer is nested too deeply");
  switch (value->kind) {
  case VALUE_BOOLEAN:
    lua_pushboolean(L, value->boolean);
    return;
  case VALUE_COUNTER:
    push_wide(L, value->counter, exactly);
    return;
  case VALUE_NUMBER:
    lua_pushnumber(L, value->number);
    return;
  case VALUE_STRING:
    lua_pushstring(L, value->string);
    return;
  case VALUE_RECORDS:
    push_records(L, value, exactly);
    return;
  case VALUE_RECORD: /* its fields are its table's */
  case VALUE_TABLE:
    break;
  }
  int index = 0;
  lua_newtable(L);
  for (const struct value *child = value->first; child; child = child->next) {
    if (child->kind == VALUE_RECORD) {
      if (child->record_count > 0)
        push_record_fields(L, child->type, child->records[0], exactly);
      continue;
    }
    push_any(L, child, exactly);
    if (child->key)
      lua_setfield(L, -2, child->key);
    else
      lua_rawseti(L, -2, ++index);
  }
}

void value_push(lua_State *L, const struct value *value) { push_any(L, value, false); }

void value_push_exactly(lua_State *L, const struct value *value) { push_any(L, value, true); }
