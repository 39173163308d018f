/* SPDX-License-Identifier: MIT
 *
 * Plain data on its way to Lua: numbers, strings, booleans and tables of them, built in C by rooms that know no lua.h.
 * Writing into a value never fails on the spot: when memory runs out the root remembers it, and value_is_whole() tells.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_kind { VALUE_BOOLEAN, VALUE_NUMBER, VALUE_COUNTER, VALUE_STRING, VALUE_TABLE };

struct value {
  const char *key; /* NULL: the next place of its table's list */
  enum value_kind kind;
  bool boolean;
  double number;
  uint64_t counter; /* to its last digit; `number` has it as near as it can */
  const char *string;
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

/* What stands at a key, or NULL. */
const struct value *value_get(const struct value *table, const char *key);
