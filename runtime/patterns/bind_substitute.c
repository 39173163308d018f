/* SPDX-License-Identifier: MIT
 *
 * string.gsub of user states. A callback of it may call it again, and each level takes some of the C stack, which has
 * an end: so a level takes little, and asks before it calls. What it writes stands in itself while it is short, else in
 * a userdata that grows. */
#include "core/stack.h"
#include "patterns/bind_pattern.h"
#include "script/state.h"

#include <lauxlib.h>
#include <string.h>

enum { SUBJECT = 1, PATTERN, REPLACEMENT, MOST, OUTPUT /* the userdata; nil until it is needed */ };

enum { OUTPUT_WITHIN = 512, COPIED_STEPS = 16 };

struct output {
  lua_State *L;
  char *bytes; /* `within`, or the userdata's */
  size_t size, room;
  char within[OUTPUT_WITHIN];
};

struct substitution {
  struct pattern_match match;
  const char *pattern;     /* behind the anchor */
  const char *start, *end; /* what was matched last */
  const char *text;        /* the replacement, when it is one */
  size_t text_size;
  bool is_plain; /* no "%" in it */
  struct output output;
};

/* `expected` more is likely to follow, which saves copies of what is long. */
static void output_grow(struct output *output, size_t size, size_t expected) {
  size_t room = output->room * 2;
  if (room < output->size + size + expected)
    room = output->size + size + expected;
  char *bytes = lua_newuserdata(output->L, room);
  memcpy(bytes, output->bytes, output->size);
  lua_replace(output->L, OUTPUT);
  output->bytes = bytes;
  output->room = room;
}

static void output_add(struct output *output, const char *bytes, size_t size, size_t expected) {
  if (size > output->room - output->size)
    output_grow(output, size, expected);
  memcpy(output->bytes + output->size, bytes, size);
  output->size += size;
}

static void add_top(struct substitution *sub, size_t expected) {
  size_t size;
  const char *bytes = lua_tolstring(sub->output.L, -1, &size);
  output_add(&sub->output, bytes, size, expected);
  lua_pop(sub->output.L, 1);
}

static void add_capture(struct substitution *sub, unsigned index, size_t expected) {
  const struct pattern_capture *capture = &sub->match.capture[index];
  if (index < sub->match.captures && capture->length >= 0) {
    output_add(&sub->output, capture->start, (size_t)capture->length, expected);
    return;
  }
  pattern_push_capture(&sub->match, sub->output.L, index, sub->start, sub->end);
  add_top(sub, expected);
}

/* %0 to %9 in it are captures; behind any other "%" stands what is meant, also the NUL at its end. */
static void add_template(struct substitution *sub, size_t expected) {
  const char *text = sub->text, *text_end = text + sub->text_size;
  if (!pattern_spend(&sub->match, sub->text_size / COPIED_STEPS))
    pattern_raise(&sub->match, sub->output.L);
  while (text < text_end) {
    const char *escape = memchr(text, '%', (size_t)(text_end - text));
    output_add(&sub->output, text, (size_t)((escape != NULL ? escape : text_end) - text), expected);
    if (escape == NULL)
      return;
    char c = escape[1];
    if (c == '0')
      output_add(&sub->output, sub->start, (size_t)(sub->end - sub->start), expected);
    else if (c >= '1' && c <= '9')
      add_capture(sub, (unsigned)(c - '1'), expected);
    else
      output_add(&sub->output, &c, 1, expected);
    text = escape + 2;
  }
}

static void check_stack(lua_State *L) {
  if (stack_left() < STACK_RESERVE)
    luaL_error(L, "C stack overflow: string.gsub within its own callbacks, too many of them");
}

/* What a function or a table has for the match stands on top; false and nil mean what was matched. */
static void add_answer(struct substitution *sub, size_t expected) {
  lua_State *L = sub->output.L;
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    output_add(&sub->output, sub->start, (size_t)(sub->end - sub->start), expected);
  } else if (lua_isstring(L, -1)) {
    add_top(sub, expected);
  } else {
    luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  }
}

static void add_replacement(struct substitution *sub, int type) {
  lua_State *L = sub->output.L;
  size_t expected = (size_t)(sub->match.end - sub->end);
  if (type == LUA_TFUNCTION) {
    check_stack(L);
    lua_pushvalue(L, REPLACEMENT);
    lua_call(L, pattern_push_captures(&sub->match, L, sub->start, sub->end), 1);
    add_answer(sub, expected);
  } else if (type == LUA_TTABLE) {
    check_stack(L);
    pattern_push_capture(&sub->match, L, 0, sub->start, sub->end);
    lua_gettable(L, REPLACEMENT);
    add_answer(sub, expected);
  } else if (sub->is_plain) {
    output_add(&sub->output, sub->text, sub->text_size, expected);
  } else {
    add_template(sub, expected);
  }
}

/* How often. What is between two matches is copied at once. */
static int substitute_all(struct substitution *sub, int type, int most, bool anchored) {
  const char *at = sub->match.subject, *copied = at, *last = sub->match.end;
  int count = 0;
  while (count < most && at <= last) {
    const char *end, *start = at;
    if (anchored)
      end = pattern_match_at(&sub->match, at, sub->pattern);
    else
      start = pattern_search(&sub->match, at, sub->pattern, &end);
    if (sub->match.fault != NULL)
      pattern_raise(&sub->match, sub->output.L);
    if (start == NULL || end == NULL)
      break;
    count++;
    output_add(&sub->output, copied, (size_t)(start - copied), (size_t)(last - start));
    sub->start = start;
    sub->end = copied = end;
    add_replacement(sub, type);
    if (anchored)
      break;
    at = end > start ? end : end + 1;
  }
  if (count > 0)
    output_add(&sub->output, copied, (size_t)(last - copied), 0);
  return count;
}

int string_substitute(lua_State *L) {
  size_t size;
  const char *subject = luaL_checklstring(L, SUBJECT, &size), *pattern = luaL_checkstring(L, PATTERN);
  int type = lua_type(L, REPLACEMENT), most = (int)luaL_optinteger(L, MOST, (lua_Integer)size + 1);
  luaL_argcheck(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE,
                REPLACEMENT, "string/function/table expected");
  bool anchored = *pattern == '^';
  struct substitution sub;
  pattern_begin_watched(&sub.match, L, subject, size);
  sub.pattern = pattern + anchored;
  sub.output.L = L;
  sub.output.bytes = sub.output.within;
  sub.output.size = 0;
  sub.output.room = sizeof sub.output.within;
  lua_settop(L, OUTPUT);
  if (type == LUA_TSTRING || type == LUA_TNUMBER) {
    sub.text = lua_tolstring(L, REPLACEMENT, &sub.text_size);
    sub.is_plain = memchr(sub.text, '%', sub.text_size) == NULL;
  }
  int count = substitute_all(&sub, type, most, anchored);
  if (count == 0)
    lua_pushvalue(L, SUBJECT);
  else
    lua_pushlstring(L, sub.output.bytes, sub.output.size);
  lua_pushinteger(L, count);
  return 2;
}
