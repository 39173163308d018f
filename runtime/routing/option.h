/* SPDX-License-Identifier: MIT
 *
 * The options of the config and of routes, as the schema (lua/moongate/schema.lua) declares them: where each stands in
 * a normal form and in its record in C, what a reload does with it, and whether files are loaded anew when it changes.
 * The tables are written by cmake/options.lua when the program is built; reading (loading/option_read.h), releasing,
 * comparing and taking over go by them, so that no option can be forgotten in one of these. */
#pragma once

#include "net/ip_set.h"
#include "routing/route_parts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OPTION_DEPTH = 3 };

/* How an option stands in C, by the type of its field. */
enum option_kind {
  OPTION_BOOLEAN,
  OPTION_INTEGER,
  OPTION_UNSIGNED,
  OPTION_WIDE,       /* uint64_t */
  OPTION_WORD,       /* an enum, in the order of the schema's words */
  OPTION_SLOT,       /* int: of a function, or ROUTE_NO_FUNCTION */
  OPTION_TEXT,       /* malloc'ed; NULL: none, or empty */
  OPTION_TEXTS,      /* char **, malloc'ed, as are the texts; the field behind it is a size_t, their number */
  OPTION_IP_SET,     /* one reference; NULL: an empty list, or none */
  OPTION_LIMIT,      /* struct address_limit */
  OPTION_KEEP_ALIVE, /* struct route_keep_alive */
  OPTION_PROXY_SEND, /* struct route_proxy_send */
};

struct option {
  const char *path;                   /* "limits.old_versions" */
  const char *keys[OPTION_DEPTH + 1]; /* the same in a normal form; NULL behind the last */
  enum option_kind kind;
  size_t offset;
  const char *const *words; /* of OPTION_WORD, then NULL */
  const char *waits; /* NULL: a reload takes it; else what it says to wait for the next start: the path, or its table */
  bool waits_whole;  /* … without the values */
  bool is_compared;  /* of the config: files are loaded anew when it changes. Of the policy: always */
  bool is_time;      /* in milliseconds, and told in seconds */
  bool is_told;      /* to who asks what the config says: it is a number, a word or a text, and no secret */
};

/* Those of one record. */
struct options {
  const struct option *options;
  size_t count;
};

extern const struct options config_options; /* struct config; loading/load.h */
extern const struct options policy_options; /* struct policy, the part of the config that goes with a table */
extern const struct options route_options;  /* struct route */

/* Releases what the options of a record hold. */
void options_clear(const struct options *options, void *record);

/* Exchanges what a reload takes. */
void options_swap(const struct options *options, void *record, void *other);

/* Is a function said of any? */
bool options_have_function(const struct options *options, const void *record);

/* Of kinds that are numbers or texts: those that may wait. */
bool option_equal(const struct option *option, const void *a, const void *b);

/* "4", "true", a text as it is; "" for none. Of the same kinds. */
void option_format(const struct option *option, const void *record, char *text, size_t size);

/* For what is generated. */
#define OPTION_FIELD(record, field) (((struct record *)NULL)->field)
#define OPTION_KIND(record, field)                                                                                     \
  _Generic(OPTION_FIELD(record, field),                                                                                \
      bool: OPTION_BOOLEAN,                                                                                            \
      int: OPTION_INTEGER,                                                                                             \
      unsigned: OPTION_UNSIGNED,                                                                                       \
      uint64_t: OPTION_WIDE,                                                                                           \
      char *: OPTION_TEXT,                                                                                             \
      const char *: OPTION_TEXT,                                                                                       \
      char **: OPTION_TEXTS,                                                                                           \
      struct ip_set *: OPTION_IP_SET,                                                                                  \
      struct address_limit: OPTION_LIMIT,                                                                              \
      struct route_keep_alive: OPTION_KEEP_ALIVE,                                                                      \
      struct route_proxy_send: OPTION_PROXY_SEND)
/* Of OPTION_TEXTS: is the number behind the list? */
#define OPTION_HAS_COUNT(record, list, count) (offsetof(record, count) == offsetof(record, list) + sizeof(char **))
#define OPTION_WORD_KIND(record, field) _Generic(OPTION_FIELD(record, field), unsigned : OPTION_WORD)
#define OPTION_SLOT_KIND(record, field) _Generic(OPTION_FIELD(record, field), int : OPTION_SLOT)
#define OPTION_PLACE(record, field) offsetof(struct record, field)
