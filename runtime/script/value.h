/* SPDX-License-Identifier: MIT
 *
 * Plain data on its way to Lua: numbers, strings, booleans and tables of them, built in C by rooms that know no lua.h.
 * Writing into a value never fails on the spot: when memory runs out the root remembers it, and value_is_whole() tells.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_type; /* script/record.h */

enum value_kind {
  VALUE_BOOLEAN,
  VALUE_NUMBER,
  VALUE_COUNTER,
  VALUE_STRING,
  VALUE_TABLE,
  VALUE_RECORDS, /* a list of records, which become tables */
  VALUE_RECORD,  /* the fields of one, in the table that it stands in */
};

struct value {
  const char *key; /* NULL: the next place of its table's list */
  enum value_kind kind;
  bool boolean;
  double number;
  uint64_t counter; /* to its last digit; `number` has it as near as it can */
  const char *string;
  const struct record_type *type;
  void **records; /* malloc'ed, as each of them is */
  size_t record_count;
  struct value *first, **last; /* of a table: what is in it, in the order of writing */
  struct value *next;          /* in its table */
  struct value *root;
  bool failed; /* of the root: something is missing */
  char text[]; /* what key and string point to: an answer may have a million values, each one block */
};

/* Roots, owned by the caller. NULL without memory. */
struct value *value_table(void);
struct value *value_number(double number);
void value_free(struct value *value); /* of a root; NULL is nothing */

bool value_is_whole(const struct value *root); /* false for NULL */

/* These write into a table, which owns what it gets; into NULL nothing is written. `key` NULL: the next place of the
 * list. Keys and strings are copied; a NULL string is left out. */
void value_set_number(struct value *table, const char *key, double number);
void value_set_counter(struct value *table, const char *key, uint64_t counter);
void value_set_boolean(struct value *table, const char *key, bool boolean);
void value_set_string(struct value *table, const char *key, const char *string);

/* A table within; NULL without memory. */
struct value *value_set_table(struct value *table, const char *key);

/* A list of `records`, which it takes over in any case: malloc'ed, as each of them is (record_copy()). */
void value_set_records(struct value *table, const char *key, const struct record_type *type, void **records,
                       size_t count);

/* The fields of a record, which is copied, among those of the table. */
void value_set_record(struct value *table, const struct record_type *type, const void *record);

/* What stands at a key, or NULL; as a text, or NULL; as a number, or `otherwise`; whether it is true. */
const struct value *value_get(const struct value *table, const char *key);
const char *value_get_text(const struct value *table, const char *key);
double value_get_number(const struct value *table, const char *key, double otherwise);
bool value_get_flag(const struct value *table, const char *key);
