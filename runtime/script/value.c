/* SPDX-License-Identifier: MIT
 *
 * The tree of plain data: making, writing, freeing. How it becomes Lua's is bind_native.c's. */
#include "script/value.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct value *new_root(enum value_kind kind) {
  struct value *value = calloc(1, sizeof *value);
  if (!value)
    return NULL;
  value->kind = kind;
  value->last = &value->first;
  value->root = value;
  return value;
}

struct value *value_table(void) {
  return new_root(VALUE_TABLE);
}

struct value *value_number(double number) {
  struct value *value = new_root(VALUE_NUMBER);
  if (value)
    value->number = number;
  return value;
}

void value_free(struct value *value) {
  if (!value)
    return;
  for (struct value *child = value->first, *next; child; child = next) {
    next = child->next;
    value_free(child);
  }
  free(value->key);
  free(value->string);
  free(value);
}

bool value_is_whole(const struct value *root) { return root && !root->failed; }

/* A new child of `table`; NULL, and noted, without memory. */
static struct value *add(struct value *table, const char *key, enum value_kind kind) {
  if (!table)
    return NULL;
  assert(table->kind == VALUE_TABLE);
  struct value *child = new_root(kind);
  if (!child || (key && !(child->key = strdup(key)))) {
    free(child);
    table->root->failed = true;
    return NULL;
  }
  child->root = table->root;
  *table->last = child;
  table->last = &child->next;
  return child;
}

void value_set_number(struct value *table, const char *key, double number) {
  struct value *child = add(table, key, VALUE_NUMBER);
  if (child)
    child->number = number;
}

void value_set_boolean(struct value *table, const char *key, bool boolean) {
  struct value *child = add(table, key, VALUE_BOOLEAN);
  if (child)
    child->boolean = boolean;
}

void value_set_string(struct value *table, const char *key, const char *string) {
  if (!string)
    return;
  struct value *child = add(table, key, VALUE_STRING);
  if (!child)
    return;
  child->string = strdup(string);
  if (!child->string) {
    child->string = calloc(1, 1);
    child->root->failed = true;
  }
}

struct value *value_set_table(struct value *table, const char *key) {
  return add(table, key, VALUE_TABLE);
}

const struct value *value_get(const struct value *table, const char *key) {
  for (const struct value *child = table ? table->first : NULL; child; child = child->next)
    if (child->key && strcmp(child->key, key) == 0)
      return child;
  return NULL;
}
