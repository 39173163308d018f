/* SPDX-License-Identifier: MIT
 *
 * The tree of plain data: making, writing, freeing. How it becomes Lua's is value_push.c's. */
#include "script/value.h"

#include "script/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* `key` and `string` may be NULL. */
static struct value *new_value(enum value_kind kind, const char *key, const char *string) {
  size_t key_size = key ? strlen(key) + 1 : 0, string_size = string ? strlen(string) + 1 : 0;
  struct value *value = malloc(sizeof *value + key_size + string_size);
  if (!value)
    return NULL;
  *value = (struct value){.kind = kind};
  value->last = &value->first;
  value->root = value;
  if (key)
    value->key = memcpy(value->text, key, key_size);
  if (string)
    value->string = memcpy(value->text + key_size, string, string_size);
  return value;
}

struct value *value_table(void) {
  return new_value(VALUE_TABLE, NULL, NULL);
}

struct value *value_number(double number) {
  struct value *value = new_value(VALUE_NUMBER, NULL, NULL);
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
  for (size_t i = 0; i < value->record_count; i++)
    free(value->records[i]);
  free(value->records);
  free(value);
}

bool value_is_whole(const struct value *root) { return root && !root->failed; }

/* A new child of `table`; NULL, and noted, without memory. */
static struct value *value_append(struct value *table, enum value_kind kind, const char *key, const char *string) {
  if (!table)
    return NULL;
  assert(table->kind == VALUE_TABLE);
  struct value *child = new_value(kind, key, string);
  if (!child) {
    table->root->failed = true;
    return NULL;
  }
  child->root = table->root;
  *table->last = child;
  table->last = &child->next;
  return child;
}

void value_set_number(struct value *table, const char *key, double number) {
  struct value *child = value_append(table, VALUE_NUMBER, key, NULL);
  if (child)
    child->number = number;
}

void value_set_counter(struct value *table, const char *key, uint64_t counter) {
  struct value *child = value_append(table, VALUE_COUNTER, key, NULL);
  if (!child)
    return;
  child->counter = counter;
  child->number = (double)counter;
}

void value_set_boolean(struct value *table, const char *key, bool boolean) {
  struct value *child = value_append(table, VALUE_BOOLEAN, key, NULL);
  if (child)
    child->boolean = boolean;
}

void value_set_string(struct value *table, const char *key, const char *string) {
  if (string)
    value_append(table, VALUE_STRING, key, string);
}

struct value *value_set_table(struct value *table, const char *key) {
  return value_append(table, VALUE_TABLE, key, NULL);
}

void value_set_records(struct value *table, const char *key, const struct record_type *type, void **records,
                       size_t count) {
  struct value *child = value_append(table, VALUE_RECORDS, key, NULL);
  if (child) {
    child->type = type;
    child->records = records;
    child->record_count = count;
    return;
  }
  for (size_t i = 0; i < count; i++)
    free(records[i]);
  free(records);
}

void value_set_record(struct value *table, const struct record_type *type, const void *record) {
  struct value *child = value_append(table, VALUE_RECORD, NULL, NULL);
  if (!child)
    return;
  child->type = type;
  child->records = malloc(sizeof *child->records);
  if (child->records)
    child->records[0] = record_copy(type, record);
  if (child->records && child->records[0])
    child->record_count = 1;
  else
    table->root->failed = true;
}

const struct value *value_get(const struct value *table, const char *key) {
  for (const struct value *child = table ? table->first : NULL; child; child = child->next)
    if (child->key && strcmp(child->key, key) == 0)
      return child;
  return NULL;
}

const char *value_get_text(const struct value *table, const char *key) {
  const struct value *value = value_get(table, key);
  return value && value->kind == VALUE_STRING ? value->string : NULL;
}

double value_get_number(const struct value *table, const char *key, double otherwise) {
  const struct value *value = value_get(table, key);
  return value && value->kind == VALUE_NUMBER ? value->number : otherwise;
}

bool value_get_flag(const struct value *table, const char *key) {
  const struct value *value = value_get(table, key);
  return value && value->kind == VALUE_BOOLEAN && value->boolean;
}
