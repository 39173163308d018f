/* SPDX-License-Identifier: MIT
 *
 * What stands in a record of C, written down once: by that records are selected and ordered (reports/selection.h),
 * copied from thread to thread, and become tables of Lua (value_push.h). A field of a record that is told is a line of
 * its description, and the line that fills it. */
#pragma once

#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The host and port of a target, told as host_format() writes them. */
struct record_host {
  const char *host; /* NULL: nothing is told */
  int port;         /* below 0: none */
};

/* "2-17", the number of a worker and one of its own. */
struct record_id {
  unsigned worker;
  uint64_t number;
};

/* "2001:db8::/64"; of all bits the address alone. */
struct record_prefix {
  struct ip_address address;
  unsigned bits;
};

enum record_kind {
  RECORD_FLAG,    /* bool */
  RECORD_SMALL,   /* uint16_t */
  RECORD_INTEGER, /* int; below 0: nothing is told */
  RECORD_COUNT,   /* unsigned */
  RECORD_WIDE,    /* uint64_t, to its last digit */
  RECORD_REAL,    /* double */
  RECORD_MS,      /* uint64_t milliseconds, told as seconds; UINT64_MAX: nothing is told */
  RECORD_TEXT,    /* const char *, copied with the record; NULL: nothing is told */
  RECORD_WORD,    /* const char * to what is never freed; NULL likewise */
  RECORD_CHARS,   /* char […] */
  RECORD_ADDRESS, /* struct ip_address */
  RECORD_PREFIX,  /* struct record_prefix */
  RECORD_HOST,    /* struct record_host, whose host is copied */
  RECORD_ID,      /* struct record_id */
};

enum {
  RECORD_IF_ANY = 1, /* nothing is told when it is 0, false, "" or not set */
  RECORD_COSTLY = 2, /* filled by `complete` only */
  RECORD_UNTOLD = 4, /* for selecting and ordering */
};

struct record_field {
  const char *name;
  const char *within; /* the table that it stands in; NULL: the record's own */
  enum record_kind kind;
  unsigned flags;
  size_t offset;
};

struct record_type {
  size_t size;
  const struct record_field *fields; /* between equals of an order the first two decide */
  size_t field_count;
  void (*complete)(void *record, const void *source); /* fills what is costly; NULL: nothing is */
};

/* The kind by the type of the field; where that has several, RECORD_FIELD_AS. */
#define RECORD_KIND(record, field)                                                                                     \
  _Generic(((struct record *)NULL)->field,                                                                             \
      bool: RECORD_FLAG,                                                                                               \
      uint16_t: RECORD_SMALL,                                                                                          \
      int: RECORD_INTEGER,                                                                                             \
      unsigned: RECORD_COUNT,                                                                                          \
      uint64_t: RECORD_WIDE,                                                                                           \
      double: RECORD_REAL,                                                                                             \
      const char *: RECORD_TEXT,                                                                                       \
      char *: RECORD_CHARS,                                                                                            \
      struct ip_address: RECORD_ADDRESS,                                                                               \
      struct record_prefix: RECORD_PREFIX,                                                                              \
      struct record_host: RECORD_HOST,                                                                                 \
      struct record_id: RECORD_ID)
#define RECORD_FIELD_AS(kind, record, within, name, field, flags)                                                      \
  { name, within, kind, flags, offsetof(struct record, field) }
#define RECORD_FIELD(record, within, name, field, flags)                                                               \
  RECORD_FIELD_AS(RECORD_KIND(record, field), record, within, name, field, flags)

/* "state", "class.name"; NULL: it has no such field. */
const struct record_field *record_find(const struct record_type *type, const char *name);

static inline const void *record_field_at(const struct record_field *field, const void *record) {
  return (const char *)record + field->offset;
}

/* Of kinds that are whole numbers, flags included; 0 of others, and of one below 0. */
uint64_t record_number(const struct record_field *field, const void *record);

/* Of kinds that are texts, and of hosts the host alone; NULL: it has none. */
const char *record_text(const struct record_field *field, const void *record);

/* Below 0: `a` has the smaller one. */
int record_compare(const struct record_field *field, const void *a, const void *b);

/* One block of memory, texts included, for free(). NULL without memory. */
void *record_copy(const struct record_type *type, const void *record);
